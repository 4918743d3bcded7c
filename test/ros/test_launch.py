# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Launch files, parameter file and RViz view name only what exists.

The launch system itself is used where it is installed; it does not come as wheels.
"""

import ast
import dataclasses
import os
import re
import signal
import sys
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
rclpy = pytest.importorskip("rclpy")
from rclpy.parameter_client import AsyncParameterClient

from depthlm_ros.demo.scene import FRAME_ID
from depthlm_ros.errors import InputError
from depthlm_ros.predict import choose_checkpoint
from depthlm_ros.ros.arguments import (
    boolean,
    camera_topics,
    check_alone,
    check_file,
    check_installed,
    check_namespace,
    check_topic,
    choice,
    is_installed,
    number,
)
from depthlm_ros.ros.parameters import Parameters
from depthlm_ros.ros.settings import Settings
from depthlm_ros.ros.tools.child import Child

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))
PARAMETERS = {about.metadata["name"]: about.default for about in dataclasses.fields(Settings)}
PARAMETERS |= {n: list(value) for n, value in PARAMETERS.items() if isinstance(value, tuple)}
PROMISED = {
    *("image", "camera_info", "namespace", "params_file", "checkpoint", "engine", "device"),
    *("log_level", "use_sim_time", "rviz", "autostart", "cameras", "respawn"),
}


def constants(path):
    """All texts in a launch file but for docstrings."""
    tree = ast.parse(path.read_text())
    return {
        n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) is str
    }


def table(path, name):
    """Keys of the dict assigned to `name` at the top of a launch file."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return {key.value for key in node.value.keys}
    raise AssertionError(f"{path} has no {name}")


