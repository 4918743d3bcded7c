# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Cells of a comparison: n questions about one image, asked of an engine, on a clock, and the most
memory that they took.

Any Engine will do, scripted ones too. What would take longer than the limit is timed on as many
questions as fit (one step at least), and what remains is extrapolated; the opening of the image
counts once.
"""

import time
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from depthlm_ros.models.memory import is_out_of_memory

STEP_S = 10.0  # a step may fill memory, but progress should be seen
BETTER = 0.97  # of the time a question: what a larger batch must reach to be worth it
LARGEST_BATCH = 32


@dataclass(frozen=True)
class Row:
    """One cell. batch: the largest step. measured_n: questions that were timed of n.
    first_answer_s: from the opening of the image. ratio: reference at batch 1 in the same
    style (for position: marker) takes that many times longer. peak_bytes: of memory, weights
    included."""

    engine: str
    style: str
    n: int
    batch: int
    measured_n: int
    extrapolated: bool
    seconds_per_question: float
    first_answer_s: float
    ratio: float
    peak_bytes: int


@dataclass(frozen=True)
class Sample:
    """What a clock saw: opening_s, then asked questions in asking_s, the first after first_s
    (opening included), `batch` at most at a time."""

    opening_s: float
    asking_s: float
    first_s: float
    asked: int
    batch: int
    peak_bytes: int

    def seconds_per_question(self, n) -> float:
        """Of n questions about one image."""
        return self.opening_s / n + self.asking_s / self.asked


class Memory(Protocol):
    """The most memory that was held since the last reset."""

    def reset(self) -> None: ...

    def peak(self) -> int: ...


class CpuMemory:
    """Resident memory of this process, as Linux counts it."""

    def reset(self) -> None:
        """Count anew; where the kernel does not allow it, the peak is of the whole run."""
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pass

    def peak(self) -> int:
        """Bytes."""
        lines = Path("/proc/self/status").read_text().splitlines()
        (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
        return int(kilobytes) * 1024


class CudaMemory:
    """What torch allocated on a GPU. device: its torch device."""

    def __init__(self, device: Any):
        self._device = device

    def reset(self) -> None:
        """Count anew."""
        import torch

        torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> int:
        """Bytes."""
        import torch

        return torch.cuda.max_memory_allocated(self._device)


def memory_of(device: Any) -> Memory:
    """The memory to watch for a torch device, or its name."""
    return CudaMemory(device) if str(device).startswith("cuda") else CpuMemory()


def questions_about(view, style, n) -> list:
    """n questions about random pixels that can be asked, the same for every engine; more of them
    begin with the fewer."""
    size = view.camera.width, view.camera.height
    pixels = np.random.default_rng(0).integers(0, size, (n, 2))
    return [style.question(view, style.nearest_askable(view, pixel)) for pixel in pixels]


class Contestant:
    """An engine in the comparison, asked in one style. opening_counts: whether what it does
    when an image is opened is work for the answer (reference does all of that again)."""

    def __init__(self, name, engine, style, opening_counts=True):
        self.name, self.engine, self.style = name, engine, style
        self.opening_counts = opening_counts


class Stopwatch:
    """Times Contestants on one View. memory: reset() and peak(); clock: seconds."""

    def __init__(self, view, memory, limit_s=60.0, clock=time.perf_counter):
        self.view, self.limit_s = view, limit_s
        self._memory, self._clock = memory, clock

    def sample(self, contestant, n, batch=None) -> Sample:
        """Ask n questions or as many as the limit allows; batch None: as the engine likes."""
        questions = questions_about(self.view, contestant.style, n)
        self._memory.reset()
        begin = self._clock()
        scene = contestant.engine.open([self.view], contestant.style)
        opened = self._clock()
        try:
            ends, asked, largest = self._steps(contestant, scene, questions, batch)
        finally:
            scene.close()
        counted = opened - begin if contestant.opening_counts else 0.0
        first, total = ends[0] - opened, ends[-1] - opened
        return Sample(counted, total, counted + first, asked, largest, self._memory.peak())

    def rows(self, contestant, ns, batch=None):
        """Row by row for ascending n, ratios still open. Where a smaller n was cut at the limit
        already, its sample stands for the larger."""
        before, sample = 0, None
        for n in sorted(ns):
            if sample is None or sample.asked == before:
                sample = self.sample(contestant, n, batch)
            before = n
            yield self._row(contestant, sample, n)

    def best_batch(self, contestant, largest, seconds_of_one) -> int:
        """The batch, doubled from 1, at which a question takes least time; tried only while a
        step stays below the limit and fits into memory."""
        best, seconds, size = 1, seconds_of_one, 2
        while size <= min(largest, LARGEST_BATCH) and size * seconds < self.limit_s:
            try:
                found = self.sample(contestant, size, size).seconds_per_question(size)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                break
            if found > BETTER * seconds:
                break
            best, seconds, size = size, found, 2 * size
        return best

    def _steps(self, contestant, scene, questions, batch):
        """(clock after each step, questions asked, the largest step)."""
        engine, start = contestant.engine, self._clock()
        ends, asked, largest = [start], 0, 0
        while asked < len(questions) and not self._late(ends):
            room = batch or engine.room(scene, min(STEP_S, self.limit_s))
            members = questions[asked : asked + room]
            engine.step([(scene, question) for question in members])
            ends.append(self._clock())
            asked, largest = asked + len(members), max(largest, len(members))
        return ends[1:], asked, largest

    def _late(self, ends):
        """Whether another step like the last would end after the limit."""
        last = ends[-1] - ends[-2] if len(ends) > 1 else 0.0
        return ends[-1] - ends[0] + last > self.limit_s and len(ends) > 1

    def _row(self, contestant, sample, n) -> Row:
        return Row(
            engine=contestant.name,
            style=contestant.style.name,
            n=n,
            batch=sample.batch,
            measured_n=min(sample.asked, n),
            extrapolated=sample.asked < n,
            seconds_per_question=sample.seconds_per_question(n),
            first_answer_s=sample.first_s,
            ratio=nan,
            peak_bytes=sample.peak_bytes,
        )


def with_ratios(rows):
    """The rows as they come, with their ratios: reference at batch 1, which comes first, over
    the row's own time at the same n."""
    base = {}
    for row in rows:
        if row.engine == "reference" and row.batch == 1:
            base[row.style, row.n] = row.seconds_per_question
        yield replace(row, ratio=base[yardstick(row.style), row.n] / row.seconds_per_question)


def yardstick(style) -> str:
    """The style in which reference is asked, to be compared with this one."""
    return "marker" if style == "position" else style
