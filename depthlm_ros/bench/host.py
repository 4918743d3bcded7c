# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a GPU would wait for: the time that the host takes to tell a device what to compute, and to
make questions and answers.

Measured in one thread, as the time that the processor spent on it, with a model that has the
layers, heads and windows of Qwen2.5-VL-3B and is so thin that its arithmetic hardly counts, its
weights random. Of many questions only what is outside of the model's passes counts, which the
number of layers does not change: they are asked of a model of one layer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from depthlm_ros.bench.shapes import Size, Text, Vision, build, view_of
from depthlm_ros.engines.capacity import threads
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.view import SharedFrame

# A view of 5 x 6 image tokens: like any usual one it is cut into windows of four sizes.
THIN_3B = Size(
    "qwen2_5_vl",
    Text(128, 36, 16, 2, 8, 64, 1024),
    Vision(64, 32, 16, 96, (7, 15, 23, 31)),
    (168, 140, 1000.0),
)
QUESTIONS = {"position": 1000, "coordinates": 512}
TIMES = 10  # that each row is measured
GOALS_MS = {"pass": 6.0, "position": 0.05, "coordinates": 0.15, "windows": 6.0}
HEADER = f"{'milliseconds':<46}{'times':>6}{'least':>9}{'median':>9}{'goal':>8}{'op/layer':>10}"
LONG_S = 1000.0  # of a step, so that it takes all questions


@dataclass(frozen=True)
class HostRow:
    """What took how long. times: how often it was measured; operations: that compute or copy
    something, in each layer; 0 where none are counted."""

    what: str
    times: int
    least_ms: float
    median_ms: float
    goal_ms: float
    operations: float = 0.0

    def line(self) -> str:
        """For a table."""
        counted = f"{self.operations:.1f}" if self.operations else "-"
        figures = f"{self.least_ms:>9.3f}{self.median_ms:>9.3f}{self.goal_ms:>8g}"
        return f"{self.what:<46}{self.times:>6}{figures}{counted:>10}"


@dataclass(frozen=True)
class HostSetting:
    """What was measured. load_before: processes that kept the machine busy before."""

    size: Size
    questions: dict[str, int]
    load_before: float


def measured() -> tuple[HostSetting, Iterator[HostRow]]:
    """(HostSetting, an iterator over HostRows that measures as it goes)."""
    setting = HostSetting(THIN_3B, QUESTIONS, os.getloadavg()[0])
    return setting, _rows(THIN_3B, QUESTIONS, TIMES)


def _rows(size: Size, questions: dict[str, int], times: int) -> Iterator[HostRow]:
    from depthlm_ros.engines.local.engine import LocalEngine

    short = size._replace(text=size.text._replace(layers=1))
    engine, quick = (LocalEngine(build(s, "thin", "cpu"), check="off") for s in (size, short))
    with threads(1):
        for style in ("marker", "coordinates"):
            yield _passes(engine, size, style, times)
        yield _passes(engine, size, "marker", times, graphs=True)
        for style, count in questions.items():
            yield _questions(quick, size, style, count, times)
        yield _windows(engine, size, times)


def _passes(engine: Any, size: Size, style: str, times: int, graphs: bool = False) -> HostRow:
    """Of the digit tree of one question: all rounds over their number, what the tree itself takes
    included. graphs: what is left where passes are CUDA graphs, but for starting those."""
    view, asker, clock = view_of(size), engine.loaded.checkpoint.asker(style), _Clock(engine)
    scene = engine.open([view], asker)
    pair = scene, asker.question(view, (70, 60))
    plain, found, counted = engine.reader.read, [], []

    def timed(begun: Any) -> Any:
        clock.passes, clock.graphs_s, begin = 0, 0.0, time.thread_time()
        answer = plain(begun)
        found.append((time.thread_time() - begin - clock.graphs_s) / clock.passes)
        return answer

    def counting(begun: Any) -> Any:
        clock.passes = 0
        kernels, answer = _operations(lambda: plain(begun))
        counted.append(kernels / clock.passes)
        return answer

    with clock.running(), _graphs_of(engine, clock) if graphs else nullcontext():
        for engine.reader.read in (counting, *[timed] * times):
            engine.step([pair])
    engine.reader.read = plain
    scene.close()
    if graphs:
        what = "the first by CUDA graphs, but for starting them"
        return _row(what, found, GOALS_MS["pass"])
    what = f"a pass of the digit tree, 1 {style} question"
    return _row(what, found, GOALS_MS["pass"], counted[0] / size.text.layers)


