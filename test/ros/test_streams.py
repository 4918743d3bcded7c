# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the node does unasked, seen from inside: nothing without a listener, nothing twice."""

import re
import threading
from io import BytesIO

import numpy as np
import pytest

pytest.importorskip("rclpy")
from PIL import Image as ImageFile
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import Code
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros.publish import streams
from depthlm_ros.ros.publish.streams import STREAMS, Streams

ROW = Checkpoint("fake", "", "none", 250.0, "marker", "marker", {"marker": "tags"})
PARAMETERS = {"grid.rate": 20, "grid.columns": 4, "grid.rows": 3, "query.max_pixels": 5}
PARAMETERS["qos_overrides./image.subscription.depth"] = 3
PARAMETERS["qos_overrides./depthlm/points.publisher.depth"] = 7


def answering(answer):
    """A load of a predictor that answers so."""
    return lambda progress: AskingPredictor(ScriptedEngine(answer), ROW)


@pytest.fixture
def made(start_node):
    """(node, robot, pixels asked so far), all in this process."""
    asked = []

    def answer(view, pixel):
        asked.append(pixel)
        return 2.0

    return *start_node(answering(answer), **PARAMETERS), asked


def test_without_a_listener_no_grid_is_asked(made):
    _, robot, asked = made
    robot.show()
    before = len(asked)
    robot.wait(_after(robot, 0.5))
    assert len(asked) == before


def test_an_image_that_stays_is_asked_once_and_its_cloud_is_sent_again(made):
    _, robot, asked = made
    robot.show()
    before, clouds = len(asked), []
    robot.node.create_subscription(PointCloud2, "/depthlm/points", clouds.append, 1)
    robot.wait(lambda: len(clouds) > 3)
    assert len(asked) == before + 12
    assert all(cloud == clouds[0] for cloud in clouds)


def test_a_new_image_gives_a_new_cloud(made):
    _, robot, _ = made
    clouds = []
    robot.node.create_subscription(PointCloud2, "/depthlm/points", clouds.append, 1)
    for image in (robot.new_image(), robot.new_image()):
        robot.show(image)
        robot.wait(lambda image=image: clouds and clouds[-1].header == image.header)


@pytest.mark.parametrize("stream", STREAMS)
def test_one_listener_is_enough_and_nothing_else_is_made(made, stream, monkeypatch):
    _, robot, asked = made
    received, made_of, send = [], [], Streams._send

    def spied(self, name, make):
        send(self, name, lambda: made_of.append(name) or make())

    monkeypatch.setattr(Streams, "_send", spied)
    robot.node.create_subscription(STREAMS[stream], f"/depthlm/{stream}", received.append, 1)
    image = robot.new_image()
    robot.show(image)
    robot.wait(lambda: len(asked) >= 12 and received)
    first = received[-1].markers[0] if stream == "markers" else received[-1]
    assert first.header == image.header
    assert set(made_of) == {stream}


def test_the_depth_image_and_its_camera_have_the_size_of_the_grid_and_one_stamp(made):
    _, robot, _ = made
    depths, infos = [], []
    robot.node.create_subscription(Image, "/depthlm/depth/image", depths.append, 1)
    robot.node.create_subscription(CameraInfo, "/depthlm/depth/camera_info", infos.append, 1)
    robot.show()
    depth, info = robot.wait(lambda: depths and infos and (depths[-1], infos[-1]))
    assert (depth.encoding, depth.width, depth.height, depth.step) == ("32FC1", 4, 3, 16)
    assert (info.width, info.height, info.header) == (4, 3, depth.header)
    z = np.frombuffer(depth.data, np.float32).reshape(3, 4)
    assert (z < 2.0).all() and z[1, 1] == z.max()  # along the axis, not along the rays


def test_a_question_shows_its_own_overlay_and_markers(made):
    node, robot, _ = made
    node.set_parameters([Parameter("grid.rate", value=0.0)])
    robot.show()
    overlays, markers = [], []
    robot.node.create_subscription(Image, "/depthlm/overlay", overlays.append, 1)
    robot.node.create_subscription(MarkerArray, "/depthlm/markers", markers.append, 1)
    robot.wait(lambda: robot.ask([160.0, 20.0], [120.0, 120.0]) and overlays and markers)
    assert [m.text for m in markers[-1].markers if m.text] == ["2.00 m", "2.00 m"]


