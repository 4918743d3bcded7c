# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""make setup chooses, mends, refuses and skips as it says, without installing anything."""

import json
import re
import sys
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """Makes the scripts importable, as they are to each other when one of them is run."""
    monkeypatch.syspath_prepend(str(REQUIREMENTS))


@pytest.fixture
def set_up(monkeypatch, tmp_path):
    """Makes a Setup for a .venv in tmp_path, with or without a record in it."""
    import setup_env

    monkeypatch.setattr(setup_env, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(setup_env, "RECORD", tmp_path / ".venv" / "setup.json")
    monkeypatch.setattr(setup_env, "imports", lambda python, module, environment: True)

    def make(shell=(), **record):
        (tmp_path / ".venv").mkdir(exist_ok=True)
        finished = {"folder": str(setup_env.ROOT), "ros": "", "asked_python": "", "packages": 1}
        setup_env.RECORD.write_text(json.dumps({**finished, **record}))
        return setup_env.Setup({"PATH": "/usr/bin", **dict(shell)})

    return make


JAZZY = {"ROS_DISTRO": "jazzy", "AMENT_PREFIX_PATH": "/opt/ros/jazzy"}


@pytest.mark.parametrize(
    ("shell", "record", "named"),
    [
        ({}, {}, None),
        ({}, {"packages": None}, ""),
        ({}, {"folder": "/elsewhere"}, "/elsewhere"),
        (JAZZY, {}, "wheels.*jazzy"),
        ({}, {"ros": "jazzy"}, "jazzy.*wheels"),
        (JAZZY, {"ros": "jazzy"}, None),
        ({"ROS_DISTRO": "jazzy"}, {}, None),  # named by a container, but not sourced
        ({"PYTHON": "python3.12"}, {}, "PYTHON=python3.12"),
        ({}, {"asked_python": "python3.12"}, None),  # as before
    ],
)
def test_the_environment_is_made_anew_exactly_where_it_must_be(set_up, shell, record, named):
    reason = set_up(shell, **record).why_new()
    assert bool(reason) == (named is not None) and re.search(named or "", reason)


def test_a_step_on_record_is_skipped_and_a_failed_one_is_not_on_record(set_up):
    import setup_env

    def fail():
        raise RuntimeError

    setup = set_up(package=["as before"])
    setup.step("package", ["as before"], fail)
    with pytest.raises(RuntimeError):
        setup.step("package", ["changed"], fail)
    assert json.loads(setup_env.RECORD.read_text())["package"] is None


def test_wheels_are_not_led_astray_by_what_a_shell_has_sourced(set_up):
    """A parent started by the wheels' hook leaves its guard: its libraries would be kept."""
    shell = {"PYTHONPATH": "/opt/ros", "LD_LIBRARY_PATH": "/opt/ros/lib", "HOME": "/home/me"}
    shell["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
    assert set_up(shell).environment == {"PATH": "/usr/bin", "HOME": "/home/me"}
    beside_ros = set_up({**shell, **JAZZY}, ros="jazzy").environment
    assert beside_ros["PYTHONPATH"] == "/opt/ros"


def test_a_changed_byte_or_name_changes_the_fingerprint(tmp_path, monkeypatch):
    import setup_env

    monkeypatch.setattr(setup_env, "ROOT", tmp_path)
    (tmp_path / "a.msg").write_text("float32 x")
    first = setup_env.fingerprint(tmp_path)
    assert setup_env.fingerprint(tmp_path) == first
    (tmp_path / "a.msg").write_text("float32 y")
    second = setup_env.fingerprint(tmp_path)
    (tmp_path / "a.msg").rename(tmp_path / "b.msg")
    assert len({first, second, setup_env.fingerprint(tmp_path)}) == 3


def test_interpreters_are_tried_by_running_them(tmp_path, monkeypatch):
    """The shim of a version manager is in PATH and fails; one that lacks headers comes last."""
    import interpreters

    _fake_python(tmp_path / "python3", "exit 127")
    _fake_python(tmp_path / "python3.12", _answer([3, 14, 1]))
    _fake_python(tmp_path / "python3.13", _answer([3, 13, 0], has_headers=False))
    _fake_python(tmp_path / "python3.11", _answer([3, 11, 2]))
    monkeypatch.setattr(interpreters.shutil, "which", lambda name: name)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert interpreters.choose("", None, beside_ros=False).release == "3.11.2"
    with pytest.raises(interpreters.Refused, match=r"python3\.12: 3\.14\.1"):
        interpreters.choose("python3.12", None, beside_ros=False)
    with pytest.raises(interpreters.Refused, match="rclpy"):
        interpreters.choose("python3.11", None, beside_ros=True)


def test_the_interpreter_that_runs_the_tests_is_probed_truly():
    import interpreters

    found = interpreters.run_probe(sys.executable, None)
    assert found.version == list(sys.version_info[:3])
    assert found.path == getattr(sys, "_base_executable", sys.executable)


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch):
    import interpreters

    bare = interpreters.Interpreter("/usr/bin/python3", [3, 12, 3], False, False, False)
    monkeypatch.setattr(interpreters.shutil, "which", {"make": "", "gcc": ""}.get)
    monkeypatch.setattr(interpreters.os, "geteuid", lambda: 1000)
    command = (
        "sudo apt-get update && sudo apt-get install -y "
        "python3.12-venv build-essential cmake python3.12-dev\n"
    )
    with pytest.raises(interpreters.Refused) as refused:
        interpreters.require(bare, builds=True)
    assert command in str(refused.value)
    assert interpreters.missing_packages(bare, builds=False) == ["python3.12-venv"]


def test_torch_is_taken_from_a_wheel_a_version_or_an_index(tmp_path):
    import packages

    wheel = tmp_path / "torch-2.13.0-cp312-none-any.whl"
    wheel.touch()
    tested = ["-r", REQUIREMENTS / "torch.txt"]
    assert packages.torch_arguments("") == tested
    assert packages.torch_arguments(str(wheel)) == [str(wheel)]
    assert packages.torch_arguments("2.12.1") == ["torch==2.12.1"]
    index = "https://index.example/cpu"
    assert packages.torch_arguments(index) == ["--index-url", index, *tested]
    for wrong in ("cpu", str(tmp_path / "absent.whl")):
        with pytest.raises(packages.Refused, match="TORCH="):
            packages.torch_arguments(wrong)


def test_the_wheels_forget_the_machine_that_built_them():
    import interfaces

    built = "/opt/python/cp312-cp312/"
    text = (
        f'INCLUDES "{built}include/python3.12;'
        f"{built}lib/python3.12/site-packages/numpy/_core/include;"
        f'{built}lib/python3.10/site-packages/numpy/core/include"\n'
        "find_package(ament_cmake_ros REQUIRED)\n"
    )
    mended = interfaces.repaired(text, "/usr/include/python3.12", "/venv/numpy/include")
    assert mended == (
        'INCLUDES "/usr/include/python3.12;/venv/numpy/include;/venv/numpy/include"\n'
        "find_package(ament_cmake_ros_core REQUIRED)\n"
    )
    assert interfaces.repaired(mended, "/other", "/other") == mended


def _answer(version, **different):
    found = {"path": "/p", "version": version, "has_venv": True, "has_headers": True}
    return "echo '{}'".format(json.dumps({**found, "has_rclpy": False, **different}))


def _fake_python(path, body):
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
