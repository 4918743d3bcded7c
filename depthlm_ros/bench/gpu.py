# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What only a GPU can tell, in one command and one JSON file: is it right there, how fast is it,
what does it wait for, what does it hold.

The parts come in the order of their value, and each is written when it is done, so that a run
which is cut off has still told something. A part that would end after the time is given up before
it begins; one that fails leaves its error in the file and the next one begins. Weights are random
(shapes.py) but for the embedded checkpoint's. On a CPU the same parts run at tiny size, which
tries this script and measures nothing.
"""

import copy
import os
import platform
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf, nan
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from depthlm_ros.batcher import Batcher
from depthlm_ros.bench.compare import PUBLISHED_TOKENS, convinced
from depthlm_ros.bench.shapes import SIZES, Size, Text, Vision, build, find_size, view_of
from depthlm_ros.bench.timing import memory_of, questions_about
from depthlm_ros.bench.work import peak_flops, work_of
from depthlm_ros.data.records import strict_json
from depthlm_ros.data.whole import becoming
from depthlm_ros.errors import InputError, first_line

FILE = "gpu.json"
# Milliseconds a question, and until the first answer, of one H100 in bfloat16.
GOALS_MS = {
    "qwen2.5-vl-3b": {"marker": 41.0, "coordinates": 2.0, "position": 0.3, "first": 80.0},
    "pixtral-12b": {"marker": 150.0},
}
THREE_B = {"marker": (1, 2, 8, 32), "coordinates": (1, 64, 512), "position": (1, 1000, 10_000)}
PROFILED = {"marker": (1, 8), "coordinates": (1, 64), "position": (1000,)}
BATCHES = 1, 7, 64
# Of a state, relative: what the order of sums may change in float32, and rounding in 16 bit.
LIMITS = {"float32": 1e-5, "bfloat16": 0.03, "float16": 0.005}
HALVING_SPARE = 4 << 30  # bytes left free where running out of memory is provoked
SMALL_TEXT = Text(128, 3, 4, 2, 32, 256, 1024)
SMALL_VIEW = (224, 168, 200.0)
SMALL = {
    "qwen2.5-vl, small": Size("qwen2_5_vl", SMALL_TEXT, Vision(64, 3, 4, 96, (1,)), SMALL_VIEW),
    "qwen3-vl, small": Size("qwen3_vl", SMALL_TEXT, Vision(64, 3, 4, 96, (0,)), SMALL_VIEW),
    "pixtral, small": Size("llava", SMALL_TEXT, Vision(64, 3, 4, 96), SMALL_VIEW),
}


SQUARE = (2, 130, 130, True)  # a prompt, which sees what came before


@dataclass(frozen=True)
class Plan:
    """Which sizes stand for what, and how many questions: a GPU's own, or tiny ones to try it.

    main, heavy, further: names of shapes.SIZES; counts: style -> numbers of questions of the main
    size; few: those of the others; profiled: style -> steps to look into; batches: at which
    devices are compared; reference: published answers to time; attended: (batch, queries, keys,
    whether causal) of the attention that is compared.
    """

    main: str = "qwen2.5-vl-3b"
    heavy: str = "pixtral-12b"
    further: str = "qwen3-vl-4b"
    counts: dict = field(default_factory=lambda: THREE_B)
    few: dict = field(
        default_factory=lambda: {"marker": (1, 4), "coordinates": (1, 64), "position": (1, 1000)}
    )
    profiled: dict = field(default_factory=lambda: PROFILED)
    batches: tuple = BATCHES
    reference: int = 2
    attended: tuple = ((1, 1, 1300, False), (3, 7, 257, False), (2, 300, 1024, False), SQUARE)


TINY = Plan(
    main="tiny",
    heavy="tiny",
    further="tiny",
    counts={"marker": (1, 2), "coordinates": (1, 4), "position": (1, 8)},
    few={"marker": (1,), "position": (1,)},
    profiled={"marker": (1,), "position": (2,)},
    batches=(1, 3),
    reference=1,
    attended=((1, 1, 257, False), (3, 7, 33, False), SQUARE),
)


@dataclass(frozen=True)
class Part:
    """One stretch of the run. seconds: what it takes on an H100, by estimate; measure: fills and
    yields what is to be written, as often as there is something new."""

    name: str
    seconds: float
    measure: Callable[..., Iterator[Any]]


def run(out: Path, minutes: float = 9.0, device: str = "auto", parts: str = "") -> Iterator[str]:
    """Measure and write out/gpu.json; yields lines to print.

    parts: names with commas between, "" for all. Raises InputError for an unknown name, a folder
    that cannot be written, or where there is no GPU and none of `device` asks for the trial on a
    processor.
    """
    from depthlm_ros.models.loading import find_device

    found = find_device(device)
    if found.type == "cpu" and device != "cpu":
        raise InputError(
            "--gpu found no GPU that torch can use; --device cpu tries the same parts at tiny size"
        )
    chosen = _chosen(parts)
    report = _Report(Path(out), minutes)
    bench = GpuBench(found, TINY if found.type == "cpu" else Plan())
    for part in chosen:
        yield from report.take(part, bench)
    report.note("finished", True)
    yield f"written: {report.path}"


def _chosen(names) -> list:
    known = {part.name: part for part in PARTS}
    asked = [name.strip() for name in names.split(",") if name.strip()] or list(known)
    if unknown := [name for name in asked if name not in known]:
        raise InputError(f"--parts has '{unknown[0]}', allowed: {', '.join(known)}")
    return [part for name, part in known.items() if name in asked]


class _Report:
    """The file, and what is left of the time."""

    def __init__(self, folder, minutes):
        self.path = folder / FILE
        self._end = time.monotonic() + 60 * minutes
        self._told = {"minutes": minutes, "goals_ms": GOALS_MS, "finished": False, "parts": {}}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write()
        except OSError as error:
            raise InputError(f"--out {folder} cannot be written: {error}") from error

    def note(self, name, value) -> None:
        """Write one more entry."""
        self._told[name] = value
        self._write()

    def take(self, part, bench) -> Iterator[str]:
        """Run one part, writing whenever it has something new."""
        left = self._end - time.monotonic()
        if left < part.seconds:
            why = f"it takes about {part.seconds:.0f} s, {max(left, 0):.0f} s were left"
            self._told["parts"][part.name] = {"skipped": why}
            self._write()
            yield f"{part.name}: skipped, {why}"
            return
        begin, entry = time.perf_counter(), {}
        self._told["parts"][part.name] = entry
        try:
            for name, found in part.measure(bench):
                entry[name] = found
                self._write()
                yield f"{part.name}: {name}: {_brief(found)}"
        except Exception as error:  # noqa: BLE001 - the next part may still tell something
            entry["error"] = traceback.format_exc(limit=-8)
            yield f"{part.name}: FAILED, {type(error).__name__}: {first_line(error)}"
        entry["seconds"] = time.perf_counter() - begin
        bench.tidy()
        self._write()

    def _write(self):
        with becoming(self.path) as part:
            part.write_text(strict_json(self._told) + "\n")


def _brief(found) -> str:
    """A few figures of a nested result on one line."""
    if not isinstance(found, dict):
        return f"{found:.4g}" if isinstance(found, float) else str(found)
    shown = {k: v for k, v in found.items() if not isinstance(v, dict | list)}
    return ", ".join(f"{k} {_brief(v)}" for k, v in shown.items())


class GpuBench:
    """What the parts share: the device, the plan, and the model that is loaded now."""

    def __init__(self, device, plan):
        self.device, self.plan = device, plan
        self.memory = memory_of(device)
        self._name, self._loaded = "", None

    def loaded(self, name):
        """The random model of a size, the only one on the device at a time."""
        if self._name != name:
            self.drop()
            self._loaded = build(find_size(name), name, str(self.device))
            self._name = name
        return self._loaded

    def drop(self) -> None:
        """Give the model back."""
        self._name, self._loaded = "", None
        self.tidy()

    def tidy(self) -> None:
        """Return what nothing refers to any more."""
        from depthlm_ros.models.memory import give_back

        give_back()

    def now(self) -> float:
        """Seconds, once the device has done what it was told."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def seconds(self, action) -> float:
        """What an action takes."""
        begin = self.now()
        action()
        return self.now() - begin


