# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""/diagnostics, once a second, and ~/status, kept for late subscribers: how the node is.

One DiagnosticStatus for the model and one for each camera; ~/status is all in one: the worst, said
in one sentence with what to do, and the figures of all. diagnostic_updater is not used: it is not
everywhere, and calls a node that is asked on demand an error while nobody asks.
"""

import contextlib
import functools
import os
import sys
from enum import IntEnum
from math import isfinite
from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from depthlm_ros.errors import Code
from depthlm_ros.predict import PredictorStats
from depthlm_ros.ros.topic import STEADY

PERIOD_S = 1.0
STUCK_S = 10.0  # a step of the model takes about 0.1 s; a slow image a few seconds
ROW = 3  # so many failures one after the other are no accident
OFTEN = 0.05  # of the checked answers in other words: the checkpoint is asked in the wrong ones


class Level(IntEnum):
    """The numbers of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


class Health(NamedTuple):
    """message: a sentence; values: name -> figure or text."""

    level: Level
    message: str
    values: dict


def of_model(node, worker, settings) -> Health:
    """The node's state, its model, and what became of the questions."""
    level, message = next(_model_troubles(node, worker, settings), (Level.OK, "ready"))
    return Health(level, message, dict(_model_values(node, worker, settings)))


def of_camera(port) -> Health:
    """The images, intrinsics and grids of one camera."""
    inputs, outputs = port.inputs, port.outputs
    values = {
        "topic": inputs.topic,
        "images per second": inputs.rate.per_second(),
        "images received": inputs.received,
        "images replaced unused": inputs.dropped,
        "age of the newest image s": inputs.age_s,
        "stamps that jumped back": inputs.jumps,
        "grids given up": outputs.given_up,
    }
    if (held := outputs.per_second) is not None:
        values["grids per second"] = held
    problem = inputs.problem
    if problem:
        is_bad = problem.code in (Code.BAD_INTRINSICS, Code.BAD_IMAGE, Code.INTERNAL)
        level = Level.ERROR if is_bad else Level.WARN
        return Health(level, problem.text, values)
    if inputs.jumped:
        message = "stamps jump back: a recording starts again, or the camera's clock was set"
        return Health(Level.WARN, message, values)
    if doubts := [*filter(None, [outputs.problem]), *inputs.doubts]:
        return Health(Level.WARN, "; ".join(doubts), values)
    return Health(Level.OK, "receiving images", values)


def _model_troubles(node, worker, settings):
    """(level, sentence), the worst first."""
    statistics, problem, stuck_s = worker.statistics, worker.problem, worker.stuck_s
    if problem:
        on_purpose = node.state != "active" or problem.code == Code.LOADING
        on_purpose = on_purpose and not node.failure
        yield (Level.WARN if on_purpose else Level.ERROR), problem.text
    if stuck_s > STUCK_S:
        silent = f"the model has been silent for {stuck_s:.0f} s in one step"
        advice = "requests end by query.timeout; if it does not come back, restart the node"
        yield Level.ERROR, f"{silent}: {advice}"
    predictor = worker.predictor  # once: another thread may take it away meanwhile
    stats = predictor.stats() if predictor else None
    servers = stats.servers if stats else ()
    if out := [server for server in servers if not server.usable]:
        level = Level.WARN if len(out) < len(servers) else Level.ERROR
        sentence = "; ".join(f"{server.url} is {server.text}" for server in out)
        yield level, f"{len(out)} of {len(servers)} servers cannot be asked: {sentence}"
    if statistics.in_a_row >= ROW:
        failed = f"the last {statistics.in_a_row} questions failed"
        yield Level.ERROR, f"{failed}: {statistics.last_failure}"
    if others := node.namesakes:
        shared = f"{others + 1} nodes are called {node.get_fully_qualified_name()}"
        advice = (
            "requests reach any of them: rename one with --ros-args -r __node:=NAME; one that was"
            " killed is listed for some 20 s more"
        )
        yield Level.WARN, f"{shared}, {advice}"
    if stats and stats.fall_back_rate > OFTEN:
        words = (
            f"{stats.fell_back} of {stats.checked} checked answers were not in the words of the"
        )
        advice = "each is decoded freely, which is slow; run depthlm checkpoints --verify"
        yield Level.WARN, f"{words} checkpoint's entry: {advice} {settings.checkpoint}"
    if statistics.late:
        advice = "ask fewer pixels, lower grid.rate, or raise query.timeout"
        yield Level.WARN, f"requests time out: {advice}"


