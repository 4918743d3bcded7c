# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""More than the node can take, for a while: every request answered exactly once, memory flat.

Callers, a grid and a viewer of the overlay, and in the long form the node's process stands still
twice. The long form is marked slow and lasts SOAK_S seconds, 600 by default.
"""

import itertools
import os
import signal
import time
from statistics import median

import numpy as np
import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticStatus
from PIL import Image as ImageFile
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import Image, PointCloud2

from depthlm_ros.ros.tools.bench_node import FOCAL_PX, seconds_since

SHORT_S = 12.0
LONG_S = float(os.environ.get("SOAK_S", "600"))
CALLERS = 5
IMAGES_HZ = 30.0
STALL_S = 10.0
STALLS = 2
BUSY_S = 0.0005  # a question; the node's interpreter is held all that time
READ_S = 0.1  # between two readings of parameters
GROWTH = 1.1  # of memory between any two tenths of the long form after the first
PARTS = 10  # of the time; the memory of each is the median of the readings in it, since the images
# that are under way at one moment are a tenth of it


class Caller:
    """Calls a service again as soon as it is answered, until it is stopped.

    request_of() -> (request, whether a response is right). longest: seconds.
    """

    def __init__(self, client, request_of, pause=lambda again: again()):
        self.asked = self.answered = self.wrong = 0
        self.longest, self.stopped = 0.0, False
        self._client, self._request_of, self._pause = client, request_of, pause

    def ask(self):
        if self.stopped:
            return
        request, is_right = self._request_of()
        self.asked += 1
        began = time.monotonic()
        future = self._client.call_async(request)
        future.add_done_callback(lambda done: self._on_answer(is_right, began, done.result()))

    def _on_answer(self, is_right, began, response):
        seconds = time.monotonic() - began
        self.answered += 1
        self.wrong += not is_right(response, seconds)
        self.longest = max(self.longest, seconds)
        self._pause(self.ask)


def questions(robot, first):
    """Requests of changing lengths; right is an answer to each pixel, given since it was asked."""
    lengths = itertools.cycle(range(first, first + 50))

    def request_of():
        length = next(lengths)

        def is_right(response, seconds):
            ages = [seconds_since(reading) for reading in response.answers.distance]
            return response.success and len(ages) == length and max(ages) < seconds + 0.001

        return robot.query_distance.Request(u=[100.0] * length, v=[100.0] * length), is_right

    return request_of


def reading(robot):
    """Reads a parameter every READ_S."""
    request = GetParameters.Request(names=["grid.rows"])

    def request_of():
        return request, lambda response, seconds: response.values[0].integer_value == 30

    def pause(again):
        def once():
            robot.node.destroy_timer(timer)
            again()

        timer = robot.node.create_timer(READ_S, once)

    client = robot.node.create_client(GetParameters, "/depthlm/get_parameters")
    return Caller(client, request_of, pause)


@pytest.fixture
def busy_robot(node_process, make_robot, tmp_path):
    """(robot, node) beside a camera of IMAGES_HZ; the node has answered about it."""
    path = tmp_path / "image.png"
    ImageFile.fromarray(np.full((720, 1280, 3), 90, np.uint8)).save(path)
    camera = ("-r", "image_raw:=image", "-p", f"image:={path}", "-p", f"fx:={FOCAL_PX}")
    node_process(*camera, "-p", f"rate:={IMAGES_HZ}", module="depthlm_ros.ros.tools.demo_camera")
    grid = ("-p", "grid.rate:=10", "-p", "grid.columns:=40", "-p", "grid.rows:=30")
    node = node_process(*grid, "--busy", str(BUSY_S), module="depthlm_ros.ros.tools.bench_node")
    robot = make_robot()
    robot.wait(lambda: robot.ask().success)
    return robot, node


@pytest.mark.parametrize("seconds", [SHORT_S, pytest.param(LONG_S, marks=pytest.mark.slow)])
def test_under_load_every_request_is_answered_once_and_memory_stays_flat(busy_robot, seconds):
    (robot, node), statuses, clouds, overlays = busy_robot, [], [], []
    robot.node.create_subscription(DiagnosticStatus, "/depthlm/status", statuses.append, 1)
    robot.node.create_subscription(
        PointCloud2, "/depthlm/points", lambda cloud: clouds.append(cloud.width), 1
    )
    robot.node.create_subscription(
        Image, "/depthlm/overlay", lambda image: overlays.append(image.width), 1
    )
    asking = [Caller(robot.distance, questions(robot, n + 1)) for n in range(CALLERS)]
    callers = [reading(robot), *asking]
    for caller in callers:
        caller.ask()
    memory = []
    for part in range(PARTS):
        if seconds == LONG_S and part in range(3, 3 + STALLS):
            stall(node)
        before = len(statuses)
        spin(robot, seconds / PARTS)
        memory.append(median(figure([s], "memory MB") for s in statuses[before:]))
    for caller in callers:
        caller.stopped = True
    robot.wait(lambda: all(c.answered == c.asked for c in callers))
    spin(robot, 1.0)  # time for an answer too many
    print(summary(callers, statuses, clouds, memory))
    assert all(c.answered == c.asked > 0 and c.wrong == 0 for c in callers)
    assert 0 < figure(statuses, "camera: images replaced unused") < received(statuses)
    assert figure(statuses, "query answered per second") > 0
    assert clouds and overlays
    if seconds == LONG_S:
        assert max(memory[1:]) < min(memory[1:]) * GROWTH, memory


def stall(node):
    """The node's process stands still, as when a robot throttles or a container is paused."""
    os.kill(node.pid, signal.SIGSTOP)
    time.sleep(STALL_S)
    os.kill(node.pid, signal.SIGCONT)


def spin(robot, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        robot.executor.spin_once(timeout_sec=0.02)


def figure(statuses, key):
    """A value of the newest status, which comes once a second."""
    return float({v.key: v.value for v in statuses[-1].values}[key])


def received(statuses):
    return figure(statuses, "camera: images received")


def summary(callers, statuses, clouds, memory) -> str:
    reader, *asking = callers
    return (
        f"{sum(c.answered for c in asking)} requests, longest"
        f" {max(c.longest for c in asking) * 1e3:.0f} ms; {reader.answered} readings, longest"
        f" {reader.longest * 1e3:.0f} ms; {len(clouds)} clouds; {received(statuses):.0f} images,"
        f" {figure(statuses, 'camera: images replaced unused'):.0f} replaced; MB {memory}"
    )
