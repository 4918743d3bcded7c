# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Node processes that are asked by very many at once, too late, or while they end: every request
is answered, if only with the reason why not."""

import os
import signal

import pytest

pytest.importorskip("rclpy")
from depthlm_ros.errors import Code
from depthlm_ros.ranges import Status
from depthlm_ros.ros.serve.queries import DEEP
from depthlm_ros.worker.worker import MOST_OPEN

CALLERS, CLIENTS = 100, 4
PATIENCE_S = 120.0


@pytest.fixture
def start(node_process, checkpoint, request):
    """start(argument...) -> a node process of this test's name, which says 2 m after no time, or
    after --busy seconds per pixel."""

    def started(*words, busy=None):
        if busy is not None:
            return node_process(
                *("-r", f"__node:={request.node.originalname}", "-p", "grid.rate:=0", *words),
                *("--busy", str(busy)),
                module="depthlm_ros.ros.tools.bench_node",
            )
        return node_process(
            *("-r", f"__node:={request.node.originalname}", "-p", "grid.rate:=0"),
            *("-p", "engine:=scripted", "-p", f"checkpoint:={checkpoint}", *words),
        )

    return started


@pytest.fixture
def robot_of(make_robot, request):
    return make_robot("", f"/{request.node.originalname}")


def deep_clients(robot):
    """CLIENTS clients with deep queues."""
    name = robot.distance.srv_name
    clients = [
        robot.node.create_client(robot.query_distance, name, qos_profile=DEEP)
        for _ in range(CLIENTS)
    ]
    for client in clients:
        assert client.wait_for_service(30)
    return clients


def burst(robot, count, pixels=1, clients=()):
    """Futures of so many calls at once, from several clients."""
    clients = clients or deep_clients(robot)
    request = robot.query_distance.Request(u=[100.0] * pixels, v=[100.0] * pixels)
    return [clients[i % CLIENTS].call_async(request) for i in range(count)]


def test_a_hundred_callers_at_once_are_all_answered(start, robot_of):
    start()
    robot_of.show()
    futures = burst(robot_of, CALLERS)
    robot_of.wait(lambda: all(f.done() for f in futures), PATIENCE_S)
    assert {f.result().code for f in futures} == {Code.OK}
    assert {len(f.result().answers.distance) for f in futures} == {1}


def test_what_is_beyond_the_bound_is_refused_and_not_kept_waiting(start, robot_of):
    start("-p", "query.timeout:=15.0", busy=5.0)
    robot_of.show()
    futures = burst(robot_of, MOST_OPEN + 50)
    robot_of.wait(lambda: all(f.done() for f in futures), PATIENCE_S)
    codes = [f.result().code for f in futures]
    assert set(codes) <= {Code.OK, Code.TIMED_OUT, Code.BUSY}
    assert codes.count(Code.BUSY) >= 1 and codes.count(Code.BUSY) < len(codes) - 1


def test_success_with_nothing_but_time_outs_says_so(start, robot_of):
    start("-p", "query.timeout:=0.5", busy=3.0)
    robot_of.wait(lambda: robot_of.ask().code == Code.NO_IMAGE)
    image, info = robot_of.new_image(), robot_of.info()

    def asked():
        robot_of.infos.publish(info)
        robot_of.images.publish(image)
        response = robot_of.ask()
        return response if response.code != Code.NO_IMAGE else None

    response = robot_of.wait(asked)
    assert response.code == Code.TIMED_OUT and response.message
    assert response.success == (list(response.answers.status) == [Status.TIMED_OUT])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nine_open_questions_are_answered_before_the_node_ends(start, robot_of, number):
    child = start(busy=1.0)
    robot_of.show()
    clients = deep_clients(robot_of)
    futures = burst(robot_of, 9, 50, clients)
    last = robot_of.query_distance.Request(u=[100.0], v=[100.0], max_age=_never())
    for client in clients:  # what others have asked may come later
        assert robot_of.call(client, last).code == Code.STALE_IMAGE
    os.kill(child.pid, number)
    robot_of.wait(lambda: all(f.done() for f in futures), 20.0)
    assert [f.result().code for f in futures] == [Code.SHUTTING_DOWN] * 9
    robot_of.wait(lambda: child.status is not None)
    assert child.status == 0, child.output()
    assert "Traceback" not in child.output()


def _never():
    """A max_age that no image meets: answered at once, after all requests that its client sent
    before have come."""
    from builtin_interfaces.msg import Duration

    return Duration(nanosec=1)
