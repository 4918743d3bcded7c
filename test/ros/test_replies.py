# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Responses to clients whom the node has not discovered yet, as on a machine that is too busy."""

import time
import warnings

import pytest

pytest.importorskip("rclpy")
import rclpy
from std_srvs.srv import Trigger

from depthlm_ros.errors import Code
from depthlm_ros.ros.compat import LOST_RESPONSE
from depthlm_ros.ros.serve import replies
from depthlm_ros.ros.serve.queries import DEEP
from depthlm_ros.ros.tools.client import Client

TOLD = f"{LOST_RESPONSE} (timeout): client will not receive response, at rmw_response.cpp:153"

# The middleware reaches nobody at the first three times, which rclpy tells in a warning.
DEAF = f"""
import sys, warnings
from rclpy.service import Service
from depthlm_ros.ros.tools import bench_node

send, left = Service.send_response, [1, 2, 3]

def late(*response):
    if left:
        left.pop()
        warnings.warn({TOLD!r}, RuntimeWarning)
    else:
        send(*response)

Service.send_response = late
sys.exit(bench_node.main())
"""


def test_a_response_that_is_not_heard_at_first_comes_later(node_from):
    child = node_from(DEAF, "-r", "__node:=deaf")
    with Client("/deaf") as client:
        answer = client.ask([(1.0, 2.0)])
    assert answer.code == Code.NO_IMAGE
    assert LOST_RESPONSE not in child.output()


@pytest.fixture
def node(context, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # is put back
    with warnings.catch_warnings():
        made = rclpy.create_node("replies", context=context)
        made.create_service(Trigger, "~/trigger", lambda _, response: response, qos_profile=DEEP)
        yield made
        made.destroy_node()


def test_a_client_that_is_never_reached_is_told_of_in_the_log(node, robot, monkeypatch, capfd):
    monkeypatch.setattr(replies, "GIVE_UP_S", 0.5)
    (service,) = [s for s in node.services if s.srv_name.endswith("trigger")]
    monkeypatch.setattr(
        service, "send_response", lambda *_: warnings.warn(TOLD, RuntimeWarning, stacklevel=1)
    )
    replies.Replies(node)
    robot.executor.add_node(node)
    said = []
    node.create_client(Trigger, "~/trigger").call_async(Trigger.Request())
    robot.wait(lambda: said.append(capfd.readouterr().err) or "~/trigger" in "".join(said))


def test_a_crowd_that_is_gone_leaves_the_time_to_whoever_is_there(node, robot, monkeypatch):
    """Killed clients leave requests, and each response to them holds the executor up."""
    (service,) = [s for s in node.services if s.srv_name.endswith("trigger")]
    gone, send, missed = 200, service.send_response, []

    def to_the_last(response, header):
        if header.request_id.sequence_number > gone:
            send(response, header)
            return
        missed.append(header)
        time.sleep(0.02)
        warnings.warn(TOLD, RuntimeWarning, stacklevel=1)

    monkeypatch.setattr(service, "send_response", to_the_last)
    made = replies.Replies(node)
    robot.executor.add_node(node)
    client = node.create_client(Trigger, "~/trigger", qos_profile=DEEP)
    futures = [client.call_async(Trigger.Request()) for _ in range(gone + 1)]
    robot.wait(futures[-1].done)
    assert len(missed) < gone / 2 and made.unheard == gone


def test_other_warnings_are_shown_as_before(node, monkeypatch):
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_, **__: shown.append(message))
    replies.Replies(node)
    warnings.warn("something else", RuntimeWarning, stacklevel=1)
    assert [str(message) for message in shown] == ["something else"]
