# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Launch files, parameter file and RViz view name only what exists.

The launch system itself is used where it is installed; it does not come as wheels.
"""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
rclpy = pytest.importorskip("rclpy")
from depthlm_ros.demo.scene import FRAME_ID
from depthlm_ros.predict import choose_checkpoint
from depthlm_ros.ros.parameters import Parameters, Settings

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))
PARAMETERS = {about.metadata["name"]: about.default for about in dataclasses.fields(Settings)}
PARAMETERS["cameras"] = ["camera"]
PROMISED = {
    *("image", "camera_info", "namespace", "params_file", "checkpoint", "engine", "device"),
    *("log_level", "use_sim_time", "rviz", "autostart", "cameras"),
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
    told = (ROOT / "README.md").read_text().split("Launch arguments: ")[1].split("\n\n")[0]
    assert PROMISED <= set(re.findall(r"`([a-z_]+)`", told))


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
        assert f"{name} = depthlm_ros." in scripts


def test_the_demo_camera_has_the_parameters_that_its_launch_file_gives():
    source = (ROOT / "depthlm_ros/ros/tools/demo_camera.py").read_text()
    for name in table(ROOT / "launch/demo.launch.py", "CAMERA"):
        assert f'"{name}"' in source
    assert FRAME_ID in constants(ROOT / "launch/demo.launch.py")


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


def function(path, name, others):
    """A function of a launch file, which needs no launch system, with those that it calls."""
    tree = ast.parse(path.read_text())
    tree.body = [n for n in tree.body if getattr(n, "name", "") in (name, *others)]
    space = {}
    exec(compile(tree, str(path), "exec"), space)  # noqa: S102, our own file
    return space[name]


def test_intrinsics_are_looked_for_beside_the_pictures_of_each_camera():
    path = ROOT / "launch/depthlm.launch.py"
    remappings = function(path, "_remappings", ["_sibling"])
    one = {"image": "/camera/image_raw", "camera_info": ""}
    assert dict(remappings(one, {})) == {
        "image": "/camera/image_raw",
        "camera_info": "/camera/camera_info",
    }
    several = function(path, "_several", [])("left=/l/image_raw, right=/r/image")
    assert dict(remappings(one, several)) == {
        "left/image": "/l/image_raw",
        "left/camera_info": "/l/camera_info",
        "right/image": "/r/image",
        "right/camera_info": "/r/camera_info",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_the_launch_system_reads_the_file(path):
    try:
        from launch import LaunchContext
        from launch.launch_description_sources import PythonLaunchDescriptionSource
    except ImportError:
        pytest.skip("the launch system is not installed")
    description = PythonLaunchDescriptionSource(str(path)).get_launch_description(LaunchContext())
    names = {argument.name for argument in description.get_launch_arguments()}
    assert names >= {"checkpoint", "engine", "device", "rviz"}
