# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The node as a process over DDS: answers, bad input, streams, end. The engine always says 2 m."""

import os
import re
import signal
import statistics
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
from builtin_interfaces.msg import Duration
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import Image, PointCloud2

from depthlm_ros.camera import Camera
from depthlm_ros.errors import Code
from depthlm_ros.ranges import Status
from depthlm_ros.ros.convert import image_message


@pytest.fixture(scope="module", autouse=True)
def node(lasting_nodes, checkpoint):
    return lasting_nodes.start(
        *("-p", "engine:=scripted", "-p", f"checkpoint:={checkpoint}"),
        *("-p", "grid.rate:=2", "-p", "grid.columns:=8", "-p", "grid.rows:=6"),
    )


def test_the_answer_copies_stamp_and_frame_of_the_image(robot):
    image = robot.new_image()
    response = robot.show(image)
    assert response.success and response.code == Code.OK and response.message == ""
    assert response.answers.frame_id == "robot_eye"
    assert response.header == image.header and response.header.frame_id == "robot_eye"
    assert list(response.answers.distance) == [2.0]
    assert response.answers.z[0] == pytest.approx(2.0)  # on the optical axis


def test_distance_and_z_differ_in_the_corner(robot):
    robot.show()
    answers = robot.ask([10.0], [10.0]).answers
    ray = np.array([10 - 160, 10 - 120, 250]) / np.linalg.norm([10 - 160, 10 - 120, 250])
    assert answers.distance[0] == 2.0
    assert [answers.x[0], answers.y[0], answers.z[0]] == pytest.approx(2 * ray, rel=1e-6)


def test_a_hundred_good_and_bad_pixels_keep_their_order_and_their_fate(robot):
    robot.show()
    kinds = [(40.0, 50.0), (2.0, 50.0), (400.0, 50.0), (float("nan"), 50.0), (40.0, -7.0)]
    fates = [Status.OK, Status.SNAPPED, Status.OUTSIDE, Status.INVALID, Status.OUTSIDE]
    pixels = [(u + i // 5, v) if 10 < u < 300 else (u, v) for i, (u, v) in enumerate(kinds * 20)]
    response = robot.ask([u for u, _ in pixels], [v for _, v in pixels])
    answers = response.answers
    assert response.success and list(answers.status) == fates * 20
    known = np.isin(answers.status, [Status.OK, Status.SNAPPED])
    assert np.array_equal(np.isfinite(answers.distance), known) and known.sum() == 40
    assert list(answers.asked_u[0:100:5]) == [40.0 + i for i in range(20)]
    assert set(answers.asked_u[1:100:5]) == {5.5}  # the nearest that an arrow can point at
    assert list(answers.asked_v[0:100:5]) == [50.0] * 20


@pytest.mark.parametrize(
    "request_fields, words",
    [
        ({"u": [1.0, 2.0], "v": [1.0]}, ["2", "1"]),
        ({"u": [], "v": []}, ["0"]),
        ({"u": [9.0] * 10_001, "v": [9.0] * 10_001}, ["10001", "10000", "query.max_pixels"]),
        ({"max_age": Duration(sec=-1)}, ["-1"]),
        ({"max_age": Duration(sec=-1, nanosec=500_000_000)}, ["-0.5"]),
        ({"camera": "x" * 5000}, ["x"]),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_with_what_is_allowed(
    robot, request_fields, words
):
    robot.show()
    response = robot.ask(**request_fields)
    assert (response.success, response.code) == (False, Code.BAD_REQUEST)
    assert all(word in response.message for word in words) and len(response.message) <= 1000
    assert len(response.answers.distance) == 0


def test_differing_bad_requests_do_not_flood_the_log(robot, node):
    robot.show()
    lines = len(node.output().splitlines())
    for size in range(1, 31):
        image = Image(header=robot.header(), encoding="rgb8", width=size, height=1)
        request = robot.query_image.Request(
            image=image, camera_info=robot.info(), u=[0.0], v=[0.0]
        )
        assert robot.call(robot.image, request).code == Code.BAD_IMAGE
    assert len(node.output().splitlines()) <= lines + 10


def test_only_the_camera_that_exists_can_be_named(robot):
    robot.show()
    assert robot.ask(camera="camera").success
    refused = robot.ask(camera="rear")
    assert (refused.success, refused.code) == (False, Code.BAD_REQUEST)
    assert "'rear'" in refused.message


def test_questions_are_answered_at_once_while_nothing_else_moves(robot):
    """Without a wake-up the executor sleeps until one of its timers is due, up to 0.5 s later."""
    robot.show()
    spent = []
    for _ in range(12):
        began = time.monotonic()
        response = robot.ask()
        spent.append(time.monotonic() - began)
        assert response.success
        assert response.latency.sec == 0 and 0 < response.latency.nanosec / 1e9 <= spent[-1]
    assert statistics.median(spent) < 0.1, spent


def test_several_questions_can_wait_at_the_same_time(robot):
    robot.show()
    request = robot.query_distance.Request(u=[100.0] * 50, v=[100.0] * 50)
    futures = [robot.distance.call_async(request) for _ in range(10)]
    robot.wait(lambda: all(f.done() for f in futures))
    assert all(len(f.result().answers.distance) == 50 for f in futures)


def test_an_image_older_than_allowed_is_refused_and_its_age_told(robot):
    robot.show()
    assert robot.ask(max_age=Duration(sec=30)).success
    time.sleep(0.3)
    refused = robot.ask(max_age=Duration(nanosec=200_000_000))
    assert (refused.success, refused.code) == (False, Code.STALE_IMAGE)
    age, allowed = re.search(r"/image .*?([\d.]+) s\b.*?([\d.]+) s\b", refused.message).groups()
    assert 0.3 < float(age) < 1 and float(allowed) == 0.2


def broken(robot, **changes):
    info = robot.info()
    for name, value in changes.items():
        setattr(info, name, value)
    return info


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"k": [0.0] * 9}, ["K and D", "fx = 0", "calibrate"]),
        ({"k": [float("nan")] * 9}, ["K and D", "finite numbers"]),
        ({"width": 640, "height": 480}, ["320 x 240", "640 x 480"]),
        ({"distortion_model": "mei", "d": [1.0]}, ["'mei'", "equidistant"]),
    ],
)
def test_intrinsics_that_cannot_be_true_are_told_in_every_reply_and_once_in_the_log(
    robot, node, changes, words
):
    first = robot.show(info=broken(robot, **changes))
    second = robot.ask()
    assert not first.success and not second.success and first.message == second.message
    assert first.code == second.code == Code.BAD_INTRINSICS
    assert all(word in first.message for word in words)
    sentence = first.message.partition(": ")[2]
    lines = [line for line in node.output().splitlines() if sentence in line]
    assert 1 <= len(lines) <= 2  # when they came, and when they were first used
    assert robot.show().success


