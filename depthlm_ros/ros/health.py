# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Judgements on the model and on a camera: how bad, in one sentence with what to do, and figures.

Knows nothing about messages (diagnostics.py writes them).
"""

import functools
import os
import sys
from enum import IntEnum
from typing import NamedTuple

from depthlm_ros.ros.model import is_loading

STUCK_S = 10.0  # a step of the model takes about 0.1 s; a slow picture a few seconds
ROW = 3  # so many failures one after the other are no accident


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
    level, message = next(_model_troubles(node, worker), (Level.OK, "ready"))
    return Health(level, message, dict(_model_values(node, worker, settings)))


def of_camera(inputs) -> Health:
    """The pictures and intrinsics of one camera."""
    values = {
        "topic": inputs.topic,
        "pictures a second": inputs.rate.per_second(),
        "pictures received": inputs.received,
        "pictures replaced unused": inputs.dropped,
        "age of the newest picture s": inputs.age_s,
        "stamps that jumped back": inputs.jumps,
    }
    problem = inputs.problem
    if problem:
        level = Level.ERROR if "cannot be used" in problem else Level.WARN
        return Health(level, problem, values)
    if inputs.jumped:
        message = "stamps jump back: a recording starts again, or the camera's clock was set"
        return Health(Level.WARN, message, values)
    return Health(Level.OK, "pictures come", values)


def _model_troubles(node, worker):
    """(level, sentence), the worst first."""
    statistics, problem, stuck_s = worker.statistics, worker.problem, worker.stuck_s
    if node.failure:
        yield Level.ERROR, problem
    if problem:
        on_purpose = node.state != "active" or is_loading(problem)
        yield (Level.WARN if on_purpose else Level.ERROR), problem
    if stuck_s > STUCK_S:
        silent = f"the model has been silent for {stuck_s:.0f} s in one step"
        advice = "requests end by query.timeout; if it does not come back, restart the node"
        yield Level.ERROR, f"{silent}: {advice}"
    if statistics.in_a_row >= ROW:
        failed = f"the last {statistics.in_a_row} questions failed"
        yield Level.ERROR, f"{failed}: {statistics.last_failure}"
    if others := node.namesakes:
        shared = f"{others} more nodes are called {node.get_fully_qualified_name()}"
        advice = "requests reach any of them: rename one with --ros-args -r __node:=NAME"
        yield Level.WARN, f"{shared}, {advice}"
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
    device = predictor.device if predictor else "none"
    yield "device", device
    yield from _memory(device)
    for kind in statistics.kinds():
        median, high = statistics.latency_s(kind)
        yield f"{kind} answered a second", statistics.per_second(kind)
        yield f"{kind} latency median ms", median * 1000
        yield f"{kind} latency 95 % ms", high * 1000
    yield "batch size", predictor.batcher.step_rows if predictor else 0
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
