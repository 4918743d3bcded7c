# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A detector's boxes in, the same things with their place in space out, where vision_msgs is.

Subscribes `detections` (Detection2DArray) and publishes ~/detections (Detection3DArray). Knows
nothing about how boxes are measured (regions.py), nor about other topics.
"""

import functools
import time

from geometry_msgs.msg import Vector3
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.qos import QoSProfile

from depthlm_ros.errors import DepthLMError
from depthlm_ros.ros.serve.queries import Source, measured_boxes


def open_detections(node, cameras, asking) -> list:
    """Detections of each camera; none where vision_msgs is not installed."""
    try:
        from vision_msgs import msg
    except ImportError:
        node.get_logger().debug("no topic for detections: vision_msgs is not installed")
        return []
    return [Detections(node, port, asking, msg) for port in cameras]


class Detections:
    """Of one camera, until close(). msg: the module vision_msgs.msg.

    Boxes are measured on the newest picture, whose stamp the answer has; what comes while one
    array is being measured, or while nobody listens, is dropped. Things without a distance are
    left out.
    """

    def __init__(self, node, port, asking, msg):
        self._node, self._port, self._asking, self._msg = node, port, asking, msg
        self._busy = self._closed = False
        name = port.topic("detections")
        self._publisher = node.create_publisher(msg.Detection3DArray, name, QoSProfile(depth=1))
        self._subscription = node.create_subscription(
            msg.Detection2DArray,
            name.removeprefix("~/"),
            self._on_detections,
            QoSProfile(depth=1),
            callback_group=ReentrantCallbackGroup(),  # it awaits the model
        )

    def close(self) -> None:
        """Take the topics back."""
        self._closed = True
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_publisher(self._publisher)

    async def _on_detections(self, message):
        listened = self._publisher.get_subscription_count()
        if self._busy or self._asking.worker.problem or not listened:
            return
        self._busy = True
        try:
            measured = await self._measured(message)
            if not self._closed:
                self._publisher.publish(measured)
        except DepthLMError as error:
            self._node.tell_once(error)
        finally:
            self._busy = False

    async def _measured(self, message):
        picture = self._port.inputs.newest()
        port = self._port
        source = Source(port.name, picture.header, picture, port.outputs.show)
        boxes = [_box(detection.bbox) for detection in message.detections]
        found = await measured_boxes(self._asking, source, boxes, 0, time.monotonic())
        place = functools.partial(self._placed, picture, found.ranges)
        placed = [place(i, detection) for i, detection in enumerate(message.detections)]
        known = [thing for thing in placed if thing is not None]
        return self._msg.Detection3DArray(header=picture.header, detections=known)

    def _placed(self, picture, ranges, i, detection):
        """The Detection3D of a detection, as wide and high as it looks; None where unknown."""
        point, camera = ranges.points[i].tolist(), picture.frame.camera
        if not ranges.distance_m[i] > 0:
            return None
        thing = self._msg.Detection3D(header=picture.header, id=detection.id)
        _move(thing.bbox.center, point)
        _, _, width, height = _box(detection.bbox)
        thing.bbox.size = Vector3(x=width * point[2] / camera.fx, y=height * point[2] / camera.fy)
        for result in detection.results:
            _move(result.pose.pose, point)
            thing.results.append(result)
        return thing


def _box(bbox) -> tuple:
    """(left, top, width, height) of a BoundingBox2D, whose centre counts from the corner of the
    picture, half a pixel before the middle of its first pixel."""
    width, height = bbox.size_x, bbox.size_y
    centre = bbox.center.position
    return centre.x - width / 2, centre.y - height / 2, width, height


def _move(pose, point):
    pose.position.x, pose.position.y, pose.position.z = point
    pose.orientation.w = 1.0
