# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Node processes that lack something: they start, say what, and live on, or end with one line."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from depthlm_ros.errors import Code

PARAMETERS = Path(__file__).parents[2] / "config" / "depthlm.yaml"


@pytest.fixture(scope="module")
def namespaced(lasting_nodes, checkpoint, tmp_path_factory):
    """A node under /left with the shipped parameter file, but for the model."""
    text = PARAMETERS.read_text()
    changed = text.replace("checkpoint: tiny", f"checkpoint: {checkpoint}")
    changed = changed.replace("engine: local", "engine: scripted")
    assert changed.count("scripted") == text.count("scripted") + 1
    path = tmp_path_factory.mktemp("config") / "depthlm.yaml"
    path.write_text(changed)
    return lasting_nodes.start("-r", "__ns:=/left", "--params-file", str(path))


def test_before_the_first_image_the_node_names_topics_that_there_are(namespaced, make_robot):
    robot = make_robot("/right", "/left/depthlm")
    response = robot.wait(lambda: _not_loading(robot))
    assert not response.success
    robot.wait(lambda: "/right/image" in robot.ask().message)
    response = robot.ask()
    assert response.code == Code.NO_IMAGE
    assert "/left/image" in response.message and "-r image:=TOPIC" in response.message
    robot.wait(lambda: "/left/image" in namespaced.output())


def test_an_image_without_intrinsics_is_not_guessed_about(namespaced, make_robot):
    robot = make_robot("/left", "/left/depthlm")
    robot.wait(
        lambda: robot.images.publish(robot.new_image()) or "camera_info" in robot.ask().message
    )
    response = robot.ask()
    assert (response.success, response.code) == (False, Code.NO_IMAGE)
    assert "/left/camera_info" in response.message


def test_a_namespace_and_a_parameter_file_go_together(namespaced, make_robot):
    robot = make_robot("/left", "/left/depthlm")
    response = robot.show()
    assert response.success and list(response.answers.distance) == [2.0]


def test_subscriptions_follow_the_reliability_of_the_publishers(namespaced, make_robot):
    """And nothing says that what comes in the end will not come."""
    robot = make_robot("/left", "/left/depthlm")

    def subscribed():
        infos = robot.node.get_subscriptions_info_by_topic("/left/image")
        return [i.qos_profile.reliability for i in infos if i.node_name == "depthlm"]

    robot.wait(lambda: subscribed() == [ReliabilityPolicy.RELIABLE])
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    for name, kind in (("images", Image), ("infos", CameraInfo)):
        publisher = getattr(robot, name)
        setattr(robot, name, robot.node.create_publisher(kind, publisher.topic_name, best_effort))
        robot.node.destroy_publisher(publisher)
    robot.wait(lambda: subscribed() == [ReliabilityPolicy.BEST_EFFORT])
    assert robot.show().success
    assert "incompatible QoS" not in namespaced.output()


def test_a_checkpoint_that_is_not_there_is_told_in_every_answer(node_process, make_robot):
    child = node_process("-r", "__node:=lost", "-p", "checkpoint:=/no/such/folder")
    robot = make_robot("", "/lost")
    response = robot.wait(lambda: _not_loading(robot))
    assert not response.success
    assert response.code == Code.UNCONFIGURED
    assert "'/no/such/folder'" in response.message
    assert robot.ask().message == response.message
    assert child.stop() == 0
    lines = [line for line in child.output().splitlines() if "[ERROR]" in line]
    assert len(lines) == 1 and "'/no/such/folder'" in lines[0]
    assert "Traceback" not in child.output()


def _not_loading(robot):
    response = robot.ask()
    return None if response.code == Code.LOADING else response


BLOCKED = """
import sys
sys.modules["depthlm_interfaces"] = None
from depthlm_ros.ros.node import main
sys.exit(main())
"""


def test_without_the_interfaces_package_there_are_still_clouds(node_from, checkpoint, make_robot):
    child = node_from(
        BLOCKED,
        *("-r", "__node:=bare", "-p", "engine:=scripted", "-p", f"checkpoint:={checkpoint}"),
        *("-p", "grid.rate:=10", "-p", "grid.columns:=3", "-p", "grid.rows:=2"),
    )
    robot = make_robot("", "/bare")
    clouds = []
    robot.node.create_subscription(PointCloud2, "/bare/points", clouds.append, 1)
    robot.wait(
        lambda: (
            robot.infos.publish(robot.info()) or robot.images.publish(robot.new_image()) or clouds
        )
    )
    assert (clouds[0].width, clouds[0].height) == (3, 2)
    assert "depthlm_interfaces" in child.output()
    assert "make setup" in child.output() and "Traceback" not in child.output()


def test_bad_parameters_end_the_node_with_one_line_that_names_them_all(node_process, make_robot):
    child = node_process("-p", "engine:=warp", "-p", "grid.rate:=-1", "-p", "grid.rows:=0")
    make_robot().wait(lambda: child.status is not None)
    assert child.status == 1
    assert all(name in child.output() for name in ("engine", "grid.rate", "grid.rows"))
    assert len(child.output().strip().splitlines()) == 1, child.output()


RAISING = """
import sys, types
sys.modules["torch"] = types.ModuleType("torch")  # as while another thread imports it
from depthlm_ros.ros import node
from depthlm_ros.ros.publish.diagnostics import Diagnostics
tick, calls = Diagnostics._tick, []
def raising(self):
    calls.append(None)
    if len(calls) < 3:
        raise RuntimeError("a fault of ours")
    tick(self)
Diagnostics._tick = raising
sys.exit(node.main())
"""


def test_a_callback_that_raises_is_told_once_and_the_node_goes_on(
    node_from, checkpoint, make_robot
):
    child = node_from(
        RAISING,
        *("-r", "__node:=raising", "-p", "engine:=scripted", "-p", f"checkpoint:={checkpoint}"),
    )
    robot = make_robot("", "/raising")
    robot.wait(lambda: "RuntimeError: a fault of ours" in child.output())
    received = []
    robot.node.create_subscription(DiagnosticArray, "/diagnostics", received.append, 10)
    robot.wait(lambda: [s for m in received for s in m.status if s.name == "raising: model"])
    assert robot.wait(lambda: _not_loading(robot)).code == Code.NO_IMAGE
    assert child.output().count("RuntimeError: a fault of ours") == 1
    assert child.stop() == 0