@pytest.mark.parametrize("encoding, words", [("32FC1", "'32FC1'"), ("rgb8", "is empty")])
def test_an_image_that_cannot_be_read_is_refused_and_the_node_lives_on(robot, encoding, words):
    bad = Image(header=robot.header(), encoding=encoding)
    refused = robot.show(bad)
    assert (refused.success, refused.code) == (False, Code.BAD_IMAGE)
    assert words in refused.message
    assert robot.show().success


def test_an_image_in_the_request_is_answered_with_its_own_camera(robot):
    camera = Camera(640, 480, 125.0, 125.0, 320.0, 240.0)
    image = image_message(robot.header(), np.zeros((480, 640, 3), np.uint8))
    request = robot.query_image.Request(
        image=image, camera_info=robot.info(camera), u=[445.0], v=[240.0]
    )
    response = robot.call(robot.image, request)
    assert response.success and response.header == image.header
    assert response.answers.distance[0] == 2.0
    assert response.answers.z[0] == pytest.approx(2**0.5, rel=1e-6)  # 45 degrees off the axis
    request.camera_info.k = [0.0] * 9
    refused = robot.call(robot.image, request)
    assert (refused.success, refused.code) == (False, Code.BAD_INTRINSICS)


def test_a_cloud_of_the_grid_comes_while_somebody_listens(robot):
    image = robot.new_image()
    robot.show(image)
    clouds = []
    subscription = robot.node.create_subscription(PointCloud2, "/depthlm/points", clouds.append, 1)
    cloud = robot.wait(lambda: clouds and clouds[-1].header == image.header and clouds[-1])
    robot.node.destroy_subscription(subscription)
    assert (cloud.height, cloud.width, cloud.is_dense) == (6, 8, True)
    values = np.frombuffer(cloud.data, np.float32).reshape(48, 6)
    assert np.linalg.norm(values[:, :3], axis=1) == pytest.approx(np.full(48, 2.0), rel=1e-6)
    assert values[:, 4].tolist() == [2.0] * 48


def test_an_overlay_shows_the_image_with_the_asked_pixels(robot):
    image = robot.new_image()
    overlays = []
    subscription = robot.node.create_subscription(Image, "/depthlm/overlay", overlays.append, 1)
    robot.show(image)
    shown = robot.wait(lambda: overlays and overlays[-1].header == image.header and overlays[-1])
    robot.node.destroy_subscription(subscription)
    assert (shown.encoding, shown.width, shown.height) == ("rgb8", 320, 240)
    assert bytes(shown.data) != bytes(image.data)


def test_the_states_change_from_outside_and_the_node_goes_on(robot):
    """As a lifecycle manager does it, over DDS, to a node that brought itself up."""
    robot.show()
    client = robot.node.create_client(ChangeState, "/depthlm/change_state")

    def change(name):
        number = getattr(Transition, f"TRANSITION_{name.upper()}")
        return robot.call(client, ChangeState.Request(transition=Transition(id=number))).success

    assert not change("configure")  # it is active: refused, and no end of the process
    assert change("deactivate")
    inactive = robot.ask()
    assert inactive.code == Code.INACTIVE
    assert "`ros2 lifecycle set /depthlm activate`" in inactive.message
    assert change("cleanup") and change("configure") and change("activate")
    assert robot.show().success


def test_sigterm_ends_the_node_with_status_zero(node_process, checkpoint, robot):
    child = node_process(
        "-r", "__node:=other", "-p", "engine:=scripted", "-p", f"checkpoint:={checkpoint}"
    )
    robot.wait(lambda: "ready" in child.output())
    os.kill(child.pid, signal.SIGTERM)
    robot.wait(lambda: child.status is not None)
    assert child.status == 0, child.output()


def test_sigint_ends_the_node_with_status_zero_and_without_a_traceback(node):
    assert node.stop() == 0
    assert "Traceback" not in node.output(), node.output()
