# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Points in the frame that a request names.

tf2_ros does not come as wheels: a stand-in with its two classes holds one transform here, and the
last test runs where the real one is installed, over a real /tf.
"""

import sys
from types import ModuleType

import pytest

pytest.importorskip("rclpy")
from geometry_msgs.msg import TransformStamped
from rclpy.action import ActionClient
from sensor_msgs.msg import RegionOfInterest

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import Code
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros.serve import frames
from depthlm_ros.ros.serve.queries import interfaces

WORDING = {"marker": "tags", "coordinates": "tags"}
ENTRY = Checkpoint("fake", "", "none", 250.0, "marker", "coordinates", WORDING)


def looking_ahead(parent, child):
    """Where a camera that looks ahead sits on a robot, 1.5 m up."""
    made = TransformStamped(child_frame_id=child)
    made.header.frame_id = parent
    made.transform.translation.z = 1.5
    rotation = made.transform.rotation
    rotation.x, rotation.y, rotation.z, rotation.w = -0.5, 0.5, -0.5, 0.5
    return made


class Buffer:
    """Knows how robot_eye sits on base_link, from the third look-up on, and nothing else."""

    def __init__(self):
        self.asked = []
        self.cleared = 0
        self.forgot = False

    def clear(self):
        self.cleared += 1

    def lookup_transform(self, target, source, stamp):
        self.asked.append((target, source, stamp.nanoseconds))
        known = (target, source) == ("base_link", "robot_eye") and not self.forgot
        if not known or len(self.asked) < 3:
            raise LookupError(f'"{target}" does not exist')
        return looking_ahead(target, source)

    def all_frames_as_yaml(self):
        return "robot_eye:\n  parent: 'base_link'\n"


@pytest.fixture
def tf2(monkeypatch):
    """The buffers that the stand-in has made."""
    module, made = ModuleType("tf2_ros"), []

    def buffer():
        made.append(Buffer())
        return made[-1]

    module.Buffer, module.TransformListener = buffer, lambda buffer, node: None
    monkeypatch.setitem(sys.modules, "tf2_ros", module)
    monkeypatch.setattr(frames, "LISTEN_S", 0.05)
    return made


@pytest.fixture
def seen(start_node):
    """seen(parameter=value) -> a robot beside a node that scans no grids."""

    def start(answer=lambda view, pixel: 2.0, **parameters):
        def load(progress):
            return AskingPredictor(ScriptedEngine(answer), ENTRY)

        return start_node(load, grid__rate=0.0, **parameters)[1]

    return start


def point(answers):
    return answers.x[0], answers.y[0], answers.z[0]


def test_points_stand_in_the_frame_asked_for_at_the_stamp_of_the_image(tf2, seen):
    robot = seen()
    shown = robot.show()
    assert shown.answers.frame_id == "robot_eye" and not tf2
    response = robot.ask(frame="base_link")
    assert (response.code, response.answers.frame_id) == (Code.OK, "base_link")
    assert point(response.answers) == pytest.approx((2.0, 0.0, 1.5))
    assert response.header == shown.header and response.answers.distance[0] == 2.0
    stamp = shown.header.stamp
    assert {t for _, _, t in tf2[0].asked} == {stamp.sec * 1_000_000_000 + stamp.nanosec}


def test_boxes_images_and_scans_answer_in_it_too(tf2, seen):
    robot = seen(query__frame="base_link")
    client = robot.node.create_client(interfaces()[0].QueryRegions, "/depthlm/query_regions")
    robot.show()
    box = RegionOfInterest(x_offset=140, y_offset=100, width=41, height=41)
    response = robot.call(client, interfaces()[0].QueryRegions.Request(regions=[box]))
    assert response.answers.frame_id == "base_link"
    assert point(response.answers) == pytest.approx((2.0, 0.0, 1.5), abs=1e-6)
    request = robot.query_image.Request(
        image=robot.new_image(), camera_info=robot.info(), u=[160.0], v=[120.0]
    )
    assert point(robot.call(robot.image, request).answers) == pytest.approx((2.0, 0.0, 1.5))
    request.frame = "robot_eye"  # what a request names goes before the parameter
    assert point(robot.call(robot.image, request).answers) == pytest.approx((0.0, 0.0, 2.0))


def test_answers_may_take_longer_than_tf_remembers(tf2, seen):
    def answer(view, pixel):
        if tf2:  # it was asked for before the first answer
            tf2[0].forgot = True
        return 2.0

    robot = seen(answer)
    srv, action = interfaces()
    regions = robot.node.create_client(srv.QueryRegions, "/depthlm/query_regions")
    scans = ActionClient(robot.node, action.ScanGrid, "/depthlm/scan_grid")
    robot.show()
    assert scans.wait_for_server(30)

    def scanned():
        sent = scans.send_goal_async(action.ScanGrid.Goal(u=[160.0], v=[120.0], frame="base_link"))
        robot.wait(sent.done)
        ended = sent.result().get_result_async()
        robot.wait(ended.done)
        return ended.result().result

    box = RegionOfInterest(x_offset=140, y_offset=100, width=41, height=41)
    request = srv.QueryRegions.Request(regions=[box], frame="base_link")
    asked = (
        lambda: robot.ask(frame="base_link"),
        lambda: robot.call(regions, request),
        scanned,
    )
    for ask in asked:
        response = ask()
        assert tf2[0].forgot and response.code == Code.OK
        assert point(response.answers) == pytest.approx((2.0, 0.0, 1.5), abs=1e-6)
        tf2[0].forgot = False


def test_a_slash_before_a_frame_as_in_ros_1_means_nothing(tf2, seen):
    robot = seen(query__frame="/base_link")
    robot.show()
    for named in ("", "/base_link", "base_link"):
        assert robot.ask(frame=named).answers.frame_id == "base_link"


def about_image(robot, own, wanted):
    """A request about an image of the frame `own`, with its point in another one."""
    image = robot.new_image()
    image.header.frame_id = own
    return robot.query_image.Request(
        image=image, camera_info=robot.info(), u=[160.0], v=[120.0], frame=wanted
    )


def test_a_slash_before_the_frame_of_an_image_means_nothing_either(tf2, seen):
    robot = seen()
    robot.show()
    request = about_image(robot, "/robot_eye", "/robot_eye")
    response = robot.call(robot.image, request)
    assert (response.code, response.answers.frame_id) == (Code.OK, "robot_eye") and not tf2
    assert point(response.answers) == pytest.approx((0.0, 0.0, 2.0))
    request.frame = "base_link"
    assert point(robot.call(robot.image, request).answers) == pytest.approx((2.0, 0.0, 1.5))


def test_an_image_without_a_frame_is_not_looked_for_in_tf(tf2, seen):
    robot = seen()
    robot.show()
    request = about_image(robot, "", "base_link")
    response = robot.call(robot.image, request)
    assert response.code == Code.NO_TRANSFORM and "frame_id" in response.message
    assert not any(buffer.asked for buffer in tf2)
    request.frame = ""
    assert robot.call(robot.image, request).code == Code.OK


def test_a_frame_to_which_nothing_leads_is_refused_with_what_is_known(tf2, seen, monkeypatch):
    monkeypatch.setattr(frames, "WAIT_S", 0.1)
    robot = seen()
    robot.show()
    response = robot.ask(frame="moon")
    assert (response.success, response.code) == (False, Code.NO_TRANSFORM)
    assert all(name in response.message for name in ("moon", "robot_eye"))
    assert len(response.answers.distance) == 0


def test_without_tf2_another_frame_is_refused_by_name_and_the_own_one_is_not(seen, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    robot = seen()
    robot.show()
    response = robot.ask(frame="base_link")
    assert (response.success, response.code) == (False, Code.NO_TRANSFORM)
    assert "tf2_ros" in response.message
    assert robot.ask(frame="robot_eye").success


def test_over_a_real_tf_topic(seen):
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: it has no wheels")
    robot = seen()
    broadcaster = tf2_ros.StaticTransformBroadcaster(robot.node)
    broadcaster.sendTransform(looking_ahead("base_link", "robot_eye"))
    robot.show()
    response = robot.ask(frame="base_link")
    assert (response.code, response.answers.frame_id) == (Code.OK, "base_link")
    assert point(response.answers) == pytest.approx((2.0, 0.0, 1.5))


def test_where_a_recording_begins_again_tf_does_too(seen):
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: it has no wheels")
    robot = seen()
    broadcaster = tf2_ros.TransformBroadcaster(robot.node)
    now = 0

    def move():
        """What is heard of a robot that moves."""
        for second in range(now - 3, now + 3):
            moved = looking_ahead("base_link", "robot_eye")
            moved.header.stamp.sec = second
            broadcaster.sendTransform(moved)

    robot.node.create_timer(0.05, move)
    for now in (5000, 1000):
        robot.play(from_s=now)
        robot.show()
        assert robot.ask(frame="base_link").code == Code.OK


def test_tf_is_forgotten_where_the_stamps_of_images_jump_back_beyond_what_it_remembers(tf2, seen):
    robot = seen()
    robot.play(from_s=5000)
    robot.show()
    assert robot.ask(frame="base_link").success
    robot.play(from_s=4995)
    robot.show()
    assert tf2[0].cleared == 0
    robot.play(from_s=1000)
    robot.show()
    assert tf2[0].cleared == 1
