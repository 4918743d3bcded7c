# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm call and depthlm demo, as a user types them."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
from depthlm_ros.cli import main
from depthlm_ros.ros.serve.queries import interfaces


@pytest.fixture(scope="module")
def node(lasting_nodes, checkpoint):
    return lasting_nodes.start("-p", "engine:=scripted", "-p", f"checkpoint:={checkpoint}")


def cells(out, title):
    """The cells of the lines below the head of the table whose first column is called so."""
    lines = [line.strip() for line in out.splitlines()]
    first = next(i for i, line in enumerate(lines) if line.startswith(title)) + 1
    return [re.split(" {2,}", line) for line in lines[first:]]


def test_call_prints_an_answer_for_each_pixel(node, robot, capsys):
    robot.show()
    assert main(["call", "--at", "160,120", "--at", "1,120", "--at", "900,1"]) == 0
    rows = cells(capsys.readouterr().out, "pixel")
    assert rows[0] == ["160, 120", "2.00", "1.80 to 2.20", "0.00, 0.00, 2.00", "OK"]
    assert rows[1][0] == "1, 120" and rows[1][-1] == "SNAPPED to 5.5, 120.5"
    assert rows[2] == ["900, 1", "-", "-", "-", "OUTSIDE"]


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--box=-1,2,3,4"], "--box.*'-1,2,3,4'"),
        (["--grid=-3x4"], "--grid.*COLUMNSxROWS.*'-3x4'"),
        (["--at", "1,2", "--timeout=-1"], "--timeout.*'-1'"),
        (["--at", "1,2", "--max-age=-1"], "--max-age.*'-1'"),
        (["--at", "1,2", "--max-age", "1e300"], "--max-age.*'1e300'"),
        (["--at", "1,2", "--wait", "nan"], "--wait.*'nan'"),
        (["--at", "1,2", "--ply", "a.ply"], "--grid COLUMNSxROWS"),
        *(
            (["--at", "1,2", "--node", name], f"--node.*'{name[:100]}")
            for name in ("a b", "2x", "~/x", "a//b", "a__b", "", "n" * 300)
        ),
    ],
)
def test_what_cannot_be_called_is_refused_before_any_node_is_asked(capsys, arguments, named):
    try:
        code = main(["call", *arguments])
    except SystemExit as stop:  # argparse
        code = stop.code
    assert code == 2 and re.search(named, capsys.readouterr().err)


def test_call_between_two_pixels_measures_from_point_to_point(node, robot, capsys):
    robot.show()
    assert main(["call", "--between", "160,120", "285,120"]) == 0
    # Two metres along rays that are atan(1/2) apart.
    expected = 2 * 2 * np.sin(np.arctan(0.5) / 2)
    assert f" {expected:.2f} m" in capsys.readouterr().out


def test_call_boxes_gives_each_thing_a_distance(node, robot, capsys):
    robot.show()
    assert main(["call", "--box", "100,40,120,60", "--box", "400,0,5,5"]) == 0
    rows = cells(capsys.readouterr().out, "box")
    assert rows[0] == ["100,40,120,60", "2.00", "1.80 to 2.20", "0.00", "9 of 9", "OK"]
    assert rows[1] == ["400,0,5,5", "-", "-", "-", "0 of 0", "OUTSIDE"]


