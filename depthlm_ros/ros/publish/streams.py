# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The published topics of one camera; a message is made only while somebody listens to it.

Knows nothing about who asks; called in the model's thread.
"""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from depthlm_ros.ros.convert import (
    camera_info_message,
    cloud_message,
    depth_message,
    image_message,
)
from depthlm_ros.ros.publish.markers import markers_message
from depthlm_ros.scan import gathered, grid_camera
from depthlm_ros.viz.overlay import overlay

STREAMS = {
    "points": PointCloud2,
    "depth/image": Image,
    "depth/camera_info": CameraInfo,
    "overlay": Image,
    "markers": MarkerArray,
}


class Streams:
    """Publishers from the construction to close(). topic: stream -> its name."""

    def __init__(self, node, topic):
        self._node = node
        self._publishers = {
            stream: _publisher(node, kind, topic(stream)) for stream, kind in STREAMS.items()
        }

    @property
    def listened(self) -> bool:
        """Whether anybody listens to anything."""
        return any(p.get_subscription_count() for p in self._publishers.values())

    def show(self, header, answered) -> None:
        """Overlay and markers of whatever was asked about a picture."""
        frame, ranges = answered.frame, answered.ranges
        self._send(
            "overlay",
            lambda: image_message(header, overlay(frame.image, ranges.asked, ranges.distance_m)),
        )
        self._send("markers", lambda: markers_message(header, frame, ranges))

    def show_grid(self, header, answered, columns, rows) -> None:
        """All streams of a grid over the whole picture."""
        scan = gathered(answered.ranges, answered.frame, columns, rows)
        camera = grid_camera(answered.frame.camera, columns, rows)
        self._send("points", lambda: cloud_message(header, scan))
        self._send("depth/camera_info", lambda: camera_info_message(header, camera))
        self._send("depth/image", lambda: depth_message(header, scan))
        self.show(header, answered)

    def close(self) -> None:
        """Take the publishers back."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)

    def _send(self, stream, make):
        publisher = self._publishers[stream]
        if publisher.get_subscription_count():
            publisher.publish(make())


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
