# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The published topics of one camera; a message is made only while somebody listens to it.

Called in the thread that owns the model, so that drawing never delays the executor, and closed in
the executor's, which does not wait for what is being drawn.
"""

import contextlib
import threading

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from depthlm_ros.msgs.streams import KINDS, grid_contents, overlay_contents
from depthlm_ros.ros.convert import filled_message
from depthlm_ros.ros.publish.markers import markers_message
from depthlm_ros.scan import gathered

_CLASSES = {
    f"sensor_msgs/msg/{kind.__name__}": kind
    for kind in (CameraInfo, CompressedImage, Image, PointCloud2)
}
STREAMS = {**{name: _CLASSES[kind] for name, kind in KINDS.items()}, "markers": MarkerArray}


class Streams:
    """Publishers from the construction to close().

    topic: stream -> its name.
    parameters: overlay.max_width, points.max_stddev and points.max_edge count.
    """

    def __init__(self, node, topic, parameters) -> None:
        self._node = node
        self._parameters = parameters
        self._closing = threading.Lock()
        self._publishers = {
            stream: _publisher(node, kind, topic(stream)) for stream, kind in STREAMS.items()
        }

    @property
    def listened(self) -> bool:
        """Whether anybody listens to anything; for the executor's thread."""
        return any(p.get_subscription_count() for p in self._publishers.values())

    def show(self, header, answered) -> None:
        """Overlay and markers of whatever was asked about an image."""
        width = self._parameters.now.overlay_max_width
        with self._telling():
            self._show(header, answered, overlay_contents(answered.frame, answered.ranges, width))

    def show_grid(self, header, answered, columns: int, rows: int) -> None:
        """All streams of a grid over the whole image."""
        now = self._parameters.now
        limits = now.overlay_max_width, now.points_max_stddev, now.points_max_edge
        with self._telling():
            scan = gathered(answered.ranges, answered.frame, columns, rows)
            self._show(header, answered, grid_contents(answered.frame, scan, *limits))

    def close(self) -> None:
        """Take the publishers back; what is being drawn is not sent any more."""
        with self._closing:
            publishers, self._publishers = self._publishers, {}
        for publisher in publishers.values():
            self._node.destroy_publisher(publisher)

    @contextlib.contextmanager
    def _telling(self):
        """Into the node's log what nobody expected, instead of out of the thread of the model."""
        try:
            yield
        except Exception as error:  # noqa: BLE001, whatever it is: answers do not depend on it
            self._node.tell_fault(error)

    def _show(self, header, answered, contents):
        for stream, content in contents.items():
            kind = STREAMS[stream]
            self._send(
                stream, lambda kind=kind, make=content: filled_message(kind, header, make())
            )
        self._send("markers", lambda: markers_message(header, answered.frame, answered.ranges))

    def _send(self, stream, make):
        with self._closing:
            publisher = self._publishers.get(stream)
            if publisher is None or not publisher.get_subscription_count():
                return
        message = make()
        with self._closing:
            if stream in self._publishers:
                publisher.publish(message)


def _publisher(node, kind, name):
    # A reliable publisher that keeps its last message serves subscribers of every kind; best
    # effort would be invisible to RViz's default. The profile is its own: rclpy writes overrides
    # into it.
    qos = QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
    overridable = QoSOverridingOptions.with_default_policies()
    return node.create_publisher(kind, name, qos, qos_overriding_options=overridable)
