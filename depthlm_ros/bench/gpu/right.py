# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Is it right on a GPU: attention against its definition, states and probabilities against float32
on the processor, and the same answers where a step does not fit into memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import inf, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from depthlm_ros.bench.gpu.plan import Found, GpuBench
from depthlm_ros.bench.shapes import SIZES, Size, Text, Vision, build, find_size, view_of
from depthlm_ros.bench.timing import questions_about
from depthlm_ros.question import Style
from depthlm_ros.view import View

if TYPE_CHECKING:
    import torch

    from depthlm_ros.models.loading import Loaded

# Of attention and of its log sums, relative and absolute.
ATTENTION_LIMITS = {"bfloat16": 1e-2, "float16": 2e-3, "float32": 1e-5}
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
States = tuple[np.ndarray, np.ndarray, np.ndarray]  # see _read


# ---- attention ---------------------------------------------------------------------------------


def attention(bench: GpuBench) -> Found:
    """The folded kernel of a GPU against plain products in float64, by heads, widths, lengths."""
    import torch

    from depthlm_ros.models.attention import folded

    draw = torch.Generator().manual_seed(0)
    shapes = [
        (batch, heads, groups, queries, keys, width, causal)
        for heads, groups, width in ((16, 2, 128), (32, 8, 128), (16, 16, 80), (5, 5, 32))
        for batch, queries, keys, causal in bench.plan.attended
    ]
    for name, limit in ATTENTION_LIMITS.items():
        worst = {"found": 0.0, "log_sum": 0.0, "fused_calls": 0, "calls": 0}
        for batch, heads, groups, queries, keys, width, causal in shapes:
            counts = (heads, queries), (groups, keys), (groups, keys)
            drawn = (torch.randn((batch, h, n, width), generator=draw) for h, n in counts)
            q, k, v = (one.to(bench.device, getattr(torch, name)) for one in drawn)
            found, total = folded(q, k, v, width**-0.5, causal)
            true, true_total = _exact(q.double(), k.double(), v.double(), width**-0.5, causal)
            off = (found.double() - true).norm() / true.norm()
            worst["found"] = max(worst["found"], _or_inf(off))
            worst["log_sum"] = max(worst["log_sum"], _or_inf((total - true_total).abs().max()))
            worst["calls"] += 1
            worst["fused_calls"] += _is_fused(q, k, v, causal)
        worst["right"] = worst["found"] < limit and worst["log_sum"] < limit
        yield name, worst


def _or_inf(number: torch.Tensor) -> float:
    return float(number) if number.isfinite() else inf


def _is_fused(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, causal: bool
) -> bool:
    """Whether folded() has a kernel for these."""
    from depthlm_ros.models.torch_compat import has_gpu_attention

    if causal:
        keys, values = _repeated(queries, keys, values)
    rows = queries.reshape(len(queries), keys.shape[1], -1, queries.shape[3])
    return bool(has_gpu_attention(rows, keys, values, causal))


def _exact(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float, causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention by its definition, and the logs of its sums."""
    import torch

    keys, values = _repeated(queries, keys, values)
    weights = queries @ keys.transpose(2, 3) * scale
    if causal:
        weights += weights.new_full(weights.shape[2:], -torch.inf).triu(1)
    return weights.softmax(3) @ values, weights.logsumexp(3)


def _repeated(queries: torch.Tensor, *of_groups: torch.Tensor) -> list[torch.Tensor]:
    """Keys and values with as many heads as the queries."""
    return [t.repeat_interleave(queries.shape[1] // t.shape[1], 1) for t in of_groups]


# ---- states and probabilities ------------------------------------------------------------------


def precision(bench: GpuBench) -> Found:
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
                f"{style} {batch}": apart(_read(engine, view, asker, batch), expected[style])
                for style, asker in styles.items()
                for batch in bench.plan.batches
            }
            worst = max(cell["states"] for cell in cells.values())
            found = {"states": worst, "right": worst < LIMITS[dtype], "cells": cells}
            found["probability"] = max(cell["probability"] for cell in cells.values())
            yield f"{name}, {dtype}", found


def _small_models() -> Iterator[tuple[str, Loaded]]:
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


def _twin(loaded: Loaded, device: torch.device, dtype: torch.dtype) -> Loaded:
    """The same weights elsewhere; buffers such as rotary frequencies keep float32."""
    model = copy.deepcopy(loaded.model)
    for weight in model.parameters():
        weight.data = weight.data.to(dtype)
    return replace(loaded, model=model.to(device))


def _test_view(name: str, focal_px: float) -> View:
    size = SMALL.get(name, SIZES["tiny"])
    return view_of(size._replace(view=(*size.view[:2], focal_px)), seed=3)


def _read(engine: Any, view: View, asker: Style, count: int) -> States:
    """(states (count, width), probabilities (count, 11) of the first digit, medians (count,)) of
    questions in one step."""
    with reading(engine) as seen:
        replies = _asked(engine, view, asker, count)
    states, roots = next(one for one in seen if len(one[0]) == count)
    return states, roots, np.array([reply.median for reply in replies])


@contextmanager
def reading(engine: Any) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """What an engine reads from its model: of each pass the states (M, width), in float64, and the
    probabilities (M, 11) after them."""
    seen, plain = [], engine.reader.probabilities

    def listening(hidden: torch.Tensor) -> Any:
        answer = plain(hidden)
        seen.append((hidden.double().cpu().numpy(), np.array(answer[0])))
        return answer

    engine.reader.probabilities = listening
    try:
        yield seen
    finally:
        engine.reader.probabilities = plain


def apart(here: States, expected: States) -> dict[str, Any]:
    """How far the questions of `here` are from the same ones in `expected`; relative for
    states."""
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


# ---- where memory runs out ---------------------------------------------------------------------


def halving(bench: GpuBench) -> Found:
    """A step that the product's own estimate lets through and the device refuses: are the same
    answers given by halves, and is the pace back afterwards?"""
    import torch

    engine, view = bench.engine(bench.plan.main), view_of(find_size(bench.plan.main))
    style = engine.loaded.checkpoint.asker("coordinates")
    count = 2000 if bench.is_gpu else 8
    free = _values(engine, view, style, count)
    if bench.is_gpu:
        bench.tidy()
        whole = torch.cuda.get_device_properties(bench.device).total_memory
        limit = torch.cuda.memory_allocated(bench.device) + HALVING_SPARE
        torch.cuda.set_per_process_memory_fraction(limit / whole, bench.device)
    try:
        limited, error = _values(engine, view, style, count), ""
    except Exception as refused:  # noqa: BLE001 - told, and the next part begins
        limited, error = np.full(count, nan), f"{type(refused).__name__}: {refused}"
    finally:
        if bench.is_gpu:
            torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
    scene = engine.open([view], style)
    room = engine.room(scene, 10.0)
    scene.close()
    found = {
        "questions": count,
        "spare_gb": HALVING_SPARE / 1e9,
        "answered": int(np.isfinite(limited).sum()),
        "same": int((free == limited).sum()),
        "room_afterwards": room,
        "error": error,
    }
    yield "coordinates", found


def _values(engine: Any, view: View, asker: Style, count: int) -> np.ndarray:
    return np.array([reply.value for reply in _asked(engine, view, asker, count)])


def _asked(engine: Any, view: View, asker: Style, count: int) -> Any:
    """The replies to questions in one step."""
    scene = engine.open([view], asker)
    try:
        return engine.step([(scene, q) for q in questions_about(view, asker, count)])
    finally:
        scene.close()