def _model_values(node, worker, settings):
    predictor, statistics = worker.predictor, worker.statistics
    questions, pixels = worker.queued
    yield "state", node.state
    yield "ready", not worker.problem
    yield "checkpoint", settings.checkpoint
    yield "engine", settings.engine
    if predictor:  # an engine may ask otherwise than the checkpoint's entry says
        yield "style", predictor.checkpoint.style
        yield "grid style", predictor.checkpoint.grid_style
    device = predictor.device if predictor else "none"
    yield "device", device
    yield from _memory(device)
    for kind in statistics.kinds():
        median, high = statistics.latency_s(kind)
        yield f"{kind} answered per second", statistics.per_second(kind)
        yield f"{kind} latency median ms", median * 1000
        yield f"{kind} latency 95 % ms", high * 1000
    stats = predictor.stats() if predictor else PredictorStats()
    yield "batch size", stats.batch_size
    yield "answers checked", stats.checked
    yield "answers in other words", stats.fell_back
    yield "fall-back rate", stats.fall_back_rate
    for server in stats.servers:
        yield f"server {server.url}", server.text
        yield f"server {server.url} MB sent", server.sent_bytes / 1e6
    yield "questions waiting", questions
    yield "pixels waiting", pixels
    for name, count in sorted(statistics.failures.items()):
        yield f"failures {name}", count


def _memory(device):
    pages = int(os.pread(_statm(), 100, 0).split()[1])
    yield "memory MB", pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    if device.startswith("cuda"):  # torch was imported by the model's thread
        yield "GPU memory MB", sys.modules["torch"].cuda.memory_allocated(device) / 1e6


@functools.cache
def _statm() -> int:
    """Opened once: each call of the kernel lets go of the interpreter, and a model that computes
    in Python gives it back 5 ms later, for which a transition would wait."""
    return os.open("/proc/self/statm", os.O_RDONLY)


class Diagnostics:
    """Publishes both, for the life of the node; publish() also says at once what has changed."""

    def __init__(self, node, cameras, worker, parameters):
        self._node = node
        self._cameras = cameras
        self._worker = worker
        self._parameters = parameters
        kept = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self._status = node.create_publisher(DiagnosticStatus, "~/status", kept)
        self._array = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        node.create_timer(PERIOD_S, self._tick, clock=STEADY)

    def publish(self) -> None:
        """~/status as it is now. What goes wrong here is told, and ends neither the model's thread
        nor a transition."""
        with self._surviving():
            self._publish()

    def _tick(self):
        with self._surviving():
            array = DiagnosticArray(status=[self._message(*named) for named in self._publish()])
            array.header.stamp = self._node.get_clock().now().to_msg()
            self._array.publish(array)

    @contextlib.contextmanager
    def _surviving(self):
        try:
            yield
        except Exception as error:  # noqa: BLE001, whatever it is: questions are answered without it
            self._node.tell_fault(error)

    def _publish(self) -> list:
        """The healths of model and cameras, as (name, Health), after ~/status has said them."""
        healths = [("model", of_model(self._node, self._worker, self._parameters.now))]
        if self._node.state == "active":
            healths += [(f"camera {p.name}", of_camera(p)) for p in self._cameras]
        self._status.publish(self._together(healths))
        return healths

    def _together(self, healths) -> DiagnosticStatus:
        """The worst of all, with the sentence of each that is as bad, and the values of all."""
        worst = max(h.level for _, h in healths)
        said = [h.message for _, h in healths if h.level == worst]
        message = "; ".join(said) if worst else said[0]
        values = {k: v for name, h in healths for k, v in _named(name, h.values)}
        return self._message("", Health(worst, message, values))

    def _message(self, name, health) -> DiagnosticStatus:
        own = self._node.get_fully_qualified_name().lstrip("/")
        return DiagnosticStatus(
            level=bytes([health.level]),
            name=f"{own}: {name}" if name else own,
            message=health.message,
            hardware_id=name or own,
            values=[KeyValue(key=key, value=_text(value)) for key, value in health.values.items()],
        )


def _named(name, values):
    """The values of a camera with its name before them; those of the model as they are."""
    prefix = "" if name == "model" else f"{name.removeprefix('camera ')}: "
    return ((prefix + key, value) for key, value in values.items())


def _text(value) -> str:
    """For people to read: no exponents, and no more digits than mean something."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, float):
        return str(value)
    if not isfinite(value):
        return "unknown"
    digits = next((n for n, least in enumerate((100, 10, 1, 0.1)) if abs(value) >= least), 4)
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text