# ---- what there is -----------------------------------------------------------------------------


def _machine(bench):
    """Versions, the device, and its two ceilings."""
    import torch
    import transformers

    facts = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    if bench.device.type == "cuda":
        properties = torch.cuda.get_device_properties(bench.device)
        facts |= {
            "device": properties.name,
            "memory_gb": properties.total_memory / 1e9,
            "multiprocessors": properties.multi_processor_count,
            "capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
        }
    yield "versions", facts
    dtype = torch.bfloat16 if bench.device.type == "cuda" else torch.float32
    size = 1 << (30 if bench.device.type == "cuda" else 22)
    source = torch.ones(size, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    copies = [bench.seconds(lambda: target.copy_(source)) for _ in range(5)]
    yield (
        "ceilings",
        {
            "tflops": peak_flops(bench.device, dtype) / 1e12,
            "copy_gb_s": 2 * size / min(copies) / 1e9,
            "launch_us": _launch_us(bench),
        },
    )


def _launch_us(bench) -> float:
    """Host microseconds of one small operation."""
    import torch

    small = torch.ones(16, device=bench.device)

    def many():
        for _ in range(1000):
            small.add_(1)

    many()
    return bench.seconds(many) * 1e3


# ---- is it right -------------------------------------------------------------------------------


def _attention(bench):
    """The folded kernel of a GPU against plain products in float64, by heads, widths, lengths."""
    import torch

    from depthlm_ros.models import attention

    draw = torch.Generator().manual_seed(0)
    shapes = [
        (batch, heads, groups, queries, keys, width, causal)
        for heads, groups, width in ((16, 2, 128), (32, 8, 128), (16, 16, 80), (5, 5, 32))
        for batch, queries, keys, causal in bench.plan.attended
    ]
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        worst = {"found": 0.0, "log_sum": 0.0, "fused_calls": 0, "calls": 0}
        for batch, heads, groups, queries, keys, width, causal in shapes:
            given = [
                torch.randn((batch, h, n, width), generator=draw).to(bench.device, dtype)
                for h, n in ((heads, queries), (groups, keys), (groups, keys))
            ]
            found, total = attention.folded(*given, width**-0.5, causal)
            true, true_total = _exact(*(g.double() for g in given), width**-0.5, causal)
            off = (found.double() - true).norm() / true.norm()
            worst["found"] = max(worst["found"], _or_inf(off))
            worst["log_sum"] = max(worst["log_sum"], _or_inf((total - true_total).abs().max()))
            worst["calls"] += 1
            worst["fused_calls"] += _is_fused(given, causal)
        limit = {"bfloat16": 1e-2, "float16": 2e-3, "float32": 1e-5}[str(dtype)[6:]]
        worst["right"] = worst["found"] < limit and worst["log_sum"] < limit
        yield str(dtype)[6:], worst


def _or_inf(number) -> float:
    return float(number) if number.isfinite() else inf


def _is_fused(given, causal) -> bool:
    """Whether folded() has a kernel for these."""
    from depthlm_ros.models import compat

    queries, keys, values = given
    if causal:
        keys, values = (
            t.repeat_interleave(len(queries[0]) // t.shape[1], 1) for t in (keys, values)
        )
    rows = queries.reshape(len(queries), keys.shape[1], -1, queries.shape[3])
    return bool(compat.has_gpu_attention(rows, keys, values, causal))


def _exact(queries, keys, values, scale, causal):
    """Attention by its definition, and the logs of its sums."""
    import torch

    repeats = queries.shape[1] // keys.shape[1]
    keys, values = (t.repeat_interleave(repeats, 1) for t in (keys, values))
    weights = queries @ keys.transpose(2, 3) * scale
    if causal:
        weights += weights.new_full(weights.shape[2:], -torch.inf).triu(1)
    return weights.softmax(3) @ values, weights.logsumexp(3)


def _precision(bench):
    """States at the number, and probabilities of its first digit, on the device against float32 on
    the processor, for steps of several sizes: of the embedded checkpoint, and of small random
    models of each architecture whose layers write as loudly as a trained model's. `spread` says
    how far the questions' own states are apart: an error is small only beside it."""
    import torch

    from depthlm_ros.engines.local.engine import LocalEngine

    for name, exact in _small_models():
        # Before the engine, which may change how the model computes.
        twins = {d: _twin(exact, bench.device, getattr(torch, d)) for d in LIMITS}
        truth, view = LocalEngine(exact, check="off"), _test_view(name, exact.checkpoint.focal_px)
        styles = {style: exact.checkpoint.asker(style) for style in exact.checkpoint.wording}
        expected = {s: _read(truth, view, a, max(bench.plan.batches)) for s, a in styles.items()}
        for dtype, loaded in twins.items():
            engine = LocalEngine(loaded, check="off")
            cells = {
                f"{style} {batch}": _apart(_read(engine, view, asker, batch), expected[style])
                for style, asker in styles.items()
                for batch in bench.plan.batches
            }
            worst = max(cell["states"] for cell in cells.values())
            found = {"states": worst, "right": worst < LIMITS[dtype], "cells": cells}
            found["probability"] = max(cell["probability"] for cell in cells.values())
            yield f"{name}, {dtype}", found


def _small_models():
    """(name, Loaded on the processor in float32)."""
    import torch

    from depthlm_ros.checkpoints import find_checkpoint
    from depthlm_ros.models.loading import load

    yield "embedded", load(find_checkpoint("tiny"), "cpu", "float32")
    for name, size in SMALL.items():
        loaded = build(size, name, "cpu", "float32")
        draw = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for key, weight in loaded.model.named_parameters():
                if weight.dim() > 1 and "embed" not in key and "lm_head" not in key:
                    weight.normal_(0, weight[0].numel() ** -0.5, generator=draw)
        yield name, loaded


def _twin(loaded, device, dtype):
    """The same weights elsewhere; buffers such as rotary frequencies keep float32."""
    model = copy.deepcopy(loaded.model)
    for weight in model.parameters():
        weight.data = weight.data.to(dtype)
    return replace(loaded, model=model.to(device))


def _test_view(name, focal_px):
    size = SMALL.get(name, SIZES["tiny"])
    return view_of(size._replace(view=(*size.view[:2], focal_px)), seed=3)


def _read(engine, view, asker, count) -> tuple:
    """(states (count, width), probabilities (count, 11) of the first digit, medians (count,)) of
    questions in one step."""
    seen, plain = [], engine.reader.probabilities

    def listening(hidden):
        answer = plain(hidden)
        seen.append((hidden.double().cpu().numpy(), np.array(answer[0])))
        return answer

    engine.reader.probabilities = listening
    scene = engine.open([view], asker)
    try:
        replies = engine.step([(scene, q) for q in questions_about(view, asker, count)])
    finally:
        scene.close()
        engine.reader.probabilities = plain
    states, roots = next(one for one in seen if len(one[0]) == count)
    return states, roots, np.array([reply.median for reply in replies])


def _apart(here, expected) -> dict:
    """How far the questions of `here` are from the same ones in `told`; relative for states."""
    count = len(here[0])
    states, roots, metres = (part[:count] for part in expected)
    lengths = np.linalg.norm(states, axis=1)
    off = np.linalg.norm(here[0] - states, axis=1) / lengths
    spread = np.linalg.norm(expected[0] - expected[0].mean(0), axis=1).max() / lengths[0]
    both = np.isfinite(here[2]) & np.isfinite(metres)
    ratios = np.abs(np.log(here[2][both] / metres[both]))
    return {
        "states": float(off.max()) if np.isfinite(off).all() else inf,
        "spread": float(spread),
        "probability": float(np.abs(here[1] - roots).max()),
        "metres_ratio": float(np.exp(ratios.max())) if both.any() else nan,
        "numbers": int(both.sum()),
    }


# ---- how fast is it ----------------------------------------------------------------------------


def _engine(loaded):
    """The fast engine, with checks that cost what they cost and never fail."""
    from depthlm_ros.engines.local.engine import LocalEngine

    return convinced(LocalEngine(loaded))


def _cells(bench, name, counts):
    """Each style by number of questions, directly and through the batcher."""
    loaded = bench.loaded(name)
    size = find_size(name)
    view, goals = view_of(size), GOALS_MS.get(name, {})
    yield (
        "model",
        {
            "size": name,
            "parameters": loaded.parameters,
            "dtype": str(loaded.model.dtype)[6:],
            "resident_gb": bench.memory.peak() / 1e9,
        },
    )
    engine = _engine(loaded)
    for style in counts.keys() & size.wording.keys():
        _opened(bench, engine, view, loaded.checkpoint.asker(style), 1)  # the first warms up
    for style in (s for s in counts if s in size.wording):
        asker = loaded.checkpoint.asker(style)
        for count in counts[style]:
            cell = _cell(bench, engine, view, asker, count)
            cell |= _work(loaded, engine, view, asker, count, cell)
            if style in goals:
                cell["goal_ms"] = goals[style]
                cell["met"] = cell["direct_ms"] <= goals[style]
            if "first" in goals and count == 1:
                cell["goal_first_ms"] = goals["first"]
            yield f"{style} {count}", cell


def _cell(bench, engine, view, asker, count) -> dict:
    """Milliseconds a question in one step and through a batcher, memory beside the estimate."""
    repeats = 3 if count < 5000 else 1
    _opened(bench, engine, view, asker, count)
    bench.memory.reset()
    before = bench.memory.peak()
    direct = [_opened(bench, engine, view, asker, count) for _ in range(repeats)]
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


def _opened(bench, engine, view, asker, count) -> tuple:
    """(seconds to open the image, seconds of one step of all questions)."""
    questions = questions_about(view, asker, count)
    begin = bench.now()
    scene = engine.open([view], asker)
    opened = bench.now()
    try:
        engine.step([(scene, question) for question in questions])
        return opened - begin, bench.now() - opened
    finally:
        scene.close()


def _through(bench, engine, view, asker, count) -> dict:
    """The same as a job of a batcher."""
    questions, steps = questions_about(view, asker, count), Counter()
    begin = bench.now()
    scene = engine.open([view], asker)
    try:
        batcher = Batcher(engine)
        job = batcher.submit(scene, questions)
        while not job.finished:
            before = job.done
            batcher.run_once()
            steps[job.done - before] += 1
        replies = job.wait()
    finally:
        scene.close()
    seconds = bench.now() - begin
    lost = sum(reply is None for reply in replies)
    return {"seconds": seconds, "lost": lost, "steps": dict(sorted(steps.items()))}


def _estimate(engine, view, asker, count) -> float:
    """Bytes that the product expects of one step."""
    from depthlm_ros.engines.capacity import image_bytes, question_bytes

    scene = engine.open([view], asker)
    try:
        shared = image_bytes(engine.loaded, scene.grid) if asker.shares_image else 0
        return max(
            shared, min(count, engine.room(scene, inf)) * question_bytes(engine.loaded, scene)
        )
    finally:
        scene.close()


def _work(loaded, engine, view, asker, count, cell) -> dict:
    """The least arithmetic, and how much of it a second was done."""
    work = work_of(
        loaded, engine.prompts, view, asker, questions_about(view, asker, min(count, 32))
    )
    flops = work.total(count) / count
    return {"gflop": flops / 1e9, "tflop_s": flops / cell["direct_ms"] * 1e3 / 1e12}


def _main_cells(bench):
    """The size that most users load first."""
    return _cells(bench, bench.plan.main, bench.plan.counts)


def _heavy_cells(bench):
    """The largest published one, built on the device."""
    return _cells(bench, bench.plan.heavy, bench.plan.few)


def _further_cells(bench):
    """The one with interleaved rotary positions."""
    return _cells(bench, bench.plan.further, bench.plan.few)


def _reference(bench):
    """The published way: a whole prompt a question, 35 tokens, batch 1."""
    from depthlm_ros.engines.reference import ReferenceEngine

    loaded = bench.loaded(bench.plan.main)
    view, asker = view_of(find_size(bench.plan.main)), loaded.checkpoint.asker("marker")
    engine = ReferenceEngine(loaded, max_new_tokens=PUBLISHED_TOKENS)
    times = [sum(_opened(bench, engine, view, asker, 1)) for _ in range(1 + bench.plan.reference)]
    yield "marker 1", {"reference_ms": 1e3 * median(times[1:]), "tokens": PUBLISHED_TOKENS}


# ---- what does it wait for ---------------------------------------------------------------------


def _profile(bench):
    """One step of each: kernels, synchronisations, copies, the share of time without a kernel,
    and how it divides into vision, language and the rounds of the digit tree."""
    loaded = bench.loaded(bench.plan.main)
    view = view_of(find_size(bench.plan.main))
    engine = _engine(loaded)
    for style, counts in bench.plan.profiled.items():
        asker = loaded.checkpoint.asker(style)
        for count in counts:
            _opened(bench, engine, view, asker, count)
            yield f"{style} {count}", _profiled(bench, engine, view, asker, count)


def _profiled(bench, engine, view, asker, count) -> dict:
    questions = questions_about(view, asker, count)
    found = {}
    scenes = []
    for name, action in (
        ("open", lambda: scenes.append(engine.open([view], asker))),
        ("step", lambda: engine.step([(scenes[-1], question) for question in questions])),
    ):
        with _stretches(bench, engine) as stretches:
            found[name] = _listened(bench, action)
        found[name] |= stretches.told()
    for scene in scenes:
        scene.close()
    found["kernels"] = found["step"]["kernels"]
    found["idle_share"] = found["step"]["idle_share"]
    found["synchronisations"] = found["step"]["synchronisations"]
    return found


def _listened(bench, action) -> dict:
    """What torch's profiler hears of an action."""
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CPU]
    if bench.device.type == "cuda":
        kinds.append(ProfilerActivity.CUDA)
    plain_s = bench.seconds(action) if bench.device.type == "cuda" else 0.0
    with profile(activities=kinds) as profiled:
        wall_s = bench.seconds(action)
    calls, on_device, top = Counter(), [], Counter()
    for event in profiled.events():
        device = str(event.device_type)
        if device.endswith("CUDA"):
            on_device.append((event.time_range.start, event.time_range.end))
            top[event.name] += event.time_range.elapsed_us()
        else:
            calls[event.name] += 1
    busy_s = _union(on_device) * 1e-6
    waits = {
        name: calls[name]
        for name in (
            "cudaStreamSynchronize",
            "cudaDeviceSynchronize",
            "aten::item",
            "aten::nonzero",
        )
        if calls[name]
    }
    return {
        "wall_ms": 1e3 * (plain_s or wall_s),
        "profiled_wall_ms": 1e3 * wall_s,
        "busy_ms": 1e3 * busy_s,
        "idle_share": 1 - busy_s / (plain_s or wall_s) if on_device else nan,
        "kernels": len(on_device),
        "launches": calls["cudaLaunchKernel"]
        + calls["cuLaunchKernelEx"]
        + calls["cuLaunchKernel"],
        "graphs": calls["cudaGraphLaunch"],
        "copies": sum(n for name, n in calls.items() if name.startswith("cudaMemcpy")),
        "synchronisations": waits.get("cudaStreamSynchronize", 0),
        "waits": waits,
        "longest": [[name[:90], us / 1e3] for name, us in top.most_common(12)],
    }


def _union(spans) -> float:
    """Length of the union of (start, end)."""
    total, reached = 0.0, -inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


class _Stretches:
    """Milliseconds inside named calls, on the device's own clock where it has one."""

    def __init__(self, bench):
        self._bench, self._marks = bench, []

    def around(self, name, call):
        """The call, with its time noted."""

        def timed(*given, **named):
            begin = self._mark()
            answer = call(*given, **named)
            self._marks.append((name, begin, self._mark()))
            return answer

        return timed

    def _mark(self):
        import torch

        if self._bench.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def told(self) -> dict:
        """{name_ms: the mean over the runs of an action}."""
        self._bench.now()
        sums, on_gpu = Counter(), self._bench.device.type == "cuda"
        for name, begin, end in self._marks:
            sums[f"{name}_ms"] += begin.elapsed_time(end) if on_gpu else 1e3 * (end - begin)
        runs = 2 if on_gpu else 1
        return {name: whole / runs for name, whole in sums.items()}


@contextmanager
def _stretches(bench, engine):
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


# ---- what does it hold -------------------------------------------------------------------------


def _halving(bench):
    """A step that the product's own estimate lets through and the device refuses: are the same
    answers given by halves, and is the pace back afterwards?"""
    import torch

    loaded = bench.loaded(bench.plan.main)
    view, cuda = view_of(find_size(bench.plan.main)), bench.device.type == "cuda"
    style = loaded.checkpoint.asker("coordinates")
    count = 2000 if cuda else 8
    engine = _engine(loaded)
    free = _values(engine, view, style, count)
    whole = torch.cuda.get_device_properties(bench.device).total_memory if cuda else 0
    if cuda:
        bench.tidy()
        limit = torch.cuda.memory_allocated(bench.device) + HALVING_SPARE
        torch.cuda.set_per_process_memory_fraction(limit / whole, bench.device)
    try:
        limited, error = _values(engine, view, style, count), ""
    except Exception as refused:  # noqa: BLE001 - told, and the next part begins
        limited, error = np.full(count, nan), f"{type(refused).__name__}: {refused}"
    finally:
        if cuda:
            torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
    scene = engine.open([view], style)
    room = engine.room(scene, 10.0)
    scene.close()
    yield (
        "coordinates",
        {
            "questions": count,
            "spare_gb": HALVING_SPARE / 1e9,
            "answered": int(np.isfinite(limited).sum()),
            "same": int((free == limited).sum()),
            "room_afterwards": room,
            "error": error,
        },
    )


def _values(engine, view, asker, count):
    scene = engine.open([view], asker)
    try:
        replies = engine.step([(scene, q) for q in questions_about(view, asker, count)])
    finally:
        scene.close()
    return np.array([reply.value for reply in replies])


PARTS = (
    Part("machine", 5, _machine),
    Part("attention", 5, _attention),
    Part("precision", 25, _precision),
    Part("main", 60, _main_cells),
    Part("profile", 30, _profile),
    Part("reference", 15, _reference),
    Part("halving", 15, _halving),
    Part("heavy", 45, _heavy_cells),
    Part("further", 30, _further_cells),
)
NAMES = tuple(part.name for part in PARTS)
