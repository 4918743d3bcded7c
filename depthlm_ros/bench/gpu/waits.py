# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What does a GPU wait for: the kernels of one step, synchronisations, copies and the time without
a kernel, and how a step divides into vision, language and the rounds of the digit tree."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf, nan
from typing import Any

from depthlm_ros.bench.gpu.plan import Found, GpuBench
from depthlm_ros.bench.shapes import find_size, view_of
from depthlm_ros.bench.timing import questions_about
from depthlm_ros.question import Style
from depthlm_ros.view import View

WAITS = "cudaStreamSynchronize", "cudaDeviceSynchronize", "aten::item", "aten::nonzero"
LAUNCHES = "cudaLaunchKernel", "cuLaunchKernelEx", "cuLaunchKernel"
LONGEST = 12  # kernels that are named


def profile(bench: GpuBench) -> Found:
    """Of one image opened and one step, in each style."""
    view, engine = view_of(find_size(bench.plan.main)), bench.engine(bench.plan.main)
    for style, counts in bench.plan.profiled.items():
        asker = engine.loaded.checkpoint.asker(style)
        for count in counts:
            bench.opened(engine, view, asker, count)
            yield f"{style} {count}", _profiled(bench, engine, view, asker, count)


def _profiled(
    bench: GpuBench, engine: Any, view: View, asker: Style, count: int
) -> dict[str, Any]:
    questions = questions_about(view, asker, count)
    found: dict[str, Any] = {}
    scenes: list[Any] = []
    for name, action in (
        ("open", lambda: scenes.append(engine.open([view], asker))),
        ("step", lambda: engine.step([(scenes[-1], question) for question in questions])),
    ):
        with _stretches(bench, engine) as stretches:
            found[name] = _listened(bench, action)
        found[name] |= stretches.told()
    for scene in scenes:
        scene.close()
    return found | {n: found["step"][n] for n in ("kernels", "idle_share", "synchronisations")}


def _listened(bench: GpuBench, action: Callable[[], Any]) -> dict[str, Any]:
    """What torch's profiler hears of an action, which a GPU is timed in without it before."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.is_gpu else [])]
    plain_s = bench.seconds(action) if bench.is_gpu else 0.0
    with profiler(activities=kinds) as profiled:
        profiled_s = bench.seconds(action)
    calls: Counter[str] = Counter()
    kernels: Counter[str] = Counter()  # name -> microseconds
    spans = []
    for event in profiled.events():
        if str(event.device_type).endswith("CUDA"):
            spans.append((event.time_range.start, event.time_range.end))
            kernels[event.name] += event.time_range.elapsed_us()
        else:
            calls[event.name] += 1
    busy_s, wall_s = _union(spans) * 1e-6, plain_s or profiled_s
    return {
        "wall_ms": 1e3 * wall_s,
        "profiled_wall_ms": 1e3 * profiled_s,
        "busy_ms": 1e3 * busy_s,
        "idle_share": 1 - busy_s / wall_s if spans else nan,
        "kernels": len(spans),
        "launches": sum(calls[name] for name in LAUNCHES),
        "graphs": calls["cudaGraphLaunch"],
        "copies": sum(n for name, n in calls.items() if name.startswith("cudaMemcpy")),
        "synchronisations": calls["cudaStreamSynchronize"],
        "waits": {name: calls[name] for name in WAITS if calls[name]},
        "longest": [[name[:90], us / 1e3] for name, us in kernels.most_common(LONGEST)],
    }


def _union(spans: Sequence[tuple[float, float]]) -> float:
    """Length of the union of (start, end)."""
    total, reached = 0.0, -inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


class _Stretches:
    """Milliseconds inside named calls, on the device's own clock where it has one."""

    def __init__(self, bench: GpuBench):
        self._bench = bench
        self._marks: list[tuple[str, Any, Any]] = []

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, with its time noted."""

        def timed(*given: Any, **named: Any) -> Any:
            begin = self._mark()
            answer = call(*given, **named)
            self._marks.append((name, begin, self._mark()))
            return answer

        return timed

    def _mark(self) -> Any:
        import torch

        if not self._bench.is_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def told(self) -> dict[str, float]:
        """{name_ms: the mean over the runs of an action}."""
        self._bench.now()
        sums: dict[str, float] = {}
        for name, begin, end in self._marks:
            took = begin.elapsed_time(end) if self._bench.is_gpu else 1e3 * (end - begin)
            sums[f"{name}_ms"] = sums.get(f"{name}_ms", 0.0) + took
        runs = 2 if self._bench.is_gpu else 1  # see _listened
        return {name: whole / runs for name, whole in sums.items()}


@contextmanager
def _stretches(bench: GpuBench, engine: Any) -> Iterator[_Stretches]:
    """Time the vision part and the rounds of the digit tree; language is what is left."""
    stretches = _Stretches(bench)
    tower = engine.loaded.tower
    seen, read = tower.see, engine.reader.read
    tower.see = stretches.around("vision", seen)
    engine.reader.read = stretches.around("rounds", read)
    try:
        yield stretches
    finally:
        tower.see, engine.reader.read = seen, read
