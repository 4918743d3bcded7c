# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm bench --ros: camera, node and client as processes, a few repetitions of each."""

import json
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from depthlm_ros.camera import Camera
from depthlm_ros.cli import main
from depthlm_ros.msgs.fields import cloud_columns, cloud_content
from depthlm_ros.predict import AskingPredictor, choose_checkpoint
from depthlm_ros.ros.convert import cloud_message
from depthlm_ros.ros.tools import bench
from depthlm_ros.ros.tools.bench_node import ClockEngine, created_message, seconds_since
from depthlm_ros.scan import scan
from depthlm_ros.view import Frame

BUSY = "get_parameters", "set_parameters", "get_state", *bench.TRANSITIONS
ASKED = choose_checkpoint("tiny", engine="scripted")  # as the node that is measured
FRAME = Frame(np.zeros((60, 80, 3), np.uint8), Camera(80, 60, 200, 200, 40, 30))


@pytest.fixture
def answered():
    """A grid of 3 x 2 pixels, answered by a ClockEngine."""
    return scan(AskingPredictor(ClockEngine(), ASKED), FRAME, 3, 2)


def test_the_node_is_measured_from_another_process_and_told_as_table_and_json(
    capfd, tmp_path, monkeypatch
):
    monkeypatch.setattr(bench, "BUSY_S", 0.001)
    path = tmp_path / "ros.json"
    assert main(["bench", "--ros", "--times", "4", "--json", str(path)]) == 0
    content = json.loads(path.read_text())
    rows = {row["what"]: row for row in content["rows"]}
    assert len(rows) == len(content["rows"])
    query = rows["query, 1280 x 720 stream"]
    inside = rows["query, 1280 x 720 stream: in the node"]
    assert 0 < inside["median_ms"] < query["median_ms"] <= query["p95_ms"] <= query["max_ms"]
    assert query["n"] == 4 and query["goal"].startswith("median < 5 ms: ")
    cloud = rows["10,000 points, answer to received cloud"]
    assert cloud["n"] == 1 and 0 < cloud["median_ms"] < 10_000
    counts = [rows[f"{name} while the model computes"]["n"] for name in BUSY]
    assert counts == [4, 4, 4, 1, 1, 1, 1]
    assert content["points"] == 10_000 and "cores" in content["machine"]
    lines = capfd.readouterr().out.splitlines()
    assert [line[:52].rstrip() for line in lines[-len(rows) :]] == list(rows)


def test_every_answer_tells_when_it_was_given(monkeypatch):
    now = [80_050.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    found = scan(AskingPredictor(ClockEngine(), ASKED), FRAME, 3, 2)
    readings = cloud_columns(cloud_message(Header(), found))["distance"]
    assert readings.tolist() == [50.0] * 6
    now[0] = 80_110.001  # the readings began again at 80,100
    ages = [seconds_since(reading) for reading in readings]
    assert ages == pytest.approx([60.001] * 6, abs=1e-5)


def test_a_busy_engine_takes_its_time_and_fills_no_longer_steps_than_others():
    engine = ClockEngine(0.01)
    assert engine.room(None, 0.1) == 10 and engine.room(None, 0.001) == 1
    begin = time.monotonic()
    predictor = AskingPredictor(engine, ASKED)
    predictor.ranges(FRAME, [(40, 30)] * 5)
    assert time.monotonic() - begin >= 0.05


def test_the_other_library_publishes_the_same_points(answered):
    pytest.importorskip("sensor_msgs_py.point_cloud2", exc_type=ImportError)
    own = cloud_message(Header(), answered)
    other = created_message(PointCloud2, Header(), cloud_content(answered))
    assert bytes(own.data) == bytes(other.data) and own.fields == other.fields
    assert own.width * own.height == other.width * other.height == 6
