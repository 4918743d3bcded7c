# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""/diagnostics, once a second, and ~/status, kept for late subscribers: how the node is.

One DiagnosticStatus for the model and one for each camera; ~/status is all in one. Whether that
is well is judged in health.py. diagnostic_updater is not used: it is not everywhere, and calls a
node that is asked on demand an error while nobody asks.
"""

import contextlib

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from depthlm_ros.ros import health
from depthlm_ros.ros.topic import STEADY

PERIOD_S = 1.0


class Diagnostics:
    """Publishes both, for the life of the node; publish() also says at once what has changed."""

    def __init__(self, node, cameras, worker, parameters):
        self._node = node
        self._cameras = cameras
        self._worker = worker
        self._parameters = parameters
        kept = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self._status = node.create_publisher(DiagnosticStatus, "~/status", kept)
        self._array = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        node.create_timer(PERIOD_S, self._tick, clock=STEADY)

    def publish(self) -> None:
        """~/status as it is now. What goes wrong here is told, and ends neither the model's thread
        nor a transition."""
        with self._surviving():
            self._publish()

    def _tick(self):
        with self._surviving():
            array = DiagnosticArray(status=[self._message(*told) for told in self._publish()])
            array.header.stamp = self._node.get_clock().now().to_msg()
            self._array.publish(array)

    @contextlib.contextmanager
    def _surviving(self):
        try:
            yield
        except Exception as error:  # noqa: BLE001, whatever it is: questions are answered without it
            self._node.tell_fault(error)

    def _publish(self) -> list:
        """The healths of model and cameras, as (name, Health), after ~/status has said them."""
        healths = [("model", health.of_model(self._node, self._worker, self._parameters.now))]
        if self._node.state == "active":
            healths += [(f"camera {p.name}", health.of_camera(p.inputs)) for p in self._cameras]
        self._status.publish(self._together(healths))
        return healths

    def _together(self, healths) -> DiagnosticStatus:
        """The worst of all with its sentence, and the values of all."""
        worst = max((h for _, h in healths), key=lambda h: h.level)
        values = {k: v for name, h in healths for k, v in _named(name, h.values)}
        return self._message("", health.Health(worst.level, worst.message, values))

    def _message(self, name, told) -> DiagnosticStatus:
        own = self._node.get_fully_qualified_name().lstrip("/")
        return DiagnosticStatus(
            level=bytes([told.level]),
            name=f"{own}: {name}" if name else own,
            message=told.message,
            hardware_id=name or own,
            values=[KeyValue(key=key, value=_text(value)) for key, value in told.values.items()],
        )


def _named(name, values):
    """The values of a camera with its name before them; those of the model as they are."""
    prefix = "" if name == "model" else f"{name.removeprefix('camera ')}: "
    return ((prefix + key, value) for key, value in values.items())


def _text(value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
