# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Intrinsics that can be used and hardly be right: the node answers, and says so in its log and in
~/status."""

import re
import time
from dataclasses import replace

import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import RegionOfInterest

from depthlm_ros.camera import Camera
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import PREDICTORS, AskingPredictor

CAMERA = Camera(320, 240, 250.0, 250.0, 160.0, 120.0)
OBLONG = replace(CAMERA, fx=300.0)
OF_ANOTHER_SIZE = replace(CAMERA, cx=320.0, cy=240.0)


@pytest.fixture
def seen(node_process, checkpoint, make_robot):
    """seen(axes) -> (node, robot, its statuses)."""

    def start(axes):
        given = (f"checkpoint:={checkpoint}", "engine:=scripted", f"axes:={axes}")
        node = node_process(*(word for value in given for word in ("-p", value)))
        robot, received = make_robot(), []
        kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        robot.node.create_subscription(DiagnosticStatus, "/depthlm/status", received.append, kept)
        return node, robot, received

    return start


def doubts_of(node):
    """The lines of its log about intrinsics."""
    return [line for line in node.output().splitlines() if "/camera_info: " in line]


def doubted(robot, statuses, level, words, shown):
    """The values of the first status from now on with this level and these words, while the camera
    shows (image, info) twice a second: a silent one is a doubt of its own."""
    statuses.clear()
    again = 0.0

    def found():
        nonlocal again
        if time.monotonic() > again:
            again = time.monotonic() + 0.5
            image, info = shown
            image.header = info.header = robot.header()
            robot.infos.publish(info)
            robot.images.publish(image)
        for status in statuses:
            if status.level == level and all(word in status.message for word in words):
                return {value.key: value.value for value in status.values}
        return None

    return robot.wait(found)


@pytest.mark.parametrize(
    ("camera", "axes", "words"),
    [
        (OBLONG, "fx", ["300", "250", "1.10"]),
        (OF_ANOTHER_SIZE, "both", ["(320, 240)", "320 x 240"]),
    ],
)
def test_doubtful_intrinsics_are_a_warning_beside_ready_and_once_in_the_log(
    seen, camera, axes, words
):
    node, robot, statuses = seen(axes)
    for _ in range(3):
        assert robot.show(info=robot.info(camera)).success
    values = doubted(
        robot, statuses, DiagnosticStatus.WARN, words, (robot.new_image(), robot.info(camera))
    )
    assert values["ready"] == "true"
    (warned,) = robot.wait(lambda: doubts_of(node))
    assert warned.startswith("[WARN]") and all(word in warned for word in words)
    assert robot.show().success
    doubted(robot, statuses, DiagnosticStatus.OK, [], (robot.new_image(), robot.info()))
    assert doubts_of(node) == [warned]


def test_images_that_nobody_can_place_are_a_warning_beside_the_answers(seen):
    node, robot, statuses = seen("both")
    image = robot.new_image()
    image.header.frame_id = ""
    assert robot.show(image).success
    robot.wait(lambda: any("frame_id" in status.message for status in statuses))
    (warned,) = robot.wait(lambda: doubts_of(node))
    assert warned.startswith("[WARN]") and "frame_id" in warned


def test_nothing_is_doubtful_about_a_region_beside_the_principal_point(seen):
    node, robot, statuses = seen("both")
    info = robot.info(OBLONG)
    info.roi = RegionOfInterest(x_offset=200, y_offset=10, width=100, height=50)
    assert robot.show(robot.new_image(100, 50), info).success
    doubted(robot, statuses, DiagnosticStatus.OK, [], (robot.new_image(100, 50), info))
    assert doubts_of(node) == []


def test_axes_of_another_name_are_refused_at_the_start(node_process, robot):
    node = node_process("-p", "axes:=fy")
    robot.wait(lambda: node.status is not None)
    assert node.status == 1 and re.search(r"\baxes\b.*'fy'", node.output())


@pytest.mark.parametrize(("axes", "height"), [("", 200), ("fx", 200), ("both", 240)])
def test_the_parameter_decides_about_the_view(axes, height, start_node, checkpoint, monkeypatch):
    """Brought from 300 x 250 px to 250, 240 lines are 200 by fx and 240 by their own."""
    engine = ScriptedEngine(lambda view, pixel: float(view.camera.height))
    monkeypatch.setitem(PREDICTORS, "scripted", lambda entry, **_: AskingPredictor(engine, entry))
    _, robot = start_node(checkpoint=str(checkpoint), engine="scripted", axes=axes)
    assert robot.show(info=robot.info(OBLONG)).answers.distance[0] == height
