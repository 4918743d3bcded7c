# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Boxes of a detector come back as things in space.

vision_msgs does not come as wheels: its classes, and the node's topics, are stand-ins here, with
the fields of vision_msgs 4.
"""

import asyncio
import copy
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
from depthlm_ros.errors import InputError
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros.parameters import Settings
from depthlm_ros.ros.serve.detections import open_detections
from depthlm_ros.ros.serve.queries import Asking
from depthlm_ros.view import Frame
from depthlm_ros.worker.worker import Worker

CAMERA = Camera(320, 240, 250.0, 250.0, 159.5, 119.5)
ROW = Checkpoint("fake", "", "none", 250.0, "coordinates", "coordinates", {"coordinates": "tags"})
HEADER = Header(frame_id="eye")


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
        self.callbacks, self.sent, self.told = {}, [], []
        self.listeners = 1
        self.tell_once = self.told.append

    def create_publisher(self, kind, name, qos):
        self.publishes = name, kind
        return SimpleNamespace(
            publish=self.sent.append, get_subscription_count=lambda: self.listeners
        )

    def create_subscription(self, kind, name, callback, qos, callback_group):
        self.callbacks[name, kind] = callback

    def get_logger(self):
        return SimpleNamespace(debug=self.told.append)


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
    """(topics, a function that sends detections to the one camera's topic)."""
    package, msg = ModuleType("vision_msgs"), ModuleType("vision_msgs.msg")
    for kind in (Detection2DArray, Detection3DArray, Detection3D):
        setattr(msg, kind.__name__, kind)
    package.msg = msg
    monkeypatch.setitem(sys.modules, "vision_msgs", package)
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", msg)
    topics, worker = Topics(), Worker()
    worker.load(lambda progress: AskingPredictor(ScriptedEngine(4.0), ROW))
    frame = Frame(np.zeros((240, 320, 3), np.uint8), CAMERA)
    port = SimpleNamespace(
        name="left",
        topic=lambda stream: f"~/left/{stream}",
        inputs=SimpleNamespace(newest=lambda: SimpleNamespace(header=HEADER, frame=frame)),
        outputs=SimpleNamespace(show=lambda header, answered: None),
    )
    asking = Immediate(topics, [port], worker, SimpleNamespace(now=Settings()))
    while worker.problem:
        time.sleep(0.01)
    open_detections(topics, [port], asking)

    def send(*detections):
        callback = topics.callbacks["left/detections", Detection2DArray]
        asyncio.run(callback(Detection2DArray(detections=list(detections))))

    yield topics, port, send
    assert worker.close()


def test_each_box_becomes_a_thing_at_its_distance_with_its_size(detector):
    topics, _, send = detector
    send(detection(120, 80, 80, 80, "cup"), detection(400, 0, 10, 10, "ghost"))
    (told,) = topics.sent
    assert topics.publishes == ("~/left/detections", Detection3DArray)
    assert told.header == HEADER and [d.id for d in told.detections] == ["cup"]
    thing = told.detections[0]
    place = thing.bbox.center.position
    assert (place.x, place.y, place.z) == pytest.approx((0, 0, 4))  # the middle of the picture
    assert (thing.bbox.size.x, thing.bbox.size.y) == pytest.approx((80 * 4 / 250,) * 2)
    assert thing.results[0].hypothesis.class_id == "cup"
    assert thing.results[0].pose.pose.position == place


def test_without_a_listener_nothing_is_measured(detector):
    topics, port, send = detector
    topics.listeners, port.inputs.newest = 0, lambda: 1 / 0
    send(detection(120, 80, 80, 80, "cup"))
    assert topics.sent == []


def test_what_cannot_be_measured_is_told_and_the_next_array_is_taken(detector):
    topics, port, send = detector
    newest = copy.copy(port.inputs.newest)

    def none_yet():
        raise InputError("waiting for image")

    port.inputs.newest = none_yet
    send(detection(120, 80, 80, 80, "cup"))
    assert [str(error) for error in topics.told] == ["waiting for image"]
    port.inputs.newest = newest
    send(detection(120, 80, 80, 80, "cup"))
    assert len(topics.sent) == 1


def test_without_vision_msgs_there_is_no_such_topic(monkeypatch):
    monkeypatch.setitem(sys.modules, "vision_msgs", None)
    topics = Topics()
    assert open_detections(topics, [None], None) == []
    assert topics.callbacks == {} and "vision_msgs" in topics.told[0]
