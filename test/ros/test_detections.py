# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Boxes of a detector come back as things in space, measured on the image that it saw.

vision_msgs does not come as wheels: its classes, and the topics of detections, are stand-ins here,
with the fields of vision_msgs 4. The camera's inputs are the node's own.
"""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
from geometry_msgs.msg import Pose, PoseWithCovariance, Vector3
from std_msgs.msg import Header

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros.camera.inputs import Ahead, Inputs
from depthlm_ros.ros.convert import camera_info_message, image_message
from depthlm_ros.ros.serve import detections
from depthlm_ros.ros.serve.detections import open_detections
from depthlm_ros.ros.serve.frames import Frames
from depthlm_ros.ros.serve.queries import Asking
from depthlm_ros.ros.settings import Settings
from depthlm_ros.worker.worker import Worker

CAMERA = Camera(320, 240, 250.0, 250.0, 159.5, 119.5)
ROW = Checkpoint("fake", "", "none", 250.0, "coordinates", "coordinates", {"coordinates": "tags"})


@dataclass
class BoundingBox3D:
    center: Pose = field(default_factory=Pose)
    size: Vector3 = field(default_factory=Vector3)


@dataclass
class Detection3D:
    header: Header = field(default_factory=Header)
    results: list = field(default_factory=list)
    bbox: BoundingBox3D = field(default_factory=BoundingBox3D)
    id: str = ""


@dataclass
class Detection3DArray:
    header: Header = field(default_factory=Header)
    detections: list = field(default_factory=list)


class Detection2DArray(SimpleNamespace):
    pass


class Topics:
    """A node's topics: what is subscribed, and what was published."""

    def __init__(self):
        self.callbacks, self.sent, self.logged = {}, [], []
        self.listeners = 1
        self.tell_once = self.logged.append
        self.timers = []

    def create_publisher(self, kind, name, qos):
        self.publishes = name, kind
        return SimpleNamespace(
            publish=self.sent.append, get_subscription_count=lambda: self.listeners
        )

    def create_subscription(self, kind, name, callback, qos, callback_group=None, **others):
        self.callbacks[name.removeprefix("/"), kind] = callback
        return SimpleNamespace(topic_name=f"/{name}")

    def create_timer(self, period, callback, **others):
        self.timers.append(callback)

    def count_publishers(self, name):
        return 1

    def get_publishers_info_by_topic(self, name):
        return []

    def resolve_topic_name(self, name):
        return f"/{name}"

    def get_logger(self):
        return SimpleNamespace(debug=self.logged.append)


class Immediate(Asking):
    """Waits where the executor would have gone on with other things."""

    async def settled(self, pending, source):
        return pending.future.result(5)


def detection(left, top, width, height, name):
    centre = SimpleNamespace(position=SimpleNamespace(x=left + width / 2, y=top + height / 2))
    hypothesis = SimpleNamespace(class_id=name, score=0.5)
    result = SimpleNamespace(hypothesis=hypothesis, pose=PoseWithCovariance())
    box = SimpleNamespace(center=centre, size_x=float(width), size_y=float(height))
    return SimpleNamespace(bbox=box, results=[result], id=name)


@pytest.fixture
def detector(monkeypatch):
    """A Detector on the one camera's topic."""
    package, msg = ModuleType("vision_msgs"), ModuleType("vision_msgs.msg")
    for kind in (Detection2DArray, Detection3DArray, Detection3D):
        setattr(msg, kind.__name__, kind)
    package.msg = msg
    monkeypatch.setitem(sys.modules, "vision_msgs", package)
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", msg)
    topics, worker = Topics(), Worker()
    worker.load(lambda progress: AskingPredictor(ScriptedEngine(brightness), ROW))
    port = SimpleNamespace(
        name="left",
        topic=lambda stream: f"~/left/{stream}",
        inputs=Inputs(topics, Settings(), "left/", Ahead(worker)),
        outputs=SimpleNamespace(show=lambda header, answered: None),
    )
    settings = SimpleNamespace(now=Settings())
    asking = Immediate(topics, [port], worker, settings, Frames(topics))
    while worker.problem:
        time.sleep(0.01)
    port.inputs.start()
    open_detections(topics, [port], asking)
    made = Detector(topics, port)
    made.look()
    yield made
    assert worker.close()


def brightness(view, pixel):
    return float(view.image[0, 0, 0])


