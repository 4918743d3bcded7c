# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the node does unasked, seen from inside: nothing without a listener, nothing twice."""

import pytest

pytest.importorskip("rclpy")
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, PointCloud2

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros.node import DepthLMNode

ROW = Checkpoint("fake", "", "none", 250.0, "marker", "marker", {"marker": "tags"})
PARAMETERS = {"grid.rate": 20, "grid.columns": 4, "grid.rows": 3, "query.max_pixels": 5}
PARAMETERS["qos_overrides./image.subscription.depth"] = 3
PARAMETERS["qos_overrides./depthlm/points.publisher.depth"] = 7


@pytest.fixture
def made(context, make_robot):
    """(node, robot, pixels asked so far), all in this process."""
    asked = []

    def answer(view, pixel):
        asked.append(pixel)
        return 2.0

    overrides = [Parameter(name, value=value) for name, value in PARAMETERS.items()]
    node = DepthLMNode(
        lambda progress: AskingPredictor(ScriptedEngine(answer), ROW),
        context=context,
        parameter_overrides=overrides,
    )
    robot = make_robot()
    robot.executor.add_node(node)
    yield node, robot, asked
    assert node.close()


def test_without_a_listener_no_grid_is_asked(made):
    _, robot, asked = made
    robot.show()
    before = len(asked)
    robot.wait(_after(robot, 0.5))
    assert len(asked) == before


def test_a_picture_that_stays_is_asked_once_and_its_cloud_is_sent_again(made):
    _, robot, asked = made
    robot.show()
    before, clouds = len(asked), []
    robot.node.create_subscription(PointCloud2, "/depthlm/points", clouds.append, 1)
    robot.wait(lambda: len(clouds) > 3)
    assert len(asked) == before + 12
    assert all(cloud == clouds[0] for cloud in clouds)


def test_a_new_picture_gives_a_new_cloud(made):
    _, robot, _ = made
    clouds = []
    robot.node.create_subscription(PointCloud2, "/depthlm/points", clouds.append, 1)
    for image in (robot.picture(), robot.picture()):
        robot.show(image)
        robot.wait(lambda image=image: clouds and clouds[-1].header == image.header)


def test_a_listener_of_the_overlay_alone_is_enough(made):
    _, robot, _ = made
    overlays = []
    robot.node.create_subscription(Image, "/depthlm/overlay", overlays.append, 1)
    robot.show()
    robot.wait(lambda: overlays)
    assert overlays[0].encoding == "rgb8"


def test_a_request_of_more_pixels_than_allowed_is_refused(made):
    _, robot, _ = made
    robot.show()
    assert robot.ask([160.0] * 5, [120.0] * 5).success
    refused = robot.ask([160.0] * 6, [120.0] * 6)
    assert "6 pixels were asked, at most 5" in refused.message


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
