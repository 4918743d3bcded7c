# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Node processes that are killed or share a name, and whoever listens to them, in whatever way."""

import os
import signal

import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from depthlm_ros.errors import Code, EngineError
from depthlm_ros.ros.publish.streams import STREAMS
from depthlm_ros.ros.tools.client import Client

PATIENCE_S = 60.0
QOS = [
    QoSProfile(depth=1, reliability=reliability, durability=durability)
    for reliability in (ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT)
    for durability in (DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL)
]


@pytest.fixture
def space(node_process, request):
    """Arguments of the namespace of this test, in which a camera is."""
    words = "-r", f"__ns:=/{request.node.name}"
    node_process(*words, "-r", "image_raw:=image", module="depthlm_ros.ros.tools.demo_camera")
    return words


@pytest.fixture
def start(node_process, space):
    """start(argument...) -> a node process with a scripted engine, beside the camera."""
    return lambda *words: node_process(*space, *words, module="depthlm_ros.ros.tools.bench_node")


# The diagnostics fail whenever the model's thread has something to tell: it is loaded, it died.
FAILING = """
import sys, threading
from depthlm_ros.ros.publish import diagnostics
from depthlm_ros.ros.tools import bench_node

of_model = diagnostics.of_model

def failing(*args):
    if threading.current_thread().name == "model":
        raise OSError("no figures of this process")
    return of_model(*args)

diagnostics.of_model = failing
sys.exit(bench_node.main())
"""


# The first question meets a fault that nobody expected.
FAULTY = """
import sys
from depthlm_ros.ros.serve import queries
from depthlm_ros.ros.tools import bench_node

checked = queries.Asking.check_count

def check_count(*args):
    queries.Asking.check_count = checked
    raise ZeroDivisionError("a fault")

queries.Asking.check_count = check_count
sys.exit(bench_node.main())
"""


@pytest.fixture
def client(graph, request):
    with Client(f"/{request.node.name}/depthlm") as made:
        yield made


def answered(client):
    def once():
        try:
            return client.ask([(320, 240)], 3.0).success
        except EngineError:  # what is asked of a node that was just killed, is lost
            return False

    return client.spin(PATIENCE_S, once)


def answers(client, pixels):
    """Of whichever node answers, once it has its first image."""
    received = []

    def once():
        received.append(client.ask(pixels))
        return received[-1].success

    assert client.spin(PATIENCE_S, once)
    return received[-1].answers


def kill(child):
    if child.status is None:
        os.kill(child.pid, signal.SIGKILL)


def test_a_scan_whose_node_is_killed_ends_and_a_restarted_node_answers(start, client):
    doomed = start("--busy", "0.01", "-p", "grid.rate:=0")
    assert answered(client)
    goal, calls = client.action.ScanGrid.Goal(columns=60, rows=60), []

    def progress(done, total):
        calls.append((done, total))
        kill(doomed)

    with pytest.raises(EngineError, match="scan_grid") as silent:
        client.scan(goal, progress, timeout=3.0)
    assert silent.value.code == Code.TIMED_OUT
    assert 0 < calls[0][0] < calls[0][1] == 3600
    start("-p", "grid.rate:=0")
    assert answered(client)


def test_a_second_sigint_does_not_break_off_the_end_that_the_first_began(start, client):
    """As launch passes on what the terminal has sent to both. The model is busy and cannot end."""
    node = start("--busy", "10", "-p", "grid.rate:=0")

    def waits_for_the_model():
        try:
            client.ask([(320, 240)], 1.0)
        except EngineError as error:
            return error.code == Code.TIMED_OUT

    assert client.spin(PATIENCE_S, waits_for_the_model)
    os.kill(node.pid, signal.SIGINT)
    client.spin(0.5)
    assert node.status is None  # it gives the model some time
    assert node.stop() == 0
    assert "Traceback" not in node.output()


def test_of_two_nodes_with_one_name_either_answers_and_one_is_enough(start, client):
    first, second = start("-p", "grid.rate:=0"), start("-p", "grid.rate:=0")
    assert answered(client)
    client.spin(PATIENCE_S, lambda: all("ready" in c.output() for c in (first, second)))
    assert all(answers(client, [(10.0 * n, 50)] * n).asked_u[-1] == 10 * n for n in range(2, 9))
    kill(first)
    assert answered(client)
    assert all(len(client.ask([(9, 9)] * n).answers.distance) == n for n in range(1, 9))


def test_a_model_whose_loading_cannot_be_told_in_diagnostics_answers(space, client, node_from):
    node = node_from(FAILING, *space, "-p", "grid.rate:=0")
    assert answered(client)
    assert node.output().count("OSError: no figures of this process") == 1


def test_a_question_that_meets_a_fault_of_the_node_is_answered_too(space, client, node_from):
    child = node_from(FAULTY, *space)
    response = client.ask([(1.0, 2.0)], PATIENCE_S)
    assert response.code == Code.INTERNAL and "ZeroDivisionError" not in response.message
    assert "ZeroDivisionError: a fault" in child.output()
    assert client.ask([(1.0, 2.0)], PATIENCE_S).code != Code.INTERNAL


def test_subscribers_of_every_qos_hear_every_output(start, client, make_robot):
    start("-p", "grid.rate:=5", "-p", "grid.columns:=4", "-p", "grid.rows:=3")
    node, received = make_robot(), set()
    for stream, kind in {**STREAMS, "status": DiagnosticStatus}.items():
        for qos in QOS:
            ear = stream, qos.reliability, qos.durability
            node.node.create_subscription(
                kind, f"{client.target}/{stream}", lambda _, ear=ear: received.add(ear), qos
            )
    node.wait(lambda: len(received) == 4 * (len(STREAMS) + 1), PATIENCE_S)
