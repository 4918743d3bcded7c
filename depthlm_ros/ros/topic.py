# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""One subscribed topic that follows its publishers' reliability and durability."""

from rclpy.clock import Clock, ClockType
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

STEADY = Clock(clock_type=ClockType.STEADY_TIME)  # timers that run while simulated time stands

# Reliability is not among them: as a declared parameter it would freeze what `auto` chooses.
_OVERRIDABLE = QoSOverridingOptions([QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH])


class Topic:
    """Subscribes the newest messages of a relative name, from start() to stop().

    resolved: the full name after namespace and remapping, or another one given.
    type: of its messages, as ROS names it.
    wish: "reliable", "best_effort", or "auto": reliable if all publishers are, since a reliable
    subscriber gets nothing from a best-effort publisher. Where all publishers keep their last
    message for late subscribers, it is fetched.
    """

    def __init__(self, node, kind, name, callback, wish, depth=1, resolved=""):
        self.name = name
        self.resolved = resolved or node.resolve_topic_name(name)
        self._asked = resolved or name  # resolved twice, two swapped cameras would be swapped back
        self._node = node
        self._kind = kind
        self.type = f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
        self._callback = callback
        self._wish = wish
        self._depth = depth
        self._policies = self._subscription = None

    def start(self) -> None:
        """Subscribe as the publishers known by now ask for."""
        self._policies = self._wanted(self.publishers())
        self._subscription = self._subscribed()

    def stop(self) -> None:
        """Hear nothing more."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription = None

    def publishers(self) -> list:
        """TopicEndpointInfo of each publisher of such messages."""
        return [p for p in self._endpoints() if p.topic_type == self.type]

    @property
    def others(self) -> list[str]:
        """The types of what else is published under its name, of which nothing is heard."""
        return sorted({p.topic_type for p in self._endpoints()} - {self.type})

    def follow(self) -> None:
        """Subscribe anew if the publishers now offer something else."""
        publishers = self.publishers()
        if publishers and self._wanted(publishers) != self._policies:
            self.stop()
            self.start()

    @property
    def deaf(self) -> bool:
        """Whether it was told to be reliable and no publisher is."""
        best = {p.qos_profile.reliability for p in self.publishers()}
        return self._wish == "reliable" and best == {ReliabilityPolicy.BEST_EFFORT}

    def alternatives(self) -> list:
        """Names of other topics on which other nodes publish such messages."""
        own = self._node.get_namespace(), self._node.get_name()
        return sorted(
            topic
            for topic, kinds in self._node.get_topic_names_and_types()
            if self.type in kinds
            and topic != self.resolved
            and any(
                (p.node_namespace, p.node_name) != own
                for p in self._node.get_publishers_info_by_topic(topic)
            )
        )

    def _endpoints(self) -> list:
        return self._node.get_publishers_info_by_topic(self.resolved)

    def _wanted(self, publishers) -> dict:
        """The policies that fit all publishers and give the most."""
        offers = [p.qos_profile for p in publishers]
        reliable = {o.reliability for o in offers} == {ReliabilityPolicy.RELIABLE}
        latched = {o.durability for o in offers} == {DurabilityPolicy.TRANSIENT_LOCAL}
        if self._wish != "auto":
            reliable = self._wish == "reliable"
        return {
            "reliability": (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE)[reliable],
            "durability": (DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL)[latched],
        }

    def _subscribed(self):
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=self._depth, **self._policies)
        # rclpy's own one says that nothing will be heard from publishers that follow() follows.
        events = SubscriptionEventCallbacks(use_default_callbacks=self._wish != "auto")
        return self._node.create_subscription(
            self._kind,
            self._asked,
            self._callback,
            qos,
            event_callbacks=events,
            qos_overriding_options=_OVERRIDABLE,
        )