@contextmanager
def _graphs_of(engine: Any, clock: _Clock) -> Iterator[None]:
    """The engine with graphs that are computed, which is left out of the time: a processor has no
    others."""
    from depthlm_ros.engines.local.graphs import Graphs

    def record(action: Callable[[], Any]) -> Callable[[], Any]:
        def repeat() -> Any:
            begin = time.thread_time()
            found = action()
            clock.graphs_s += time.thread_time() - begin
            return found

        return repeat

    engine.graphs = Graphs(engine.loaded, record)
    try:
        yield
    finally:
        engine.graphs = None


def _questions(engine: Any, size: Size, style: str, count: int, times: int) -> HostRow:
    """From pixels to Ranges through a predictor, outside of the model's passes; what one question
    costs is what many cost more than a few."""
    predictor = AskingPredictor(engine, engine.loaded.checkpoint, LONG_S)
    frame = SharedFrame(view_of(size).image, view_of(size).camera)
    pixels = np.random.default_rng(0).integers(0, size.view[:2], (count, 2))
    clock, few = _Clock(engine), max(1, count // 8)

    def seconds(n: int) -> float:
        with clock.running():
            begin = time.thread_time()
            predictor.ranges(frame, pixels[:n], style=style)
            return time.thread_time() - begin - clock.inside

    for n in (1, 2, few, count, count):  # warm, and the pace of this machine known
        seconds(n)
    found = [(seconds(count) - seconds(few)) / (count - few) for _ in range(times)]
    return _row(f"a {style} question of {count}", found, GOALS_MS[style])


def _windows(engine: Any, size: Size, times: int) -> HostRow:
    """The vision part of one image."""
    import torch

    prepared, see = engine.preparer.prepare(view_of(size).image), engine.loaded.tower.see
    found = []
    with torch.inference_mode():
        kernels, _ = _operations(lambda: see(prepared))
        for _ in range(times):
            begin = time.thread_time()
            see(prepared)
            found.append(time.thread_time() - begin)
    what = "the vision part of an image, in windows"
    return _row(what, found, GOALS_MS["windows"], kernels / size.vision.layers)


class _Clock:
    """How long an engine is inside of its model, and how often.

    inside: seconds in the layers of the language model, in the head and in the probabilities that
        are read back. passes: through the layers.
    """

    def __init__(self, engine: Any):
        self._decoder, self._reader = engine.loaded.decoder, engine.reader
        self.inside, self.passes, self._begun = 0.0, 0, 0.0
        self.graphs_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Listen to the model, from 0 on."""
        read = self._reader.probabilities

        def timed(hidden: Any) -> Any:
            self._begin()
            answer = read(hidden)
            self._end()
            return answer

        self.inside, self.passes = 0.0, 0
        self._reader.probabilities = timed
        handles = [
            self._decoder.embedding.register_forward_pre_hook(self._begin),
            self._decoder.norm.register_forward_hook(self._end),
            self._decoder.norm.register_forward_hook(self._count),
        ]
        try:
            yield
        finally:
            self._reader.probabilities = read
            for handle in handles:
                handle.remove()

    def _begin(self, *_: Any) -> None:
        self._begun = time.thread_time()

    def _end(self, *_: Any) -> None:
        self.inside += time.thread_time() - self._begun

    def _count(self, *_: Any) -> None:
        self.passes += 1


def _operations(action: Callable[[], Any]) -> tuple[int, Any]:
    """(operations that compute or copy something, what the action gives)."""
    from depthlm_ros.models.torch_compat import Calls

    with Calls() as calls:
        answer = action()
    return calls.kernels, answer


def _row(what: str, seconds: list[float], goal_ms: float, operations: float = 0.0) -> HostRow:
    times = [1e3 * one for one in seconds]
    return HostRow(what, len(times), min(times), median(times), goal_ms, operations)
