# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""More than the node can take, for a while: every request answered exactly once, memory flat.

SOAK_S: seconds, 60 by default; the form that counts is SOAK_S=600.
"""

import itertools
import os
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.srv import GetParameters
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2

from depthlm_ros.camera import Camera
from depthlm_ros.ros.convert import image_message

CALLERS, WIDE = 10, Camera(1280, 720, 900.0, 900.0, 640.0, 360.0)


class Caller:
    """Asks again as soon as it is answered; each question has a length of its own."""

    def __init__(self, robot, lengths):
        self.asked = self.answered = self.wrong = 0
        self._robot, self._lengths = robot, lengths
        self._client = robot.node.create_client(robot.query_distance, "/depthlm/query_distance")
        self.stopped = False

    def ask(self):
        length = next(self._lengths)
        request = self._robot.query_distance.Request(u=[100.0] * length, v=[100.0] * length)
        self.asked += 1
        future = self._client.call_async(request)
        future.add_done_callback(lambda done: self._on_answer(length, done.result()))

    def _on_answer(self, length, response):
        self.answered += 1
        self.wrong += not response.success or len(response.answers.distance) != length
        if not self.stopped:
            self.ask()


@pytest.mark.slow
def test_under_load_every_request_is_answered_once_and_memory_stays(
    node_process, checkpoint, make_robot
):
    node_process(
        *("-p", "engine:=scripted", "-p", f"checkpoint:={checkpoint}"),
        *("-p", "grid.rate:=10", "-p", "grid.columns:=100", "-p", "grid.rows:=100"),
    )
    robot, statuses, clouds = make_robot(), [], []
    kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.node.create_subscription(DiagnosticStatus, "/depthlm/status", statuses.append, kept)
    robot.node.create_subscription(PointCloud2, "/depthlm/points", clouds.append, 1)
    image = image_message(robot.header(), np.full((720, 1280, 3), 90, np.uint8))
    robot.show(image, robot.info(WIDE))
    robot.node.create_timer(1 / 60, lambda: _publish(robot, image))
    reader = robot.node.create_client(GetParameters, "/depthlm/get_parameters")
    robot.node.create_timer(
        0.1, lambda: reader.call_async(GetParameters.Request(names=["grid.rate"]))
    )
    callers = [Caller(robot, itertools.cycle(range(i + 1, i + 50))) for i in range(CALLERS)]
    for caller in callers:
        caller.ask()
    memory = []
    for _ in range(4):
        _spin(robot, float(os.environ.get("SOAK_S", "60")) / 4)
        memory.append(_megabytes(statuses[-1]))
    for caller in callers:
        caller.stopped = True
    robot.wait(lambda: all(c.answered == c.asked for c in callers))
    _spin(robot, 1.0)  # time for an answer too many
    assert all(c.answered == c.asked and c.wrong == 0 for c in callers)
    assert sum(c.answered for c in callers) > 20 and clouds
    assert memory[-1] < memory[0] + 20, memory
    print(f"{sum(c.answered for c in callers)} requests, {len(clouds)} clouds, MB {memory}")


def _publish(robot, image):
    image.header.stamp = robot.node.get_clock().now().to_msg()
    robot.infos.publish(robot.info(WIDE))
    robot.images.publish(image)


def _spin(robot, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        robot.executor.spin_once(timeout_sec=0.02)


def _megabytes(status):
    return next(float(v.value) for v in status.values if v.key == "memory MB")
