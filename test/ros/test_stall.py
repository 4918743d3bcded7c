# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A node process that is held up in the middle of a step, and then goes on."""

import os
import signal
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from depthlm_ros.ranges import Status

STEP_S, TIMEOUT_S = 0.2, 2.0
STALL_S = 8.0  # so long that a step's measured mean then exceeds the time-out


def test_after_a_stall_in_a_step_every_question_is_answered(node_process, make_robot):
    words = "-r", "__ns:=/stall", "-p", f"query.timeout:={TIMEOUT_S}", "-p", "grid.rate:=0.0"
    node = node_process("--busy", str(STEP_S), *words, module="depthlm_ros.ros.tools.bench_node")
    robot = make_robot("/stall", "/stall/depthlm")
    robot.show()
    many = robot.query_distance.Request(u=np.linspace(20, 300, 100), v=[120.0] * 100)
    stalled = robot.distance.call_async(many)
    robot.executor.spin_until_future_complete(stalled, timeout_sec=3 * STEP_S)
    os.kill(node.pid, signal.SIGSTOP)
    time.sleep(STALL_S)
    os.kill(node.pid, signal.SIGCONT)
    statuses = robot.wait(stalled.done) and stalled.result().answers.status
    assert Status.TIMED_OUT in statuses, stalled.result().message
    answers = [robot.ask().answers.status[0] for _ in range(10)]
    assert answers == [Status.OK] * 10
