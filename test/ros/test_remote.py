# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The node with its model on a server: over DDS and HTTP, on what a real vLLM said.

The server says what it said about the robot's image; test/engines/remote/conftest.py records it.
"""

import json
import os
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from testing.http_servers import Answering, passing_on, recording, repeating
from testing.vllm_servers import free_port

pytest.importorskip("rclpy")
pytest.importorskip("torch")
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2

from depthlm_ros.errors import Code

SAID = Path(__file__).with_name("vllm_0_32.jsonl.gz")
ONE = {"grid.columns": "1", "grid.rows": "1"}  # of one question is known in which steps it goes


@cache
def answer():
    if how := os.environ.get("DEPTHLM_RECORD"):
        if how != "more":
            SAID.unlink(missing_ok=True)
        return recording(passing_on(os.environ["DEPTHLM_VLLM_URL"]), SAID)
    return repeating(SAID)


def test_the_node_starts_without_its_server_and_answers_once_it_is_there(node_process, make_robot):
    port = free_port()
    node_process(
        *remote(f"http://127.0.0.1:{port}", **{"style": "coordinates", "grid.rate": "0.0"})
    )
    robot = make_robot()
    statuses = status_of(robot)
    robot.wait(lambda: robot.distance.wait_for_service(0.1), 120)

    def failed():
        response = shown(robot)
        return response if response.code == Code.MODEL_FAILED else None

    assert f":{port}" in robot.wait(failed, 60).message
    robot.wait(
        lambda: (
            statuses
            and statuses[-1].level == DiagnosticStatus.ERROR
            and f":{port}" in statuses[-1].message
        )
    )
    with Answering(answer(), port):
        response = robot.wait(lambda: answered(robot), 120)
        # `depthlm ask --style coordinates` with the engine local says the same of this grey image.
        assert response.answers.distance[0] == pytest.approx(0.45666, abs=1e-4)
        assert response.answers.lower[0] < response.answers.distance[0] < response.answers.upper[0]
        robot.wait(lambda: statuses[-1].level == DiagnosticStatus.OK)
        assert "tiny" in values(statuses[-1])[f"server http://127.0.0.1:{port}"]
        assert float(values(statuses[-1])[f"server http://127.0.0.1:{port} MB sent"]) > 0
    assert f":{port}" in robot.wait(failed, 60).message


def test_grids_are_asked_in_a_style_that_servers_take(node_process, make_robot):
    """The checkpoint's own way is the map: the log and the status say what is done."""
    with Answering(answer()) as server:
        child = node_process(*remote(server.url, **{"grid.rate": "20.0", **ONE}))
        robot = make_robot()
        clouds, statuses = [], status_of(robot)
        robot.node.create_subscription(PointCloud2, "/depthlm/points", clouds.append, 1)

        def cloud():
            show(robot)
            return clouds

        robot.wait(cloud, 120)
        assert np.isfinite(np.frombuffer(clouds[-1].data, np.float32)[:3]).all()  # x, y, z
        robot.wait(lambda: statuses and values(statuses[-1])["grid style"] == "coordinates")
        assert values(statuses[-1])["style"] == "marker"
        assert "style is marker and grid.style is coordinates" in child.output()


def test_a_grid_style_that_servers_do_not_take_is_refused_with_what_to_set(
    node_process, make_robot
):
    node_process(*remote("http://127.0.0.1:9", **{"grid.style": "position"}))
    robot = make_robot()
    statuses = status_of(robot)
    robot.wait(lambda: statuses and statuses[-1].level == DiagnosticStatus.ERROR, 60)
    assert "grid.style" in statuses[-1].message and "coordinates or marker" in statuses[-1].message
    assert robot.ask().code == Code.UNCONFIGURED


def remote(url, **parameters):
    """Arguments of a node that asks this server."""
    given = {"engine": "remote", "remote.urls": f"['{url}']", "remote.timeout": "120.0"}
    given |= parameters
    return [word for pair in given.items() for word in ("-p", "{}:={}".format(*pair))]


def status_of(robot):
    """What the node says of itself, as it comes."""
    statuses = []
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.node.create_subscription(DiagnosticStatus, "/depthlm/status", statuses.append, qos)
    return statuses


def show(robot):
    info, image = robot.info(), robot.new_image()
    info.header.stamp = image.header.stamp
    robot.infos.publish(info)
    robot.images.publish(image)


def shown(robot):
    show(robot)
    return robot.ask()


def answered(robot):
    response = shown(robot)
    return response if response.success else None


def values(status):
    return {entry.key: entry.value for entry in status.values}


def test_without_an_address_the_node_says_what_is_missing(node_process):
    child = node_process("-p", "engine:=remote")
    end = time.monotonic() + 60
    while child.status is None and time.monotonic() < end:
        time.sleep(0.1)
    assert child.status == 1 and "remote.urls" in child.output()


def test_what_is_recorded_is_json():
    """A recording that was cut off would let every test here fail for the wrong reason."""
    assert json.loads(repeating(SAID)("GET", "/v1/models", None)[1])["data"][0]["id"] == "tiny"
