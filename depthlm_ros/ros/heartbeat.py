# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The heartbeat by which nav2_lifecycle_manager sees that an active node lives: a bond.

As Nav2's own nodes do it: topic `bond` (relative), id the name of the node, from activation to
deactivation. The protocol is that of the package bondpy, which need not be installed.
"""

from typing import Any

from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode

NO_BOND = (
    "no heartbeat for a lifecycle manager: bondpy is not installed ({error}). Install"
    " ros-DISTRO-bondpy, or give the manager bond_timeout: 0.0"
)
ACKNOWLEDGED_S = 0.2  # how long the last word to a manager may take


class Heartbeat:
    """One node's half of a bond; beat() and end() may be called at any time, by one thread."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._bond: Any = None

    def beat(self, period_s: float) -> None:
        """Tell every period_s that the node lives, until end(). A line in the log says so where
        bondpy is missing."""
        if self._bond is not None:
            return
        try:
            from bondpy.bondpy import Bond
        except ImportError as error:
            self._node.get_logger().info(NO_BOND.format(error=error))
            return
        bond = Bond(self._node, "bond", self._node.get_name(), self._broken)
        bond.heartbeat_period = period_s
        bond.start()
        self._bond = bond

    def end(self) -> None:
        """Tell that the node is not active any more, and give the topic back."""
        bond, self._bond = self._bond, None
        if bond is None:
            return
        bond.set_broken_callback(None)
        bond.break_bond()
        bond.pub.wait_for_all_acked(Duration(seconds=ACKNOWLEDGED_S))  # the process may end next
        bond.shutdown()
        # It destroys them behind the node's back.
        self._node.destroy_subscription(bond.sub)
        self._node.destroy_publisher(bond.pub)

    def _broken(self) -> None:
        self._node.get_logger().warning(
            "no lifecycle manager answers on the topic bond: it has ended, or the node was"
            " activated by hand"
        )