def test_overlays_are_made_smaller_raw_and_compressed(made):
    node, robot, _ = made
    node.set_parameters(
        [Parameter("grid.rate", value=0.0), Parameter("overlay.max_width", value=80)]
    )
    robot.show()
    raw, jpegs = [], []
    robot.node.create_subscription(Image, "/depthlm/overlay", raw.append, 1)
    robot.node.create_subscription(CompressedImage, "/depthlm/overlay/compressed", jpegs.append, 1)
    robot.wait(lambda: robot.ask([240.0], [60.0]) and raw and jpegs)
    assert (raw[-1].width, raw[-1].height) == (80, 60)
    pixels = np.frombuffer(raw[-1].data, np.uint8).reshape(60, 80, 3).astype(int)
    assert np.ptp(pixels[15, 60]) > 50 > np.ptp(pixels[15, 20])  # a coloured disc on grey
    assert jpegs[-1].format == "jpeg"
    decoded = np.asarray(ImageFile.open(BytesIO(jpegs[-1].data))).astype(int)
    assert np.abs(decoded - pixels).mean() < 8


def test_what_is_drawn_while_the_node_is_cleaned_up_is_not_sent_and_breaks_nothing(
    made, monkeypatch, caplog, capfd
):
    node, robot, _ = made
    drawing, go_on, fill = threading.Event(), threading.Event(), streams.filled_message

    def slow(*content):
        drawing.set()
        go_on.wait(20)
        return fill(*content)

    robot.show()
    monkeypatch.setattr(streams, "filled_message", slow)
    robot.node.create_subscription(Image, "/depthlm/overlay", [].append, 1)
    robot.wait(drawing.is_set)
    for step in (node.trigger_deactivate, node.trigger_cleanup):
        step()
    go_on.set()
    robot.wait(lambda: "model" not in {thread.name for thread in threading.enumerate()})
    assert not caplog.records and "Traceback" not in capfd.readouterr().err


def test_no_cloud_is_older_than_allowed_and_the_newest_image_takes_its_turn(start_node):
    held, began = threading.Event(), threading.Event()

    def answer(view, pixel):
        if not held.is_set():
            began.set()
            held.wait(20)
        return 2.0

    _, robot = start_node(answering(answer), **PARAMETERS, grid__max_age=0.5)
    clouds = []
    robot.node.create_subscription(PointCloud2, "/depthlm/points", clouds.append, 10)
    first, second = robot.new_image(), robot.new_image()

    def send(image):
        info = robot.info()
        info.header.stamp = image.header.stamp
        robot.infos.publish(info)
        robot.images.publish(image)
        return True

    robot.wait(lambda: send(first) and began.is_set())
    robot.wait(_after(robot, 0.7))
    held.set()
    robot.wait(lambda: send(second) and clouds)
    assert {cloud.header.stamp.sec for cloud in clouds} == {second.header.stamp.sec}
    robot.wait(_after(robot, 1.0))  # the camera is silent: its last image is no news
    count = len(clouds)
    robot.wait(_after(robot, 0.5))
    assert len(clouds) == count


def test_a_request_of_more_pixels_than_allowed_is_refused(made):
    _, robot, _ = made
    robot.show()
    assert robot.ask([160.0] * 5, [120.0] * 5).success
    refused = robot.ask([160.0] * 6, [120.0] * 6)
    assert (refused.success, refused.code) == (False, Code.BAD_REQUEST)
    assert re.search(r"\b6\b.*\b5\b", refused.message)


def test_qos_is_overridden_in_full_on_outputs_but_never_the_reliability_of_inputs(made):
    node, _, _ = made
    declared = {name for name in node._parameters if name.startswith("qos_overrides.")}
    for topic in ("/depthlm/points", "/depthlm/overlay"):
        prefix = f"qos_overrides.{topic}.publisher"
        assert {f"{prefix}.{p}" for p in ("history", "depth", "reliability")} <= declared
    for topic in ("/image", "/camera_info"):
        prefix = f"qos_overrides.{topic}.subscription"
        assert {n for n in declared if n.startswith(prefix)} == {
            f"{prefix}.history",
            f"{prefix}.depth",
        }
    assert node.get_parameter("qos_overrides./depthlm/points.publisher.depth").value == 7
    assert node.get_parameter("qos_overrides./depthlm/overlay.publisher.depth").value == 1
    assert node.get_parameter("qos_overrides./image.subscription.depth").value == 3


def _after(robot, seconds):
    end = robot.node.get_clock().now().nanoseconds + seconds * 1e9
    return lambda: robot.node.get_clock().now().nanoseconds > end
