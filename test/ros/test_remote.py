# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The node with its model on a server: over DDS and HTTP, on what a real vLLM said.

The server says what it said about the robot's image; test/engines/remote/conftest.py records it.
"""

import json
import os
import time
from pathlib import Path

import pytest
from testing.http_servers import Answering, passing_on, recording, repeating
from testing.vllm_servers import free_port

pytest.importorskip("rclpy")
pytest.importorskip("torch")
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile

from depthlm_ros.errors import Code

SAID = Path(__file__).with_name("vllm_0_32.jsonl.gz")


def answer():
    if os.environ.get("DEPTHLM_RECORD"):
        SAID.unlink(missing_ok=True)
        return recording(passing_on(os.environ["DEPTHLM_VLLM_URL"]), SAID)
    return repeating(SAID)


def test_the_node_starts_without_its_server_and_answers_once_it_is_there(node_process, make_robot):
    port = free_port()
    parameters = {
        "engine": "remote",
        "remote.urls": f"['http://127.0.0.1:{port}']",
        "remote.timeout": "120.0",
        "style": "coordinates",
        "grid.rate": "0.0",
    }
    node_process(*(word for pair in parameters.items() for word in ("-p", "{}:={}".format(*pair))))
    robot = make_robot()
    statuses = []
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.node.create_subscription(DiagnosticStatus, "/depthlm/status", statuses.append, qos)
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
        # `depthlm ask` with the engine local says the same of this grey image.
        assert response.answers.distance[0] == pytest.approx(0.45666, abs=1e-4)
        assert response.answers.lower[0] < response.answers.distance[0] < response.answers.upper[0]
        robot.wait(lambda: statuses[-1].level == DiagnosticStatus.OK)
        assert "tiny" in values(statuses[-1])[f"server http://127.0.0.1:{port}"]
        assert float(values(statuses[-1])[f"server http://127.0.0.1:{port} MB sent"]) > 0
    assert f":{port}" in robot.wait(failed, 60).message


def shown(robot):
    info, image = robot.info(), robot.new_image()
    info.header.stamp = image.header.stamp
    robot.infos.publish(info)
    robot.images.publish(image)
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