def flat(tree, prefix=""):
    """Dotted name -> value of nested parameters."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_the_launch_arguments_are_the_promised_ones():
    assert table(ROOT / "launch/depthlm.launch.py", "ARGUMENTS") == PROMISED
    assert table(ROOT / "launch/demo.launch.py", "PASSED_ON") <= PROMISED


def test_the_readme_names_every_launch_argument():
    arguments = (ROOT / "README.md").read_text().split("Launch arguments: ")[1].split("\n\n")[0]
    of_camera = table(ROOT / "launch/demo.launch.py", "CAMERA")
    assert PROMISED | of_camera <= set(re.findall(r"`([a-z_]+)`", arguments))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_file_that_a_launch_file_names_exists(path):
    named = {c for c in constants(path) if re.fullmatch(r"[\w.]+\.(yaml|rviz|launch\.py)", c)}
    assert named
    for name in named:
        assert any((ROOT / folder / name).is_file() for folder in ("config", "launch")), name


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_program_that_a_launch_file_starts_is_installed_by_setup(path):
    scripts = (ROOT / "setup.py").read_text()
    for name in {c for c in constants(path) if c.startswith("depthlm_") and c != "depthlm_ros"}:
        assert f'"scripts/{name}"' in scripts and (ROOT / "scripts" / name).is_file()


def test_the_demo_camera_has_the_parameters_that_its_launch_file_gives():
    source = (ROOT / "depthlm_ros/ros/tools/demo_camera.py").read_text()
    for name in table(ROOT / "launch/demo.launch.py", "CAMERA"):
        assert f'"{name}"' in source
    assert FRAME_ID in constants(ROOT / "launch/demo.launch.py")


def test_the_demo_stays_in_the_namespace_that_it_is_included_in():
    assert not [c for c in constants(ROOT / "launch/demo.launch.py") if c.startswith("/")]


def test_the_parameter_file_holds_every_parameter_with_its_default_for_any_namespace():
    content = yaml.safe_load((ROOT / "config/depthlm.yaml").read_text())
    assert list(content) == ["/**"]
    assert dict(flat(content["/**"]["ros__parameters"])) == PARAMETERS


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda p: p.name)
def test_every_parameter_file_holds_known_parameters_with_values_that_go_together(path, context):
    content = yaml.safe_load(path.read_text())
    assert list(content) == ["/**"]
    given = dict(flat(content["/**"]["ros__parameters"]))
    arguments = ["--ros-args", "--params-file", str(path)]
    node = rclpy.create_node("any", context=context, cli_args=arguments, enable_rosout=False)
    Parameters(node).checked()
    found = {name: node.get_parameter(name).value for name in given}
    node.destroy_node()
    assert found == given


def test_the_parameter_files_of_a_style_fit_the_checkpoint_that_they_name():
    for path in (ROOT / "config" / name for name in ("marker.yaml", "coordinates.yaml")):
        text = path.read_text()
        given = yaml.safe_load(text)["/**"]["ros__parameters"]
        checkpoint = re.search(r"checkpoint:=(\S+)", text).group(1)
        choose_checkpoint(checkpoint, "", given["style"], given["grid"]["style"])


def function(path, name, others, **space):
    """A function of a launch file, which needs no launch system, with those that it calls."""
    tree = ast.parse(path.read_text())
    tree.body = [n for n in tree.body if getattr(n, "name", "") in (name, *others)]
    exec(compile(tree, str(path), "exec"), space)  # noqa: S102, our own file
    return space[name]


def test_intrinsics_are_looked_for_beside_the_images_of_each_camera():
    path = ROOT / "launch/depthlm.launch.py"
    remappings = function(path, "_remappings", ["_sibling", "_prefix"])
    given = {"image": "/camera/image_raw", "camera_info": "", "cameras": {}}
    plain = {"image": "/camera/image_raw", "camera_info": "/camera/camera_info"}
    assert dict(remappings(given)) == plain
    compressed = {**given, "image": "/camera/image_raw/compressed"}
    assert dict(remappings(compressed))["camera_info"] == "/camera/camera_info"
    one = {"camera": "/camera/image_raw"}  # the name that the node's only camera has by default
    assert dict(remappings({**given, "cameras": one})) == plain
    assert dict(remappings({**given, "cameras": {"left": "/l/image_raw"}})) == {
        "left/image": "/l/image_raw",
        "left/camera_info": "/l/camera_info",
    }
    several = {"left": "/l/image_raw", "right": "/r/image"}
    assert dict(remappings({**given, "cameras": several})) == {
        "left/image": "/l/image_raw",
        "left/camera_info": "/l/camera_info",
        "right/image": "/r/image",
        "right/camera_info": "/r/camera_info",
    }


def test_a_topic_beside_cameras_that_name_theirs_is_refused():
    check_alone({}, {"image": "/a/image", "camera_info": ""})
    check_alone({"left": "/l/image"}, {"image": "", "camera_info": ""})
    with pytest.raises(InputError, match="camera_info:=/a/info"):
        check_alone({"left": "/l/image"}, {"image": "", "camera_info": "/a/info"})


def test_cameras_are_read_from_the_command_line():
    assert camera_topics("") == camera_topics(" , ") == {}
    assert camera_topics("left=/a/image") == {"left": "/a/image"}
    assert list(camera_topics("b = image, a=/a/image_raw").items()) == [
        ("b", "image"),
        ("a", "/a/image_raw"),
    ]


@pytest.mark.parametrize(
    "text, named",
    [
        ("left", ["'left'"]),
        ("left=", ["'left='"]),
        ("=/a/image", ["''"]),
        ("2=/a/image", ["'2'"]),
        ("left=/a/image,left=/b/image", ["'left'"]),
        (
            "a=/a b,right,right=x",
            ["'/a b'", "'right'"],
        ),
        (f"{'c' * 5000}=/a/image", ["ccc"]),
    ],
)
def test_cameras_that_cannot_be_are_all_named(text, named):
    with pytest.raises(InputError) as caught:
        camera_topics(text)
    for part in named:
        assert part in str(caught.value)


@pytest.mark.parametrize("word", ["true", "True", " yes", "ON", "1", "y"])
def test_words_that_ros_reads_as_true_are_true(word):
    assert boolean("rviz", word) is True


@pytest.mark.parametrize("word", ["false", "No", "off ", "0", "n"])
def test_words_that_ros_reads_as_false_are_false(word):
    assert boolean("rviz", word) is False


@pytest.mark.parametrize("word", ["ture", "", "t", "enabled", "2"])
def test_other_words_are_neither(word):
    with pytest.raises(InputError, match="rviz"):
        boolean("rviz", word)


def test_one_of_a_few_words_may_be_written_in_any_case():
    assert choice("log_level", " WARN", ["info", "warn"]) == "warn"
    with pytest.raises(InputError, match=r"log_level.*'loud'.*info, warn"):
        choice("log_level", "loud", ["info", "warn"])


@pytest.mark.parametrize("topic", ["image", "/camera/image_raw", "~/image", "/_2/a_/B"])
def test_what_ros_takes_for_a_topic_is_one(topic, context):
    check_topic("image", topic)
    assert remapped(topic, context)


@pytest.mark.parametrize("topic", ["", " a", "/a//b", "/a/2b", "a/", "~a", "/a-b", "/ä", "/b__"])
def test_what_ros_takes_for_none_is_refused_with_the_argument(topic, context):
    with pytest.raises(InputError, match=r"camera_info is '.*letters, digits"):
        check_topic("camera_info", topic)
    assert not remapped(topic, context)


def remapped(topic, context):
    """Whether a node's topic can be remapped to another one."""
    try:
        node = rclpy.create_node(
            "any",
            context=context,
            cli_args=["--ros-args", "-r", f"image:={topic}"],
            enable_rosout=False,
        )
    except RuntimeError:  # what rcl raises has no public name
        return False
    name = node.resolve_topic_name("image")
    node.destroy_node()
    return name.endswith(topic.lstrip("~/"))


