# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Programs as users start and end them: Ctrl+C at any moment, and homes that cannot be written."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
from depthlm_ros.cli import main

PROGRAM = Path(sys.executable).parent / "depthlm_node"
ALL_DONE_S = 60.0


@contextlib.contextmanager
def program(*words, **variables):
    """depthlm_node as a process of its own; a variable that is None is taken away."""
    changed = {**os.environ, **variables}
    environment = {name: value for name, value in changed.items() if value is not None}
    process = subprocess.Popen(
        [PROGRAM, "--ros-args", "-p", "engine:=scripted", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# Ended by the signal itself (a shell says 130) before the program's first line.
AT_ONCE = -signal.SIGINT


@pytest.mark.parametrize("after_s", [0.01 * n for n in range(0, 50, 3)])
def test_an_interrupt_at_any_moment_of_the_start_ends_the_node(graph, after_s):
    with program() as process:
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=ALL_DONE_S)
    assert process.returncode in (0, 130, AT_ONCE), output
    assert "Traceback" not in output and "Exception" not in output
    if process.returncode:
        assert len(output.splitlines()) == (process.returncode == 130 and bool(output))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_does_not_break_off_an_orderly_end(graph, number):
    with program() as process:
        lines = iter(process.stdout.readline, "")
        assert any("ready" in line for line in lines)
        process.send_signal(number)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=ALL_DONE_S)
    assert process.returncode == 0 and "Traceback" not in output


# What is there until the interpreter ends, when its handlers of signals are gone.
LATE = """
import os, sys, time
from depthlm_ros.ros.node import main

class Late:
    def __del__(self, write=os.write, sleep=time.sleep):
        write(1, b"ending")
        sleep(1)

sys.late = Late()
sys.exit(main())
"""


def test_an_interrupt_while_the_interpreter_ends_does_not_kill_it(node_from, robot):
    child = node_from(LATE, "-p", "engine:=scripted")
    robot.wait(lambda: "ready" in child.output())
    os.kill(child.pid, signal.SIGINT)
    robot.wait(lambda: "ending" in child.output())
    os.kill(child.pid, signal.SIGINT)  # of launch, after that of the terminal
    assert child.stop() == 0


# A cycle of objects, of which torch leaves 400,000.
CYCLE = """
import os, sys
from depthlm_ros.ros.node import main

class Cycle:
    def __del__(self, write=os.write):
        write(1, b"looked through at the end")

cycle = Cycle()
cycle.itself = cycle
sys.exit(main())
"""


def test_the_end_of_the_process_is_not_held_up_by_what_libraries_leave(node_from, robot):
    child = node_from(CYCLE, "-p", "engine:=scripted")
    robot.wait(lambda: "ready" in child.output())
    assert child.stop() == 0
    assert "looked through" not in child.output()


@pytest.mark.parametrize("home", ["/proc/no/home", None])
def test_without_a_home_logs_go_elsewhere_and_a_line_says_where(graph, tmp_path, home):
    temporary = {"TMPDIR": str(tmp_path), "ROS_LOG_DIR": None, "ROS_HOME": None}
    with program(HOME=home, **temporary) as process:
        first = process.stdout.readline()
        assert any("ready" in line for line in iter(process.stdout.readline, ""))
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=ALL_DONE_S)
    assert "ROS_LOG_DIR" in first and str(tmp_path) in first
    assert process.returncode == 0 and "Traceback" not in output
    (folder,) = tmp_path.glob("ros_log_*")
    assert any("ready" in path.read_text() for path in folder.iterdir())


def test_a_log_folder_that_was_chosen_and_cannot_be_written_is_refused(graph):
    with program(ROS_LOG_DIR="/proc/no/logs") as process:
        output, _ = process.communicate(timeout=ALL_DONE_S)
    assert process.returncode == 1
    assert len(output.splitlines()) == 1 and "ROS_LOG_DIR" in output


@pytest.mark.parametrize("home", ["/proc/no/home", None])
def test_the_client_works_without_a_home(graph, tmp_path, home):
    variables = {**os.environ, "TMPDIR": str(tmp_path), "HOME": home}
    for name in ("ROS_LOG_DIR", "ROS_HOME", *(["HOME"] if home is None else [])):
        variables.pop(name, None)
    words = ["call", "--at", "1,1", "--timeout", "1", "--node", "/nobody"]
    done = subprocess.run(
        [sys.executable, "-m", "depthlm_ros", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=ALL_DONE_S,
        env=variables,
    )
    assert done.returncode == 2 and "/nobody/" in done.stderr
    assert "Traceback" not in done.stderr and "ROS_LOG_DIR" in done.stderr


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        ("depthlm_ros.ros.node", "ROS_SECURITY_ENABLE", "true"),
        ("depthlm_ros.ros.node", "ROS_STATIC_PEERS", "no peer"),  # when the node is made
        ("depthlm_ros.ros.tools.demo_camera", "ROS_DOMAIN_ID", "robot"),
    ],
)
def test_what_ros_refuses_in_the_environment_is_told_in_a_line(graph, module, name, value):
    strict = {"ROS_SECURITY_STRATEGY": "Enforce", "ROS_SECURITY_KEYSTORE": "", name: value}
    done = subprocess.run(
        [sys.executable, "-m", module],
        check=False,
        capture_output=True,
        text=True,
        timeout=ALL_DONE_S,
        env={**os.environ, **strict},
    )
    assert done.returncode == 1
    assert f"{name}={value}" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_client_tells_in_a_line_what_ros_refuses(graph, monkeypatch, capsys):
    monkeypatch.setenv("ROS_DOMAIN_ID", "robot")
    assert main(["call", "--at", "1,1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "ROS_DOMAIN_ID=robot" in line


def test_a_misspelt_parameter_is_told_in_the_log_and_misspelt_booleans_end_the_node(graph):
    qos = "qos_overrides./depthlm/points.publisher.relability:=best_effort"
    with program("-p", "grid.colums:=3", "-p", qos) as process:
        for meant in ("grid.columns", "publisher.reliability"):
            assert any(meant in line for line in iter(process.stdout.readline, ""))
    for word in ("autostart:=ture", "use_sim_time:=ture", "input.rectified:=fasle"):
        with program("-p", word) as process:
            output, _ = process.communicate(timeout=ALL_DONE_S)
        assert process.returncode == 1 and len(output.splitlines()) == 1, output
        assert word.partition(":")[0] in output
