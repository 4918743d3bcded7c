# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How fast is it: what the device could do at most, and how long questions in each style take, in
one step and through a batcher, beside the goals and the published way."""

from __future__ import annotations

import os
import platform
from collections import Counter
from math import inf
from statistics import median
from typing import Any

from depthlm_ros.batcher import Batcher
from depthlm_ros.bench.compare import PUBLISHED_TOKENS
from depthlm_ros.bench.gpu.plan import Counts, Found, GpuBench
from depthlm_ros.bench.shapes import find_size, view_of
from depthlm_ros.bench.timing import questions_about
from depthlm_ros.bench.work import peak_flops, work_of
from depthlm_ros.question import Style
from depthlm_ros.view import View

# Milliseconds a question, and until the first answer, of one H100 in bfloat16.
GOALS_MS = {
    "qwen2.5-vl-3b": {"marker": 41.0, "coordinates": 2.0, "position": 0.3, "first": 80.0},
    "pixtral-12b": {"marker": 150.0},
}


# ---- what the device could do ------------------------------------------------------------------


def machine(bench: GpuBench) -> Found:
    """Versions, the device, and its ceilings."""
    yield "versions", _versions(bench)
    yield "ceilings", _ceilings(bench)


def _versions(bench: GpuBench) -> dict[str, Any]:
    import torch
    import transformers

    facts = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    if bench.is_gpu:
        properties = torch.cuda.get_device_properties(bench.device)
        facts |= {
            "device": properties.name,
            "memory_gb": properties.total_memory / 1e9,
            "multiprocessors": properties.multi_processor_count,
            "capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
        }
    return facts


def _ceilings(bench: GpuBench) -> dict[str, float]:
    """Of arithmetic, of copying, and of how often a host can start something."""
    import torch

    size = 1 << (30 if bench.is_gpu else 22)
    source = torch.ones(size, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    copies = [bench.seconds(lambda: target.copy_(source)) for _ in range(5)]
    dtype = torch.bfloat16 if bench.is_gpu else torch.float32
    return {
        "tflops": peak_flops(bench.device, dtype) / 1e12,
        "copy_gb_s": 2 * size / min(copies) / 1e9,
        "launch_us": _launch_us(bench),
    }


def _launch_us(bench: GpuBench) -> float:
    """Host microseconds of one small operation."""
    import torch

    small = torch.ones(16, device=bench.device)

    def many() -> None:
        for _ in range(1000):
            small.add_(1)

    many()
    return bench.seconds(many) * 1e3


# ---- how long questions take -------------------------------------------------------------------


def main_cells(bench: GpuBench) -> Found:
    """The size that most users load first."""
    return _cells(bench, bench.plan.main, bench.plan.counts)


def heavy_cells(bench: GpuBench) -> Found:
    """The largest published one, built on the device."""
    return _cells(bench, bench.plan.heavy, bench.plan.few)


def further_cells(bench: GpuBench) -> Found:
    """The one with interleaved rotary positions."""
    return _cells(bench, bench.plan.further, bench.plan.few)


def reference(bench: GpuBench) -> Found:
    """The published way: a whole prompt a question, 35 tokens, batch 1."""
    from depthlm_ros.engines.reference import ReferenceEngine

    loaded = bench.loaded(bench.plan.main)
    view, asker = view_of(find_size(bench.plan.main)), loaded.checkpoint.asker("marker")
    engine = ReferenceEngine(loaded, max_new_tokens=PUBLISHED_TOKENS)
    times = [sum(bench.opened(engine, view, asker, 1)) for _ in range(1 + bench.plan.reference)]
    yield "marker 1", {"reference_ms": 1e3 * median(times[1:]), "tokens": PUBLISHED_TOKENS}


def _cells(bench: GpuBench, name: str, counts: Counts) -> Found:
    """Each style by number of questions, directly and through the batcher."""
    loaded, size = bench.loaded(name), find_size(name)
    view, goals = view_of(size), GOALS_MS.get(name, {})
    found = {
        "size": name,
        "parameters": loaded.parameters,
        "dtype": str(loaded.model.dtype)[6:],
        "resident_gb": bench.memory.peak() / 1e9,
    }
    yield "model", found
    engine = bench.engine(name)
    askers = {s: loaded.checkpoint.asker(s) for s in counts if s in size.wording}
    for asker in askers.values():
        bench.opened(engine, view, asker, 1)  # the first warms up
    for style, asker in askers.items():
        for count in counts[style]:
            cell = _cell(bench, engine, view, asker, count)
            cell |= _work(engine, view, asker, count, cell["direct_ms"])
            if style in goals:
                cell["goal_ms"] = goals[style]
                cell["met"] = cell["direct_ms"] <= goals[style]
            if "first" in goals and count == 1:
                cell["goal_first_ms"] = goals["first"]
            yield f"{style} {count}", cell


def _cell(bench: GpuBench, engine: Any, view: View, asker: Style, count: int) -> dict[str, Any]:
    """Milliseconds a question in one step and through a batcher, memory beside the estimate."""
    repeats = 3 if count < 5000 else 1
    bench.opened(engine, view, asker, count)
    bench.memory.reset()
    before = bench.memory.peak()
    direct = [bench.opened(engine, view, asker, count) for _ in range(repeats)]
    peak = bench.memory.peak()
    through = [_through(bench, engine, view, asker, count) for _ in range(2)]
    opened, stepped = (median(times) for times in zip(*direct, strict=True))
    return {
        "questions": count,
        "direct_ms": 1e3 * (opened + stepped) / count,
        "step_ms": 1e3 * stepped,
        "open_ms": 1e3 * opened,
        "batcher_ms": 1e3 * through[-1]["seconds"] / count,
        "batcher_first_run_ms": 1e3 * through[0]["seconds"] / count,
        "first_answer_ms": 1e3 * (opened + stepped) if count == 1 else None,
        "batcher_steps": through[-1]["steps"],
        "step_gb": (peak - before) / 1e9,
        "estimate_gb": _estimate(engine, view, asker, count) / 1e9,
    }


def _through(bench: GpuBench, engine: Any, view: View, asker: Style, count: int) -> dict[str, Any]:
    """The questions as a job of a batcher. steps: size of a step -> how many."""
    questions = questions_about(view, asker, count)
    steps: Counter[int] = Counter()
    begin = bench.now()
    scene = engine.open([view], asker)
    try:
        batcher = Batcher(engine)
        job = batcher.submit(scene, questions)
        while not job.finished:
            before = job.done
            batcher.run_once()
            steps[job.done - before] += 1
        job.wait()
    finally:
        scene.close()
    return {"seconds": bench.now() - begin, "steps": dict(sorted(steps.items()))}


def _estimate(engine: Any, view: View, asker: Style, count: int) -> float:
    """Bytes that the product expects of one step."""
    from depthlm_ros.engines.capacity import image_bytes, question_bytes

    scene = engine.open([view], asker)
    try:
        shared = image_bytes(engine.loaded, scene.grid) if asker.shares_image else 0
        some = min(count, engine.room(scene, inf))
        return float(max(shared, some * question_bytes(engine.loaded, scene)))
    finally:
        scene.close()


def _work(
    engine: Any, view: View, asker: Style, count: int, milliseconds: float
) -> dict[str, float]:
    """The least arithmetic of a question, and how much of it a second was done; milliseconds: that
    one took."""
    some = questions_about(view, asker, min(count, 32))
    flops = work_of(engine.loaded, engine.prompts, view, asker, some).total(count) / count
    return {"gflop": flops / 1e9, "tflop_s": flops / milliseconds * 1e3 / 1e12}
