# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What colcon, pip and rosdep are told about the two packages is true and complete."""

import ast
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import setuptools

from depthlm_ros.cli.programs import PROGRAMS
from depthlm_ros.ranges import Status

ROOT = Path(__file__).resolve().parents[1]
INTERFACES = ROOT / "depthlm_interfaces"
MANIFESTS = [ROOT / "package.xml", INTERFACES / "package.xml"]


@pytest.fixture(scope="module")
def metadata():
    """What setup.py gives to setup()."""
    content, before = {}, os.getcwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **given: content.update(given))
        os.chdir(ROOT)
        try:
            runpy.run_path("setup.py")
        finally:
            os.chdir(before)
    return content


def test_colcon_finds_both_packages_with_their_ros_types():
    """A malformed manifest makes colcon fall back to plain types, silently."""
    pytest.importorskip("colcon_core", exc_type=ImportError)
    listed = _colcon_list("--base-paths", ".", "depthlm_interfaces")
    assert sorted(line.split("\t") for line in listed.splitlines()) == [
        ["depthlm_interfaces", "depthlm_interfaces", "(ros.ament_cmake)"],
        ["depthlm_ros", ".", "(ros.ament_python)"],
    ]


def test_a_plain_colcon_list_in_the_repository_finds_both_too():
    """colcon_defaults.yaml names the nested package, which the crawl does not reach."""
    pytest.importorskip("colcon_defaults", exc_type=ImportError)
    assert sorted(_colcon_list("--names-only").split()) == ["depthlm_interfaces", "depthlm_ros"]


def test_all_manifests_carry_the_version_of_setup_py(metadata):
    versions = [ElementTree.parse(path).findtext("version") for path in MANIFESTS]
    assert versions == [metadata["version"]] * 2


PACKAGE_OF = {"tf2_ros": "tf2_ros_py"}  # module -> its ROS package, where the names differ
# Used where somebody else brings them: for two topics more, and for a comparison.
OPTIONAL = {"vision_msgs", "sensor_msgs_py"}
OF_PIP = {"numpy", "PIL", "rich"}


def test_rosdep_is_told_of_every_ros_package_that_the_node_and_the_launch_files_import():
    manifest = ElementTree.parse(ROOT / "package.xml")
    told = {element.text for element in manifest.iter("exec_depend")}
    files = [*(ROOT / "depthlm_ros/ros").rglob("*.py"), *(ROOT / "launch").glob("*.py")]
    modules = {module for path in files for module in _imported(path)} - set(
        sys.stdlib_module_names
    )
    packages = {PACKAGE_OF.get(module, module) for module in modules}
    assert packages - OPTIONAL - OF_PIP - {"depthlm_ros"} <= told


def _imported(path):
    """Top-level names of what a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_every_launch_and_config_file_is_installed(metadata):
    installed = {path for _, paths in metadata["data_files"] for path in paths}
    kept = {
        str(path.relative_to(ROOT))
        for folder in ("launch", "config")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert len(kept) >= 4
    assert kept - installed == set()
    assert {"package.xml", "resource/depthlm_ros"} <= installed


def test_every_package_and_every_file_beside_its_modules_is_installed(metadata):
    """The package finds scene, profile and checkpoint beside its modules, not through share."""
    package = ROOT / "depthlm_ros"
    globs = metadata["package_data"]["depthlm_ros"]
    installed = {path for pattern in globs for path in package.glob(pattern)}
    files = [path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {path for path in files if path.suffix != ".py"} - installed == set()
    folders = {path.parent.relative_to(ROOT) for path in files if path.suffix == ".py"}
    assert {".".join(folder.parts) for folder in folders} == set(metadata["packages"])


def test_every_console_script_names_a_function_that_exists(metadata):
    for script in metadata["entry_points"]["console_scripts"]:
        module, function = re.fullmatch(r"[a-z_]+ = ([a-z_.]+):([a-z_]+)", script).groups()
        path = ROOT / module.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        tree = ast.parse(path.read_text())
        assert function in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_every_script_is_a_program_of_the_package_that_can_be_executed(metadata):
    names = {Path(script).name for script in metadata["scripts"]}
    assert names == set(PROGRAMS) == {path.name for path in (ROOT / "scripts").iterdir()}
    for script in metadata["scripts"]:
        assert os.access(ROOT / script, os.X_OK)


def test_every_interface_file_is_generated():
    named = set(re.findall(r'"((?:msg|srv|action)/\w+\.\w+)"', _text("CMakeLists.txt")))
    kept = {
        f"{path.parent.name}/{path.name}"
        for kind in ("msg", "srv", "action")
        for path in (INTERFACES / kind).iterdir()
    }
    assert named == kept


def test_the_status_constants_of_the_message_are_those_of_the_core():
    constants = re.findall(r"^uint8 (\w+)=(\d+)", _text("msg/PixelDistances.msg"), re.MULTILINE)
    assert {name: int(value) for name, value in constants} == {s.name: s.value for s in Status}


def _colcon_list(*arguments):
    command = [sys.executable, "-m", "colcon", "list", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout


def _text(name):
    return (INTERFACES / name).read_text()
