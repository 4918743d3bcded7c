# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the programs do with their command line: help, errors, ROS's own arguments."""

import re
import signal
import subprocess
import sys

import pytest

pytest.importorskip("rclpy")
from sensor_msgs.msg import Image

from depthlm_ros.ros import node
from depthlm_ros.ros.tools import demo_camera

CAMERA = "depthlm_ros.ros.tools.demo_camera"


@pytest.fixture(autouse=True)
def own_interrupt():
    """What main() does with SIGINT is undone."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "module, word", [("depthlm_ros.ros.node", "checkpoint:=tiny"), (CAMERA, "fx, fy")]
)
def test_help_is_printed_and_nothing_is_started(module, word):
    words = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("usage: depthlm_")
    assert word in done.stdout and "--ros-args" in done.stdout


@pytest.mark.parametrize("main", [node.main, demo_camera.main])
@pytest.mark.parametrize(
    "words, problem",
    [
        (["kitchen.jpg", "--rate", "2"], "kitchen.jpg --rate 2"),
        (["kitchen.jpg", "--ros-args", "-r", "image:=photo"], "kitchen.jpg"),
        (["--ros-args", "-p", "rate"], "-p rate"),
        (["--ros-args", "--params-file", "/no/such.yaml"], "'--params-file /no/such.yaml'"),
    ],
)
def test_what_is_no_argument_of_ros_or_cannot_be_read_is_named_and_refused(
    main, words, problem, capfd
):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    output = capfd.readouterr().err
    assert problem in output and "Traceback" not in output


@pytest.mark.parametrize(
    "given, problem",
    [
        ("rate:=0", r"\brate\b.*\b0\b"),
        ("rate:=1.0e-300", r"\brate\b.*\b1e-300\b.*\b0\.001\b"),
        ("use_sim_time:=ture", r"\buse_sim_time\b"),
        ("fx:=-1", r"\bfx\b.*-1\b.*\b0\b"),
        ("cx:=.nan", r"\bcx\b.*\bnan\b"),
        ("rate:=fast", r"\brate\b.*'fast'"),
        ("image:=5", r"\bimage\b.*\b5\b"),
    ],
)
def test_a_parameter_of_the_camera_that_cannot_be_is_named(given, problem, graph, capfd):
    assert demo_camera.main(["--ros-args", "-p", given]) == 1
    assert re.match(f"demo_camera: .*{problem}", capfd.readouterr().err.splitlines()[-1])


def test_a_camera_of_no_image_is_refused(node_process, make_robot):
    child = node_process("-p", "fx:=700.0", "-p", "camera:=eye.yaml", module=CAMERA)
    make_robot().wait(lambda: child.status is not None)
    assert child.status == 1
    assert re.fullmatch(r"demo_camera: camera and fx\b.*\bimage\b.*\n", child.output())


def test_the_arguments_of_ros_pass_and_a_whole_number_is_a_rate(node_process, make_robot):
    words = "-p", "rate:=50", "-r", "__ns:=/fifty", "--log-level", "warn", "--"
    child = node_process(*words, module=CAMERA)
    robot, received = make_robot("/fifty"), []
    robot.node.create_subscription(Image, "image_raw", received.append, 1)
    robot.wait(lambda: len(received) > 1)
    assert child.stop() == 0


def test_a_camera_shows_images_where_simulated_time_stands_and_tells_a_misspelt_parameter(
    node_process, make_robot
):
    words = "-p", "use_sim_time:=true", "-r", "__ns:=/standing", "-p", "imag:=kitchen.jpg"
    child = node_process(*words, module=CAMERA)
    robot, received = make_robot("/standing"), []
    robot.node.create_subscription(Image, "image_raw", received.append, 1)
    robot.wait(lambda: len(received) > 1)
    assert received[-1].header.stamp.sec == 0
    assert child.stop() == 0
    assert re.search(r"WARN.*\bimag\b.*\bimage\b", child.output())
