# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm bench --ros: what the node costs by itself, with an engine that takes no time.

A camera, the node (bench_node.py) and this process, which asks and listens, over DDS as on a
robot. Knows nothing about tables (bench/latency.py).
"""

import contextlib
import os
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from PIL import Image as ImageFile
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2

from depthlm_ros.bench.latency import Latency, latency
from depthlm_ros.errors import EngineError
from depthlm_ros.msgs.fields import cloud_columns
from depthlm_ros.ros.dds import environment, private_graph
from depthlm_ros.ros.tools.bench_node import FOCAL_PX, seconds_since
from depthlm_ros.ros.tools.child import Child
from depthlm_ros.ros.tools.client import Client

WIDTH, HEIGHT = 1280, 720
IMAGES_HZ = 30
OTHER_FOCAL_PX = 920.0
GRID = 100, 100
BUSY_S = 0.005  # of a question: the grid takes the better part of a minute
START_S = 60.0
TRANSITIONS = "deactivate", "cleanup", "configure", "activate"


@dataclass(frozen=True)
class Setting:
    """What was measured where. load_before: processes that kept the machine busy before."""

    width: int = WIDTH
    height: int = HEIGHT
    images_hz: float = IMAGES_HZ
    points: int = GRID[0] * GRID[1]
    busy_s: float = BUSY_S
    load_before: float = 0.0
    middleware: str = ""


def measured(times):
    """(Setting, an iterator over Latencies that measures as it goes), each of `times` repetitions,
    grids and transitions of fewer. EngineError where the node does not answer."""
    setting = Setting(
        load_before=os.getloadavg()[0], middleware=rclpy.get_rmw_implementation_identifier()
    )
    return setting, _rows(times)


def _rows(times):
    with contextlib.ExitStack() as stack:
        stack.enter_context(environment(stack.enter_context(private_graph())))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        ImageFile.fromarray(noise).save(folder / "image.png")
        yield from _queries(folder, times)
        yield from _clouds(folder, max(times // 4, 1))
        yield from _services(folder, times, max(times // 20, 1))


def _queries(folder, times):
    """Of one pixel, each of the newest image at a moment of its own."""
    often, goal = (0.5, 1.5), ("median", 5)
    with _robot(folder, FOCAL_PX, rate=0) as client:
        yield from _asked(client, f"query, {WIDTH} x {HEIGHT} stream", times, often, *goal)
    with _robot(folder, OTHER_FOCAL_PX, rate=0) as client:
        yield from _asked(client, "query, resized to the focal length", times, often, *goal)
        seldom = "query, resized, one image in six"
        yield from _asked(client, seldom, max(times // 4, 1), (5.5, 6.5))


def _asked(client, what, times, images, *goal):
    """Rows of questions with so many images (at least, at most) between two."""
    spent = [query(client, random.uniform(*images) / IMAGES_HZ) for _ in range(times)]
    yield latency(what, [whole for whole, _ in spent], *goal)
    yield latency(f"{what}: in the node", [inside for _, inside in spent])


def query(client, pause):
    """One of the newest image, after so many seconds: (seconds from request to response, those of
    them that the node tells)."""
    client.spin(pause)
    begin = time.perf_counter()
    response = client.ask([(WIDTH / 2, HEIGHT / 2)])
    seconds = time.perf_counter() - begin
    if not response.success:
        raise EngineError(f"the node says: {response.message}")
    return seconds, response.latency.sec + response.latency.nanosec / 1e9


def _clouds(folder, times):
    """From the last answer to the cloud in this process, and the same by sensor_msgs_py."""
    what = f"{GRID[0] * GRID[1]:,} points, answer to received cloud"
    yield latency(what, _cloud_ages(folder, times), "median", 10)
    what = "  the same by sensor_msgs_py create_cloud"
    try:
        from sensor_msgs_py.point_cloud2 import create_cloud  # noqa: F401
    except ImportError:
        yield Latency(what, goal="not installed")
    else:
        yield latency(what, _cloud_ages(folder, times, "--create-cloud"))


def _cloud_ages(folder, times, *options) -> list:
    """Seconds since the last answer of each cloud that came, of `times` of them."""
    ages = {}

    def came(cloud):
        reading = cloud_columns(cloud)["distance"][-1]
        ages.setdefault(reading, seconds_since(reading))  # a cloud may be published again

    with _robot(folder, FOCAL_PX, *options, rate=5) as client:
        client.listen(PointCloud2, "points", came)
        if not client.spin(START_S + times, lambda: len(ages) >= times):
            raise EngineError(f"{len(ages)} of {times} clouds came")
    return list(ages.values())


def _services(folder, times, cycles):
    """While the model computes, in Python and without a pause."""
    with _robot(folder, FOCAL_PX, "--busy", str(BUSY_S), rate=10) as client:
        client.listen(PointCloud2, "points", lambda cloud: None)  # so that there are grids
        busy = _Busy(client)
        rate = [Parameter("grid.rate", value=10.0).to_parameter_msg()]
        for kind, name, request in (
            (GetParameters, "get_parameters", GetParameters.Request(names=["grid.rate"])),
            (SetParameters, "set_parameters", SetParameters.Request(parameters=rate)),
            (GetState, "get_state", GetState.Request()),
        ):
            busy.wait()
            spent = [_called(client, kind, name, request)[1] for _ in range(times)]
            yield latency(f"{name} while the model computes", spent, "max", 100)
        spent = {label: [] for label in TRANSITIONS}
        for _ in range(cycles):
            busy.wait()
            for label in TRANSITIONS:
                spent[label].append(_transition(client, label))
        for label, seconds in spent.items():
            yield latency(f"{label} while the model computes", seconds, "max", 100)


def _transition(client, label) -> float:
    request = ChangeState.Request(transition=Transition(label=label))
    response, seconds = _called(client, ChangeState, "change_state", request)
    if not response.success:
        raise EngineError(f"the transition {label} failed")
    return seconds


class _Busy:
    """Waits until the node says that pixels wait for the model."""

    def __init__(self, client):
        self._client = client
        self._waiting = "0"
        client.listen(DiagnosticStatus, "status", self._heard)

    def wait(self):
        """EngineError if that does not happen."""
        self._waiting = "0"
        if not self._client.spin(START_S, lambda: self._waiting != "0"):
            raise EngineError("no grid was begun, so that the model is not busy")

    def _heard(self, status):
        self._waiting = next(v.value for v in status.values if v.key == "pixels waiting")


def _called(client, kind, name, request):
    """(response, seconds)."""
    begin = time.perf_counter()
    return client.call(kind, name, request), time.perf_counter() - begin


def _robot(folder, fx, *options, rate):
    """As robot(), rate: of the node's grids in Hz."""
    shape = {"grid.columns": GRID[0], "grid.rows": GRID[1]}
    given = {"grid.rate": rate, **shape, "grid.max_age": 0.0}  # the busy model takes its time
    return robot(folder, fx, "bench_node", options, given)


@contextlib.contextmanager
def robot(folder, fx, module, options, parameters):
    """A Client of a node that answers about the images of a camera, which shows image.png of the
    folder. module: of the node, beside this one. Raises EngineError if it does not answer."""
    with (
        _camera(folder, fx),
        _process(module, folder, options, parameters) as node,
        Client() as client,
    ):
        pixel = [(WIDTH / 2, HEIGHT / 2)]
        if not client.spin(START_S, lambda: client.ask(pixel, START_S).success):
            raise EngineError(f"the node did not answer within {START_S:g} s:\n{node.output()}")
        yield client


def _camera(folder, fx) -> Child:
    given = {"image": folder / "image.png", "fx": fx, "rate": float(IMAGES_HZ)}
    return _process("demo_camera", folder, (), given, "-r", "image_raw:=image")


def _process(name, folder, options, parameters, *remapped) -> Child:
    given = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    words = [*options, "--ros-args", *remapped, *given]
    return Child(f"depthlm_ros.ros.tools.{name}", words, log=folder / f"{name}.log")
