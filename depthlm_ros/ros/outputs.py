# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""~/points, the cloud of a grid at a chosen rate, and ~/overlay; both while somebody listens.

Knows nothing about services. Callbacks of the worker run in its thread.
"""

from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image, PointCloud2

from depthlm_ros.errors import DepthLMError, InputError
from depthlm_ros.pictures import overlay
from depthlm_ros.ros.convert import cloud_message, image_message
from depthlm_ros.ros.topic import STEADY
from depthlm_ros.scan import gathered


class Outputs:
    """Asks the worker for a grid of the newest picture, grid.rate times a second."""

    def __init__(self, node, inputs, worker, settings):
        self._node = node
        self._inputs = inputs
        self._worker = worker
        self._grid = settings.grid_columns, settings.grid_rows
        self._points = self._publisher(PointCloud2, "~/points")
        self._overlay = self._publisher(Image, "~/overlay")
        self._busy = False
        self._latest = None  # (picture, Answered) of the last grid
        if settings.grid_rate > 0:
            node.create_timer(1 / settings.grid_rate, self._tick, clock=STEADY)

    def show(self, header, answered) -> None:
        """Publish the picture with the asked pixels coloured by distance, if somebody listens."""
        if self._overlay.get_subscription_count():
            ranges = answered.ranges
            drawn = overlay(answered.frame.image, ranges.asked, ranges.distance_m)
            self._overlay.publish(image_message(header, drawn))

    def _publisher(self, kind, name):
        # A reliable publisher serves everybody; best effort would be invisible to RViz's default.
        # The profile is its own: rclpy writes overrides into it.
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE
        )
        overridable = QoSOverridingOptions.with_default_policies()
        return self._node.create_publisher(kind, name, qos, qos_overriding_options=overridable)

    def _tick(self):
        listened = self._points.get_subscription_count() or self._overlay.get_subscription_count()
        if self._busy or self._worker.problem or not listened:
            return
        try:
            picture = self._inputs.newest()
        except InputError:  # inputs.py says what is missing
            return
        if self._latest and self._latest[0] is picture:  # asking again would say the same
            self._publish(*self._latest)
            return
        self._busy = True
        future = self._worker.scan(lambda: picture.frame, *self._grid)
        future.add_done_callback(lambda done: self._on_scan(picture, done))

    def _on_scan(self, picture, done):
        try:
            self._latest = picture, done.result()
            self._publish(*self._latest)
        except DepthLMError as error:
            self._node.tell_once(error)
        finally:
            self._busy = False

    def _publish(self, picture, answered):
        if self._points.get_subscription_count():
            scan = gathered(answered.ranges, answered.frame, *self._grid)
            self._points.publish(cloud_message(picture.header, scan))
        self.show(picture.header, answered)
