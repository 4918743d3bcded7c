# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The node with a predictor that has neither engine nor model: the contract is enough."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.action import ActionClient
from sensor_msgs.msg import PointCloud2

from depthlm_ros.ranges import Status
from depthlm_ros.ros.serve.queries import interfaces

NODE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})
import numpy as np
from depthlm_ros.ros import node
from testing.array_predictor import ArrayPredictor

array = 1.0 + np.arange(240 * 320).reshape(240, 320) / 10000
sys.exit(node.main(load=lambda progress: ArrayPredictor(array)))
"""


def metres(u, v):
    return 1.0 + (320 * v + u) / 10000


@pytest.fixture
def asked(node_from, make_robot):
    """A robot whose node answers from an array, and streams clouds of 4 x 3 points."""
    grid = "-p", "grid.rate:=5.0", "-p", "grid.columns:=4", "-p", "grid.rows:=3"
    node_from(NODE, "-r", "__ns:=/array", *grid)
    robot = make_robot("/array", "/array/depthlm")
    robot.show()
    return robot


def test_the_node_asks_scans_streams_and_diagnoses_by_the_contract(asked):
    clouds, diagnosed = [], {}
    asked.node.create_subscription(PointCloud2, "depthlm/points", clouds.append, 10)
    asked.node.create_subscription(
        DiagnosticArray, "/diagnostics", lambda m: diagnosed.update(_values(m)), 10
    )

    answers = asked.ask(u=(20.0, 319.0, 320.0), v=(10.0, 239.0, 1.0)).answers
    assert answers.status.tolist() == [Status.OK, Status.OK, Status.OUTSIDE]
    expected = [metres(20, 10), metres(319, 239)]
    assert answers.distance[:2].tolist() == pytest.approx(expected)

    _, action = interfaces()
    scans = ActionClient(asked.node, action.ScanGrid, "depthlm/scan_grid")
    asked.wait(scans.server_is_ready)
    handle = scans.send_goal_async(action.ScanGrid.Goal(columns=2, rows=2))
    asked.wait(handle.done)
    result = handle.result().get_result_async()
    asked.wait(result.done)
    middles = [metres(u, v) for v in (60, 180) for u in (80, 240)]
    assert result.result().result.answers.distance.tolist() == pytest.approx(middles)
    scans.destroy()

    def streamed():
        asked.images.publish(asked.new_image())
        return clouds and diagnosed.get("device") == "none" and "batch size" in diagnosed

    asked.wait(streamed)
    points = np.frombuffer(clouds[-1].data, np.float32).reshape(12, -1)[:, :3]
    middles = [metres(u, v) for v in (40, 120, 200) for u in (40, 120, 200, 280)]
    assert np.linalg.norm(points, axis=1) == pytest.approx(middles, abs=1e-5)


def _values(message):
    return {pair.key: pair.value for status in message.status for pair in status.values}
