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
    """Asks the worker for a grid of one camera's newest picture, grid.rate times a second.

    port: the camera (cameras.py). The publishers live from the construction to close(), the
    grids come from start() to stop().
    """

    def __init__(self, node, port, worker, parameters):
        self._node = node
        self._inputs = port.inputs
        self._worker = worker
        self._parameters = parameters
        self._points = self._publisher(PointCloud2, port.topic("points"))
        self._overlay = self._publisher(Image, port.topic("overlay"))
        self._timer = None
        self._busy = False
        self._latest = None  # (picture, grid, Answered) of the last grid

    def start(self) -> None:
        """Produce grids as the parameters say; again after they have changed."""
        self.stop()
        rate = self._parameters.now.grid_rate
        if rate > 0:
            self._timer = self._node.create_timer(1 / rate, self._tick, clock=STEADY)

    def stop(self) -> None:
        """Produce no more grids."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._timer = self._latest = None

    def close(self) -> None:
        """Take the publishers back."""
        self.stop()
        for publisher in (self._points, self._overlay):
            self._node.destroy_publisher(publisher)

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
        now = self._parameters.now
        grid = now.grid_columns, now.grid_rows
        if self._latest and self._latest[:2] == (picture, grid):  # it would be answered the same
            self._publish(*self._latest)
            return
        self._busy = True
        pending = self._worker.scan(lambda: picture.frame, *grid)
        pending.future.add_done_callback(lambda done: self._on_scan(picture, grid, done))

    def _on_scan(self, picture, grid, done):
        try:
            answered = done.result()
            if self._timer is not None:  # else it came too late
                self._latest = picture, grid, answered
                self._publish(*self._latest)
        except DepthLMError as error:
            self._node.tell_once(error)
        finally:
            self._busy = False

    def _publish(self, picture, grid, answered):
        if self._points.get_subscription_count():
            scan = gathered(answered.ranges, answered.frame, *grid)
            self._points.publish(cloud_message(picture.header, scan))
        self.show(picture.header, answered)