def test_call_grid_prints_statistics_and_writes_the_cloud(node, robot, capsys, tmp_path):
    robot.show()
    path = tmp_path / "cloud.ply"
    assert main(["call", "--grid", "8x6", "--ply", str(path)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"\b48 of 48\b.*\b2\.00 m\b.*\b2\.00 m\b", said)
    assert b"element vertex 48\n" in path.read_bytes()


SLOW = """
import sys
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros import node
node.load_predictor = lambda *_, **__: AskingPredictor(
    ScriptedEngine(seconds_per_question=0.01), node.choose_checkpoint("facebook/VLM3-depth")
)
sys.exit(node.main())
"""


@pytest.fixture(scope="module")
def slow(lasting_nodes):
    """A node /slow that takes 0.01 s a pixel."""
    return lasting_nodes.start_code(SLOW, "-r", "__node:=slow")


def scanning(make_robot, *options):
    """depthlm call on a scan of /slow that takes minutes, once it is under way."""
    robot, received = make_robot("", "/slow"), []
    robot.show()
    kind = interfaces()[1].ScanGrid.Impl.FeedbackMessage
    robot.node.create_subscription(kind, "/slow/scan_grid/_action/feedback", received.append, 1)
    command = [sys.executable, "-m", "depthlm_ros", "call", "--node", "/slow", *options]
    process = subprocess.Popen(
        [*command, "--grid", "100x100"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    robot.wait(lambda: received)
    return process


def test_call_grid_that_is_interrupted_keeps_what_was_measured(slow, make_robot):
    process = scanning(make_robot)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    answered, asked = re.search(r"(\d+) of (10000)\b", out).groups()
    assert int(answered) < int(asked)


def test_call_grid_of_a_node_that_is_killed_says_so_and_ends(slow, make_robot):
    process = scanning(make_robot, "--timeout", "6")
    os.kill(slow.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.search(r"/slow/scan_grid .*\b6\.0 s", err) and "Traceback" not in err


def test_call_passes_on_what_the_node_says(node, robot, capsys):
    robot.show()
    assert main(["call", "--at", "1,2", "--camera", "rear"]) == 1
    assert re.search("/depthlm .*'rear'", capsys.readouterr().err)


def calling(*options):
    command = [sys.executable, "-m", "depthlm_ros", "call", "--node", "/blind", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_call_waits_for_a_model_and_a_first_image_and_says_what_it_waits_for(
    node_process, checkpoint, make_robot
):
    child = node_process(
        *("-r", "__node:=blind", "-r", "__ns:=/", "-r", "image:=late/image"),
        *("-r", "camera_info:=late/camera_info"),
        *("-p", "engine:=scripted", "-p", f"checkpoint:={checkpoint}"),
    )
    impatient = calling("--at", "160,120", "--wait", "0")
    _, err = impatient.communicate(timeout=60)
    assert impatient.returncode == 1 and "/blind" in err
    process = calling("--at", "160,120")
    line = process.stderr.readline()
    assert "/blind" in line and process.poll() is None
    make_robot("/late", "/blind").show()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "2.00" in out
    assert child.stop() == 0


def test_call_names_nodes_that_there_are_when_its_own_is_not(node, robot, capsys):
    robot.show()
    for name in ("/nobody", "nobody"):
        assert main(["call", "--at", "1,2", "--node", name, "--timeout", "3"]) == 2
        said = capsys.readouterr().err
        assert re.search(r"/nobody/query_distance .*\b3 s\b.* /depthlm\.", said, re.DOTALL)


def demo(checkpoint, out, *arguments):
    command = [sys.executable, "-m", "depthlm_ros", "demo", "--engine", "scripted"]
    command += ["--checkpoint", str(checkpoint), "--out", str(out), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_demo_shows_answers_and_truth_and_writes_images(checkpoint, tmp_path):
    process = demo(checkpoint, tmp_path, "--grid", "8x6")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    rows = cells(out, "pixel")[:8]
    assert all("2.00" in row and row[-2].endswith("%") for row in rows)
    assert "48 of 48" in out
    assert (tmp_path / "cloud.ply").read_bytes().startswith(b"ply\n")
    for name in ("pixels.png", "overlay.png", "cloud.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    assert not _children_of(process.pid)


def test_demo_notices_at_once_that_its_node_has_ended(checkpoint, tmp_path):
    process = demo(checkpoint, tmp_path, "--engine", "warp")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.search(r"\bengine\b.*'warp'", err)


def test_demo_explains_a_checkpoint_that_is_missing_and_ends(tmp_path):
    process = demo("/no/such/folder", tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "'/no/such/folder'" in err and "Traceback" not in err


@pytest.mark.parametrize("options", [("--fx", "500"), ("--image", "/no/such/image.png")])
def test_demo_refuses_what_cannot_be_as_other_commands_do(tmp_path, options, capsys):
    assert main(["demo", "--out", str(tmp_path), *options]) == 2
    assert re.fullmatch("depthlm: .+\n", capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "number, log, line",
    [(signal.SIGINT, "camera.log", ""), (signal.SIGTERM, "node.log", "ready")],
)
def test_demo_that_is_interrupted_stops_its_processes(checkpoint, tmp_path, number, log, line):
    process, path = demo(checkpoint, tmp_path), tmp_path / log
    while not (path.exists() and line in path.read_text()) and process.poll() is None:
        time.sleep(0.002)
    children = _children_of(process.pid)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert children and not any(os.path.exists(f"/proc/{pid}") for pid in children)


def _children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return file.read().split()
    except FileNotFoundError:
        return []
