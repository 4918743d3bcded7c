# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What CUDA graphs change: are a model's states the same with them, and how much shorter is a
step?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from depthlm_ros.bench.gpu.plan import Found, GpuBench
from depthlm_ros.bench.gpu.right import LIMITS, reading
from depthlm_ros.bench.shapes import find_size, view_of
from depthlm_ros.question import Style
from depthlm_ros.view import View

SEEDS = 0, 0, 1, 2  # of images; what is recorded of the first is repeated for the others


class Stepped(NamedTuple):
    """seconds: of a step, opening its image included. states: (M, width) that were read in each
    pass."""

    seconds: float
    states: list[np.ndarray]


def graphs(bench: GpuBench) -> Found:
    """Steps about several images in turn, computed, and repeated by graphs."""
    from depthlm_ros.engines.local.engine import LocalEngine

    engine = LocalEngine(bench.loaded(bench.plan.main), check="off")
    views = [view_of(find_size(bench.plan.main), seed) for seed in SEEDS]
    limit = LIMITS[str(engine.loaded.model.dtype)[6:]]
    for style, counts in bench.plan.graphed.items():
        asker = engine.loaded.checkpoint.asker(style)
        for count in counts:
            computed = [_stepped(bench, engine, view, asker, count) for view in views]
            with _recording(bench, engine) as recorded:
                repeated = [_stepped(bench, engine, view, asker, count) for view in views]
            told = _compared(computed, repeated, limit)
            yield f"{style} {count}", told | {"recorded": len(recorded)}


@contextmanager
def _recording(bench: GpuBench, engine: Any) -> Iterator[list[Any]]:
    """The engine with graphs, and all that are recorded. On a processor, which has none, what
    would be recorded is computed."""
    from depthlm_ros.engines.local.graphs import Graphs, cuda_graphs

    record = cuda_graphs(bench.device) if bench.is_gpu else lambda action: action
    made: list[Any] = []

    def listed(action: Any) -> Any:
        made.append(record(action))
        return made[-1]

    engine.graphs = Graphs(engine.loaded, listed)
    try:
        yield made
    finally:
        engine.graphs = None


def _stepped(bench: GpuBench, engine: Any, view: View, asker: Style, count: int) -> Stepped:
    seconds = sum(bench.opened(engine, view, asker, count))
    with reading(engine) as passes:
        bench.opened(engine, view, asker, count)
    return Stepped(seconds, [states for states, _ in passes])


def _compared(
    computed: Sequence[Stepped], repeated: Sequence[Stepped], limit: float
) -> dict[str, Any]:
    """compared: passes with as many tokens in both, which rounding may change. states: the
    largest difference, relative. first_ms: of the step in which all is recorded."""
    worst, compared, passes = 0.0, 0, 0
    for one, other in zip(computed, repeated, strict=True):
        passes += len(one.states)
        for states, again in zip(one.states, other.states, strict=False):
            if states.shape != again.shape:
                break
            off = np.linalg.norm(states - again, axis=1) / np.linalg.norm(states, axis=1)
            worst = max(worst, float(off.max()) if np.isfinite(off).all() else inf)
            compared += 1
    return {
        "computed_ms": 1e3 * median(one.seconds for one in computed[1:]),
        "repeated_ms": 1e3 * median(one.seconds for one in repeated[1:]),
        "first_ms": 1e3 * repeated[0].seconds,
        "states": worst,
        "passes": passes,
        "compared": compared,
        "right": worst < limit and compared > len(computed),
    }
