# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How often a node process resizes images: not for nobody, once for everybody, and ahead of the
questions only while nearly every image is asked about."""

import re
import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from rclpy.qos import ReliabilityPolicy

from depthlm_ros.ros.camera.inputs import Ahead

# Tells the seconds of the stamp of each image that was resized.
NODE = """
import sys
from depthlm_ros import view
from depthlm_ros.ros.tools import bench_node

resized = view.Frame.resized

def told(frame, width, height):
    found = resized(frame, width, height)
    print("resized", frame.stamp_ns // 1_000_000_000, flush=True)
    return found

view.Frame.resized = told
sys.exit(bench_node.main())
"""


@pytest.fixture(scope="module")
def node(lasting_nodes):
    return lasting_nodes.start_code(NODE, "-p", "grid.rate:=0", "-r", "__ns:=/ahead")


@pytest.fixture
def robot(make_robot, node):
    """A camera whose images need a resize: 250 px of focal length, and the model wants 1000."""
    made = make_robot("/ahead", "/ahead/depthlm")
    made.show()
    made.wait(lambda: all(followed(made, topic) for topic in ("image", "camera_info")))
    return made


def followed(robot, topic):
    """Whether the node's subscription is as the robot publishes: what is published once is lost
    while it changes."""
    found = robot.node.get_subscriptions_info_by_topic(f"/ahead/{topic}")
    return {one.qos_profile.reliability for one in found} == {ReliabilityPolicy.RELIABLE}


@pytest.fixture
def resized(robot, node):
    """resized() -> seconds of the stamps of the images that were resized in this test."""
    before = len(node.output())
    return lambda: [int(s) for s in re.findall(r"resized (\d+)", node.output()[before:])]


def send(robot):
    """Publish an image and its camera_info; seconds of its stamp."""
    image, info = robot.new_image(), robot.info()
    info.header.stamp = image.header.stamp
    robot.infos.publish(info)
    robot.images.publish(image)
    return image.header.stamp.sec


def ask_about_next(robot):
    """Publish an image and ask once the node has it; seconds of its stamp."""
    second = send(robot)
    robot.wait(lambda: robot.ask().header.stamp.sec == second)
    return second


def idle(robot):
    """Four images in a row that nobody asks about; seconds of the last stamp."""
    for _ in range(4):
        second = send(robot)
        robot.executor.spin_once(timeout_sec=0.1)
    return second


def test_images_that_nobody_asks_about_are_not_resized(robot, resized):
    idle(robot)
    before = len(resized())
    last = idle(robot)
    robot.wait(lambda: robot.ask().header.stamp.sec == last)
    assert resized()[before:] == [last]


def test_ten_callers_at_once_and_a_scan_share_one_resize(robot, resized):
    idle(robot)
    second = ask_about_next(robot)
    request = robot.query_distance.Request(u=[160.0], v=[120.0])
    futures = [robot.distance.call_async(request) for _ in range(10)]
    robot.wait(lambda: all(future.done() for future in futures))
    assert {future.result().header.stamp.sec for future in futures} == {second}
    assert resized().count(second) == 1


def test_while_every_image_is_asked_about_the_next_is_ready_before_its_question(robot, resized):
    asked = [ask_about_next(robot) for _ in range(4)]
    first = send(robot)
    robot.wait(lambda: first in resized())
    assert robot.ask().header.stamp.sec == first
    assert all(resized().count(second) == 1 for second in [*asked, first])


def test_when_the_questions_end_two_more_images_are_made_ready_and_no_third(robot, resized):
    for _ in range(4):
        ask_about_next(robot)
    for _ in range(2):
        second = send(robot)
        robot.wait(lambda: second in resized())  # noqa: B023
    before = len(resized())
    last = idle(robot)
    robot.wait(lambda: robot.ask().header.stamp.sec == last)
    assert resized()[before:] == [last]


@pytest.mark.parametrize("asked, readied", [("1110", 1), ("1010", 0), ("0101", 0), ("0111", 1)])
def test_three_of_the_last_four_images_must_have_been_asked_about(asked, readied):
    looked, done = [], threading.Event()
    predictor = SimpleNamespace(prepare=lambda frame: (looked.append(frame), done.set()))
    worker = SimpleNamespace(predictor=None)
    ahead = Ahead(worker)
    for n, flag in enumerate(asked):
        worker.predictor = predictor if n == 3 else None
        ahead.replaced(SimpleNamespace(asked=flag == "1"), SimpleNamespace(frame=n))
    assert done.wait(0.5 if not readied else 10) == bool(readied)
    assert looked == [3] * readied


def test_an_image_that_cannot_be_made_ready_stops_nothing():
    predictor = SimpleNamespace(prepare=lambda frame: 1 / 0)
    ahead = Ahead(SimpleNamespace(predictor=predictor))
    for _ in range(6):
        ahead.replaced(SimpleNamespace(asked=True), SimpleNamespace(frame=None))