class Detector:
    """Sends images and boxes; sent: the arrays of things, logged: the warnings."""

    def __init__(self, topics, port):
        self.topics, self.inputs = topics, port.inputs
        self.sent, self.logged = topics.sent, topics.logged

    def show(self, second, grey):
        """An image, and the camera_info of its stamp."""
        header = Header(frame_id="eye")
        header.stamp.sec = second
        for topic, message in (
            ("camera_info", camera_info_message(header, CAMERA)),
            ("image", image_message(header, np.full((240, 320, 3), grey, np.uint8))),
        ):
            self.topics.callbacks[f"left/{topic}", type(message)](message)

    def send(self, second, *detections):
        header = Header(frame_id="eye")
        header.stamp.sec = second
        callback = self.topics.callbacks["left/detections", Detection2DArray]
        asyncio.run(callback(Detection2DArray(header=header, detections=list(detections))))

    def look(self):
        asyncio.run(self.topics.timers[-1]())


CUP = detection(120, 80, 80, 80, "cup")


def test_each_box_becomes_a_thing_at_its_distance_with_its_size(detector):
    detector.show(7, 4)
    detector.send(7, CUP, detection(400, 0, 10, 10, "ghost"))
    (message,) = detector.sent
    assert detector.topics.publishes == ("~/left/detections", Detection3DArray)
    assert (message.header.stamp.sec, message.header.frame_id) == (7, "eye")
    assert [d.id for d in message.detections] == ["cup"]
    thing = message.detections[0]
    place = thing.bbox.center.position
    assert (place.x, place.y, place.z) == pytest.approx((0, 0, 4))  # the middle of the image
    assert (thing.bbox.size.x, thing.bbox.size.y) == pytest.approx((80 * 4 / 250,) * 2)
    assert thing.results[0].hypothesis.class_id == "cup"
    assert thing.results[0].pose.pose.position == place


def metres(message):
    return [thing.bbox.center.position.z for thing in message.detections]


def test_boxes_are_measured_on_the_image_of_their_stamp_though_newer_ones_came(detector):
    for second, grey in ((1, 3), (2, 5), (3, 9)):
        detector.show(second, grey)
    detector.send(2, CUP)
    (message,) = detector.sent
    assert message.header.stamp.sec == 2 and metres(message) == pytest.approx([5.0])


def test_boxes_that_come_before_their_image_wait_for_it(detector):
    detector.show(1, 3)
    detector.send(2, CUP)
    assert detector.sent == []
    detector.show(2, 5)
    detector.look()
    (message,) = detector.sent
    assert message.header.stamp.sec == 2 and metres(message) == pytest.approx([5.0])


def test_boxes_of_no_image_are_refused_by_name_and_the_next_ones_are_measured(
    detector, monkeypatch
):
    monkeypatch.setattr(detections, "EARLY_S", 0.0)
    detector.show(1, 3)
    detector.send(9, CUP)
    assert detector.sent == []
    (refused,) = map(str, detector.logged)
    assert all(part in refused for part in ("/left/detections", "9.000000000", "/left/image"))
    detector.send(1, CUP)
    assert len(detector.sent) == 1


def test_images_are_kept_for_a_while_only_and_only_while_somebody_listens(detector, monkeypatch):
    monkeypatch.setattr(detections, "EARLY_S", 0.0)
    monkeypatch.setattr(detections, "HISTORY_S", 0.05)
    detector.look()
    detector.show(1, 3)
    time.sleep(0.1)
    detector.show(2, 5)
    detector.show(3, 6)
    detector.send(1, CUP)
    assert detector.sent == [] and len(detector.logged) == 1
    detector.topics.listeners = 0
    detector.look()
    detector.show(4, 7)
    assert detector.inputs.span == "none"


def test_without_a_listener_nothing_is_measured(detector):
    detector.topics.listeners = 0
    detector.show(1, 3)
    detector.send(1, CUP)
    assert detector.sent == [] and detector.logged == []


def test_images_that_cannot_be_measured_are_told_and_the_next_ones_are(detector):
    header = Header(frame_id="eye")
    header.stamp.sec = 1
    odd = image_message(header, np.zeros((240, 320, 3), np.uint8))
    odd.encoding = "vendor8"
    detector.show(1, 3)
    detector.topics.callbacks["left/image", type(odd)](odd)
    detector.send(1, CUP)
    assert detector.sent == [] and "vendor8" in str(detector.logged[0])
    detector.show(2, 5)
    detector.send(2, CUP)
    assert len(detector.sent) == 1


def test_without_vision_msgs_there_is_no_such_topic(monkeypatch):
    monkeypatch.setitem(sys.modules, "vision_msgs", None)
    topics = Topics()
    assert open_detections(topics, [None], None) == []
    assert topics.callbacks == {} and "vision_msgs" in topics.logged[0]