@pytest.mark.parametrize("text", ["", "/", "front", "/fleet/front_2/"])
def test_what_ros_takes_for_a_namespace_is_one(text):
    check_namespace("namespace", text)


@pytest.mark.parametrize("text", ["front robot", "2", "a-b", "~/front", "a//b", "/ä"])
def test_what_is_no_namespace_is_refused(text):
    with pytest.raises(InputError, match=rf"namespace is '{text}'"):
        check_namespace("namespace", text)


def test_lengths_in_pixels_are_numbers_of_0_or_more():
    assert [number("fx", text) for text in ("0.0", "560", "1e3")] == [0.0, 560.0, 1000.0]
    for text in ("wide", "", "-500", "nan", "inf", "1e400"):
        with pytest.raises(InputError, match=rf"fx is '{text}'"):
            number("fx", text)


def test_a_file_that_is_not_there_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").touch()
    check_file("params_file", "my.yaml")
    for text in ("your.yaml", "~/my.yaml", ".", ""):
        with pytest.raises(InputError, match=rf"params_file.*{re.escape(str(tmp_path / text))}"):
            check_file("params_file", text)


def test_a_program_is_there_if_ros2_run_would_start_it(prefix):
    assert is_installed("depthlm_ros", "depthlm_node")
    assert not is_installed("depthlm_ros", "no_such_program")
    assert not is_installed("rviz2", "rviz2")
    with pytest.raises(InputError) as caught:
        check_installed({"depthlm_ros": "depthlm_node", "rviz2": "rviz2", "tf2_ros": "any"})
    assert "rviz2" in str(caught.value) and "tf2_ros" in str(caught.value)
    prefix("rviz2", "rviz2")
    assert is_installed("rviz2", "rviz2")


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """prefix(package, program): adds a package whose program says its name, writes what it was
    given into PROGRAM.words, and waits; of this package the real programs, launch files and
    parameters are there."""

    def add(package, program, target=None):
        index = tmp_path / "share/ament_index/resource_index/packages"
        for folder in (index, tmp_path / "lib" / package, tmp_path / "share" / package):
            folder.mkdir(parents=True, exist_ok=True)
        (index / package).touch()
        path = tmp_path / "lib" / package / program
        if target is None:
            path.write_text(
                f'#!/bin/sh\necho "{program} runs"\necho $@ >$0.words\nexec sleep 60\n'
            )
            path.chmod(0o755)
        else:
            path.symlink_to(target)

    for program in ("depthlm_node", "depthlm_demo_camera"):
        add("depthlm_ros", program, Path(sys.executable).parent / program)
    for name in ("launch", "config", "package.xml"):
        (tmp_path / "share/depthlm_ros" / name).symlink_to(ROOT / name)
    known = os.environ.get("AMENT_PREFIX_PATH", "")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}{os.pathsep}{known}")
    return add


