# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The least arithmetic that exact answers need, and how much a device can do: the roofline.

Counts the products of matrices of the plan (what questions share is computed once, words are
given, only digits are decoded) at two operations a multiplication. Memory traffic is left out:
with few questions the weights' way through memory is the limit, and the line is lower than any
engine can reach.

torch.utils.flop_counter is no substitute: it counts a forward that really runs (here even a model
of 12 billion parameters is counted without weights), and leaves out the attention kernels of a
CPU. A test holds what both count to be equal.
"""

import time
from dataclasses import dataclass
from statistics import mean

from depthlm_ros.bench.weights import NODES

ROUNDS = 10  # products to measure the peak with, the fastest counts


@dataclass(frozen=True)
class Work:
    """Floating-point operations in one style: once for an image, and for each question.
    tokens: of text behind what is shared, on average, without the number's."""

    image: float
    question: float
    tokens: float

    def total(self, n) -> float:
        """Of n questions about one image."""
        return self.image + n * self.question


def work_of(loaded, prompts, view, style, questions) -> Work:
    """The Work of questions in a Style about a View."""
    images = loaded.vision.prepare([view.image])
    merged = images.grid[0] * images.grid[1]
    patches = merged * loaded.vision.merge**2
    seeing = _vision(loaded, patches, merged)
    whole = [len(prompts.with_images(prompts.question_ids(q), images.grid)) for q in questions]
    if not style.shares_image:
        tokens = mean(whole)
        number = _text(loaded, NODES, tokens) + _head(loaded, 1 + NODES)
        return Work(0.0, seeing + _text(loaded, tokens, 0) + number, tokens - merged)
    beginning = prompts.shared_beginning(view, style)
    shared = len(prompts.with_images(beginning, images.grid))
    tokens = mean(whole) - shared
    own = _text(loaded, tokens + NODES, shared) + _head(loaded, 1 + NODES)
    return Work(seeing + _text(loaded, shared, 0), own, tokens)


def peak_flops(device, dtype) -> float:
    """Operations a second in a large product of matrices on this device, by the library that
    the engines choose."""
    import torch

    from depthlm_ros.models.linear import fast_products

    side = 1024 if device.type == "cpu" else 8192
    rows = torch.randn((side, side), device=device).to(dtype)
    layer = torch.nn.Linear(side, side, bias=False, device=device, dtype=dtype)
    fast_products(layer)
    with torch.inference_mode():
        return 2 * side**3 / min(_seconds(lambda: layer(rows), device) for _ in range(ROUNDS))


def _seconds(action, device) -> float:
    import torch

    begin = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def _weights(module, but=()) -> int:
    """Numbers in the matrices of a module, except those whose name holds a word of `but`."""
    named = module.named_parameters()
    return sum(w.numel() for n, w in named if w.dim() > 1 and not any(word in n for word in but))


def _vision(loaded, patches, merged) -> float:
    """Of seeing one image."""
    from depthlm_ros.models.compat import projector, vision_tower

    tower, joining = vision_tower(loaded.base), projector(loaded.base)
    blocks = _weights(tower, but=("merger", "pos_embed"))
    joined = _weights(tower) - _weights(tower, but=("merger",))
    joined += _weights(joining) if joining is not None else 0
    return 2 * blocks * patches + 2 * joined * merged + _looking(loaded, patches)


def _looking(loaded, patches) -> float:
    """Of the attention between patches: over the whole image, or in windows."""
    config = loaded.config.vision_config
    layers = getattr(config, "depth", None) or config.num_hidden_layers
    full = len(getattr(config, "fullatt_block_indexes", range(layers)))
    window = (getattr(config, "window_size", 0) // config.patch_size) ** 2
    seen = full * patches + (layers - full) * window
    return 4 * config.hidden_size * patches * seen


def _text(loaded, tokens, before) -> float:
    """Of tokens behind `before` others, seeing them and, on average, half of themselves."""
    config = loaded.config.get_text_config()
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    layers = 2 * _weights(loaded.base.language_model, but=("embed_tokens",))
    attention = 4 * config.num_hidden_layers * width * (before + tokens / 2)
    return tokens * (layers + attention)


def _head(loaded, states) -> float:
    """Of the probabilities after so many states."""
    return 2 * loaded.head.weight.numel() * states
