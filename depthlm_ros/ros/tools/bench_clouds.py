# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm bench --clouds: clouds a second of the node with a checkpoint, what each costs the
processor and where, and how long queries take beside them.

A camera, the node (bench_clouds_node.py) and this process, over DDS as on a robot. A cloud holds
every fourth pixel of the image along both axes, read from the checkpoint's map.
"""

import contextlib
import json
import os
import random
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rclpy
from PIL import Image as ImageFile
from sensor_msgs.msg import PointCloud2

from depthlm_ros.bench.latency import Cost, latency
from depthlm_ros.demo.scene import demo_frame
from depthlm_ros.errors import EngineError, InputError
from depthlm_ros.predict import choose_checkpoint, has_map
from depthlm_ros.ros.dds import environment, private_graph
from depthlm_ros.ros.tools.bench import (
    HEIGHT,
    IMAGES_HZ,
    OTHER_FOCAL_PX,
    START_S,
    WIDTH,
    query,
    robot,
)
from depthlm_ros.ros.tools.bench_clouds_node import PARTS

CLOUDS_HZ = 5.0
HELD = 0.97  # of it: a clock of 200 ms beside images every 33 ms
STRIDE = 4
SETTLING = 5  # clouds before those that count
OFTEN = 2.0, 6.0  # images between two queries


@dataclass(frozen=True)
class Setting:
    """What was measured where. style: of the queries. load_before: processes that kept the machine
    busy before."""

    checkpoint: str
    style: str
    width: int = WIDTH
    height: int = HEIGHT
    images_hz: float = IMAGES_HZ
    clouds_hz: float = CLOUDS_HZ
    stride: int = STRIDE
    load_before: float = 0.0
    middleware: str = ""


def measured(times, checkpoint="tiny", device="auto"):
    """(Setting, an iterator over rows that measures as it goes), of `times` clouds and a quarter
    as many queries.

    checkpoint: one with a dense head, else InputError. EngineError where the node does not answer.
    """
    found = choose_checkpoint(checkpoint)
    if not has_map(found, "local"):
        raise InputError(
            f"checkpoint '{found.name}' has no dense head, and its clouds would be questions: give"
            " --checkpoint one with a head, such as tiny"
        )
    setting = Setting(
        checkpoint=found.name,
        style=found.style,
        load_before=os.getloadavg()[0],
        middleware=rclpy.get_rmw_implementation_identifier(),
    )
    return setting, _rows(times, found.style, {"checkpoint": checkpoint, "device": device})


def _rows(times, style, parameters):
    with contextlib.ExitStack() as stack:
        stack.enter_context(environment(stack.enter_context(private_graph())))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        scene = ImageFile.fromarray(demo_frame().image).resize((WIDTH, HEIGHT))
        scene.save(folder / "image.png")
        given = {"grid.stride": STRIDE, "grid.rate": CLOUDS_HZ, **parameters}
        options = ["--spent", str(folder / "spent.json")]
        client = stack.enter_context(
            robot(folder, OTHER_FOCAL_PX, "bench_clouds_node", options, given)
        )
        few = max(times // 4, 1)
        yield latency(f"query in style {style}, no clouds", _queries(client, few))
        came = []
        client.listen(PointCloud2, "points", lambda cloud: came.append((time.monotonic(), cloud)))
        _wait(client, came, SETTLING)
        del came[:]
        before = _spent(folder)
        _wait(client, came, times + 1)
        after = _spent(folder)
        yield pace(came)
        yield from _costs(before, after)
        del came[:]
        yield latency(f"query in style {style} beside the clouds", _queries(client, few))
        if len(came) > 1:
            yield pace(came)


def _queries(client, times) -> list:
    """Seconds of queries of one pixel, each of the newest image at a moment of its own."""
    return [query(client, random.uniform(*OFTEN) / IMAGES_HZ)[0] for _ in range(times)]


def _wait(client, came, count) -> None:
    """Until so many clouds came; EngineError if they do not."""
    if not client.spin(START_S + count, lambda: len(came) >= count):
        raise EngineError(f"{len(came)} of {count} clouds came")


def pace(came):
    """A row of the time between two clouds, and by the clock how many came a second."""
    times = np.array([at for at, _ in came])
    rate = (len(times) - 1) / (times[-1] - times[0])
    cloud = came[-1][1]
    row = latency(f"between two clouds of {cloud.width} x {cloud.height} points", np.diff(times))
    met = "met" if rate >= HELD * CLOUDS_HZ else "missed"
    return replace(row, goal=f"{CLOUDS_HZ:g} a second: {rate:.2f}, {met}")


def _spent(folder) -> dict:
    return json.loads((folder / "spent.json").read_text())


def _costs(before, after):
    """Rows of the processor time of a cloud: of the node, and each of its parts."""
    clouds = after["clouds"] - before["clouds"]

    def cost(what, seconds) -> Cost:
        return Cost(what, clouds, seconds * 1e3 / clouds)

    whole, executor, model, inside = (
        after[name] - before[name] for name in ("process", "executor", "model", "parts_of_model")
    )
    parts = {
        name: after["parts"].get(name, 0.0) - before["parts"].get(name, 0.0)
        for name, *_ in PARTS  # in their order
    }
    elsewhere = sum(parts.values()) - inside  # images made ready ahead
    yield cost("processor time of a cloud, the node", whole)
    for name, seconds in parts.items():
        yield cost(f"  {name}", seconds)
    yield cost("  the model's thread, the rest", model - inside)
    yield cost("  hearing the camera, and other callbacks", executor)
    yield cost("  other threads: the middleware", whole - executor - model - elsewhere)
