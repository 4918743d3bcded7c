# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm call and depthlm demo, as a user types them."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy")
from depthlm_ros.cli import main


@pytest.fixture(scope="module")
def node(node_process, checkpoint):
    return node_process("-p", "engine:=scripted", "-p", f"checkpoint:={checkpoint}")


def test_call_prints_an_answer_for_each_pixel(node, robot, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    robot.show()
    assert main(["call", "--at", "160,120", "--at", "1,120", "--at", "900,1"]) == 0
    lines = [line.strip("│ \n") for line in capsys.readouterr().out.splitlines()]
    rows = [[cell.strip() for cell in line.split("│")] for line in lines if "│" in line]
    assert rows[0] == ["160, 120", "2.00", "0.12", "0.00, 0.00, 2.00", "OK"]
    assert rows[1][0] == "1, 120" and rows[1][-1] == "SNAPPED 5.5, 120.5"
    assert rows[2] == ["900, 1", "-", "-", "-, -, -", "OUTSIDE"]


def test_call_passes_on_what_the_node_says(node, robot, capsys):
    robot.show()
    assert main(["call", "--at", "1,2", "--camera", "rear"]) == 1
    assert "/depthlm says: there is no camera 'rear'" in capsys.readouterr().err


def test_call_names_nodes_that_there_are_when_its_own_is_not(node, robot, capsys):
    robot.show()
    assert main(["call", "--at", "1,2", "--node", "/nobody", "--timeout", "3"]) == 2
    said = capsys.readouterr().err
    assert "no node answers /nobody/query_distance within 3 s" in said
    assert "services of its type: /depthlm/query_distance." in said


def demo(checkpoint, out, *arguments):
    command = [sys.executable, "-m", "depthlm_ros", "demo", "--engine", "scripted"]
    command += ["--checkpoint", str(checkpoint), "--out", str(out), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_demo_shows_answers_and_truth_and_writes_pictures(checkpoint, tmp_path):
    process = demo(checkpoint, tmp_path, "--grid", "8x6")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    rows = [line for line in out.splitlines() if "│" in line]
    assert len(rows) == 8 and all("2.00" in row and "%" in row for row in rows)
    assert "cloud: 48 of 48 points answered" in out
    assert (tmp_path / "cloud.ply").read_bytes().startswith(b"ply\n")
    for name in ("pixels.png", "overlay.png", "cloud.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    assert not _children_of(process.pid)


def test_demo_notices_at_once_that_its_node_has_ended(checkpoint, tmp_path):
    process = demo(checkpoint, tmp_path, "--grid", "5000x1")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "a process of the demo ended" in err and "grid.columns" in err


def test_demo_explains_a_checkpoint_that_is_missing_and_ends(tmp_path):
    process = demo("/no/such/folder", tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "'/no/such/folder' is neither a folder nor known" in err and "Traceback" not in err


@pytest.mark.parametrize(
    "number, log, line",
    [(signal.SIGINT, "camera.log", ""), (signal.SIGTERM, "node.log", "ready after")],
)
def test_demo_that_is_interrupted_stops_its_processes(checkpoint, tmp_path, number, log, line):
    process, path = demo(checkpoint, tmp_path), tmp_path / log
    while not (path.exists() and line in path.read_text()) and process.poll() is None:
        time.sleep(0.002)
    children = _children_of(process.pid)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode not in (0, None)
    assert children and not any(os.path.exists(f"/proc/{pid}") for pid in children)


def _children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return file.read().split()
    except FileNotFoundError:
        return []