LAUNCHED = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
path, *words = sys.argv[1:]
file = IncludeLaunchDescription(
    PythonLaunchDescriptionSource(path),
    launch_arguments=[word.split(":=", 1) for word in words],
)
service = LaunchService()
service.include_launch_description(LaunchDescription([file]))
sys.exit(service.run())
"""


@pytest.fixture
def launched(graph, prefix, tmp_path):
    """launched(file, "rviz:=true", ...) -> Child that runs what `ros2 launch` runs."""
    pytest.importorskip("launch_ros", reason="the launch system is not installed")
    started = []
    (tmp_path / "launched.py").write_text(LAUNCHED)

    def start(file, *words):
        path = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
        child = Child(
            "launched",
            [str(ROOT / "launch" / file), *words],
            {"PYTHONPATH": os.pathsep.join(path), "ROS_LOG_DIR": str(tmp_path / "log")},
            log=tmp_path / "output",
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.stop()


@pytest.mark.parametrize(
    "file, words, named",
    [
        ("depthlm.launch.py", ["rviz:=true"], "rviz2"),
        ("depthlm.launch.py", ["autostart:=ture"], "'ture'"),
        ("depthlm.launch.py", ["use_sim_time:=maybe"], "'maybe'"),
        ("depthlm.launch.py", ["respawn:=2"], "'2'"),
        ("depthlm.launch.py", ["cameras:=left"], "'left'"),
        ("depthlm.launch.py", ["image:=/eye/image-raw"], "'/eye/image-raw'"),
        ("depthlm.launch.py", ["params_file:=/no/such.yaml"], "/no/such.yaml"),
        ("depthlm.launch.py", ["log_level:=loud"], "'loud'"),
        ("depthlm.launch.py", ["namespace:=front robot"], "'front robot'"),
        ("demo.launch.py", [], "tf2_ros"),
        ("demo.launch.py", ["fx:=wide"], "'wide'"),
        ("demo.launch.py", ["fx:=-500"], "'-500'"),
        ("demo.launch.py", ["image:=/no/such.jpg"], "/no/such.jpg"),
    ],
)
def test_where_something_is_wrong_launch_ends_before_it_starts_anything(
    launched, robot, file, words, named
):
    child = launched(file, "engine:=scripted", *words)
    robot.wait(lambda: child.status is not None)
    assert child.status == 1 and named in child.output()
    assert "process started" not in child.output()


@pytest.mark.parametrize("has_rviz", [False, True])
def test_the_demo_starts_rviz_where_there_is_one(launched, prefix, robot, has_rviz):
    prefix("tf2_ros", "static_transform_publisher")
    if has_rviz:
        prefix("rviz2", "rviz2")
    child = launched("demo.launch.py", "engine:=scripted")
    robot.wait(lambda: robot.node.count_publishers("/camera/image_raw"))
    robot.wait(lambda: "ready" in child.output())
    started = re.findall(r"\[(\w+)-\d\]: process started", child.output())
    assert started.count("static_transform_publisher") == 2
    assert ("rviz2" in started) == has_rviz


def test_the_node_comes_back_where_it_is_wanted(launched, robot):
    child = launched("depthlm.launch.py", "engine:=scripted", "respawn:=on")
    robot.wait(lambda: child.output().count("ready") == 1)
    (pid,) = re.findall(r"process started with pid \[(\d+)\]", child.output())
    os.kill(int(pid), signal.SIGKILL)
    robot.wait(lambda: child.output().count("ready") == 2)


INCLUDING = """
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch_ros.actions import PushRosNamespace, SetParameter

def generate_launch_description():
    words = {"engine": "scripted", "namespace": "front", "log_level": "warn", "rviz": "true"}
    file = IncludeLaunchDescription(FILE, launch_arguments=words.items())
    where = PushRosNamespace("fleet")
    return LaunchDescription([GroupAction([where, SetParameter("use_sim_time", True), file])])
"""


def test_the_file_that_includes_it_decides_about_namespace_time_and_log(
    launched, prefix, robot, tmp_path
):
    prefix("rviz2", "rviz2")
    path = tmp_path / "fleet.launch.py"
    path.write_text(INCLUDING.replace("FILE", repr(str(ROOT / "launch/depthlm.launch.py"))))
    child = launched(path)
    parameters = AsyncParameterClient(robot.node, "/fleet/front/depthlm")
    robot.wait(parameters.services_are_ready)
    asked = parameters.get_parameters(["use_sim_time"])
    robot.wait(asked.done)
    assert asked.result().values[0].bool_value
    robot.wait(lambda: "waiting for image" in child.output())
    assert not re.search(r"INFO.*\[fleet\.front\.depthlm\]", child.output())
    words = (tmp_path / "lib/rviz2/rviz2.words").read_text().split()
    assert {"__ns:=/fleet/front", "/depthlm/points:=/fleet/front/depthlm/points"} <= set(words)


def test_what_was_not_given_is_left_to_the_files_that_include_this_one():
    booleans = function(ROOT / "launch/depthlm.launch.py", "_booleans", [], boolean=boolean)
    given = {"use_sim_time": "", "autostart": "off"}
    assert booleans(given, "use_sim_time", "autostart") == {"autostart": False}
    assert booleans({"use_sim_time": "on"}, "use_sim_time") == {"use_sim_time": True}
    with pytest.raises(InputError, match="use_sim_time"):
        booleans({"use_sim_time": "maybe"}, "use_sim_time")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_the_launch_system_reads_the_file(path):
    pytest.importorskip("launch_ros", reason="the launch system is not installed")
    from launch import LaunchContext
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    description = PythonLaunchDescriptionSource(str(path)).get_launch_description(LaunchContext())
    names = {argument.name for argument in description.get_launch_arguments()}
    assert names >= {"checkpoint", "engine", "device", "rviz", "respawn"}
