# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A detector's boxes in, the same things with their place in space out, where vision_msgs is.

Subscribes `detections` (Detection2DArray) and publishes ~/detections (Detection3DArray). Boxes are
measured on the image that the detector saw, known by its stamp, and on no other.
"""

import functools
import time

from geometry_msgs.msg import Vector3
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.qos import QoSProfile

from depthlm_ros.errors import DepthLMError, InputError
from depthlm_ros.ros.camera.inputs import REMEMBERED, REMEMBERED_BYTES
from depthlm_ros.ros.serve.queries import Source, measured_boxes
from depthlm_ros.ros.topic import STEADY

HISTORY_S = 2.0  # a slow detector answers about an image of a second ago
EARLY_S = 0.5  # a detector inside the camera may answer before the image itself has come
LOOK_S = 0.05  # how often it is looked for


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

    Boxes are measured on the image with their stamp, which must have come within HISTORY_S before
    them or come within EARLY_S after them; else they are refused with a warning. What comes while
    one array is being measured, or while nobody listens, is dropped. Things without a distance
    are left out.
    """

    def __init__(self, node, port, asking, msg):
        self._node, self._port, self._asking, self._msg = node, port, asking, msg
        self._busy = self._closed = False
        self._waiting = None  # (message, when it came) whose image has not been found yet
        self._topic = port.topic("detections")
        group = ReentrantCallbackGroup()  # callbacks await the model
        self._publisher = node.create_publisher(
            msg.Detection3DArray, self._topic, QoSProfile(depth=1)
        )
        self._subscription = node.create_subscription(
            msg.Detection2DArray,
            self._topic.removeprefix("~/"),
            self._on_detections,
            QoSProfile(depth=1),
            callback_group=group,
        )
        self._timer = node.create_timer(
            LOOK_S, self._measure_waiting, callback_group=group, clock=STEADY
        )

    def close(self) -> None:
        """Take the topics back."""
        self._closed = True
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_publisher(self._publisher)

    async def _on_detections(self, message):
        listened = self._publisher.get_subscription_count()
        if self._busy or self._asking.worker.problem or not listened:
            return
        self._waiting = message, time.monotonic()
        await self._measure_waiting()

    async def _measure_waiting(self):
        """Measure what waits, once its image is there; refuse it when that does not come."""
        self._remember()
        if self._busy or self._waiting is None:
            return
        message, came = self._waiting
        image = self._port.inputs.at(message.header.stamp)
        if image is None and time.monotonic() - came < EARLY_S:
            return
        self._busy, self._waiting = True, None
        try:
            if image is None:
                raise InputError(self._unknown(message.header.stamp))
            measured = await self._measured(message, image)
            if not self._closed:
                self._publisher.publish(measured)
        except DepthLMError as error:
            self._node.tell_once(error)
        finally:
            self._busy = False

    def _remember(self):
        """Images are kept while somebody sends boxes and somebody listens to the answers."""
        sent = self._node.count_publishers(self._subscription.topic_name)
        wanted = sent and self._publisher.get_subscription_count()
        self._port.inputs.remember_s = HISTORY_S if wanted else 0.0

    def _unknown(self, stamp) -> str:
        inputs = self._port.inputs
        return (
            f"boxes on {self._subscription.topic_name} with the stamp"
            f" {stamp.sec}.{stamp.nanosec:09d} are not measured, since no image on {inputs.topic}"
            f" of the last {HISTORY_S:g} s has it (there: {inputs.span}; at most {REMEMBERED}"
            f" images and {REMEMBERED_BYTES >> 20} MiB of them are kept): the detector must copy"
            " the stamp of the image that it saw, and answer before that image is gone"
        )

    async def _measured(self, message, shown):
        port = self._port
        source = Source(port.name, shown.header, shown, port.outputs.show)
        boxes = [_box(detection.bbox) for detection in message.detections]
        found = await measured_boxes(self._asking, source, boxes, 0, time.monotonic())
        place = functools.partial(self._placed, shown, found.ranges)
        placed = [place(i, detection) for i, detection in enumerate(message.detections)]
        known = [thing for thing in placed if thing is not None]
        return self._msg.Detection3DArray(header=shown.header, detections=known)

    def _placed(self, shown, ranges, i, detection):
        """The Detection3D of a detection, as wide and high as it looks; None where unknown."""
        point, camera = ranges.points[i].tolist(), shown.frame.camera
        if not ranges.distance_m[i] > 0:
            return None
        thing = self._msg.Detection3D(header=shown.header, id=detection.id)
        _move(thing.bbox.center, point)
        _, _, width, height = _box(detection.bbox)
        thing.bbox.size = Vector3(x=width * point[2] / camera.fx, y=height * point[2] / camera.fy)
        for result in detection.results:
            _move(result.pose.pose, point)
            thing.results.append(result)
        return thing


def _box(bbox) -> tuple:
    """(left, top, width, height) of a BoundingBox2D, whose centre counts from the corner of the
    image, half a pixel before the middle of its first pixel."""
    width, height = bbox.size_x, bbox.size_y
    centre = bbox.center.position
    return centre.x - width / 2, centre.y - height / 2, width, height


def _move(pose, point):
    pose.position.x, pose.position.y, pose.position.z = point
    pose.orientation.w = 1.0
