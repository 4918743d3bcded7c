# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What is used of torch and transformers beyond their documented interfaces, in one place.

Read in torch 2.13 and transformers 5.6 to 5.24; test/models/test_compat.py has a test for each
function here, so that a new version that breaks one names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch.backends.cuda import SDPAParams, can_use_flash_attention
from transformers import DynamicCache
from transformers.utils import cached_file

KeysValues = tuple[torch.Tensor, torch.Tensor]

# oneDNN, and torch around it, keep what was compiled for each number of rows, and steps are of
# every size: with their own limits of 1,024 a node grows by hundreds of megabytes. Read at the
# first use of either.
for _limit in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_limit, "16")


# torch: attention kernels that also return the log of the sum of weights.


def cpu_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float, causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """(found, log sums) by the kernel of a CPU; see attention.attend."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return kernel(queries, keys, values, 0.0, causal, scale=scale)


def gpu_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float, causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """(found, log sums) by the kernel of a GPU for half precision."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention
    found, total, *_ = kernel(queries, keys, values, 0.0, causal, scale=scale)
    return found, total[..., : queries.shape[2]]


def has_gpu_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, causal: bool
) -> bool:
    """Whether torch has a kernel of a GPU for these: not on one before Ampere, nor for float32.
    Heads must come in eights, since the padding of other widths lies outside the kernel."""
    asked = SDPAParams(queries, keys, values, None, 0.0, causal, False)
    return queries.shape[3] % 8 == 0 and can_use_flash_attention(asked)


# torch: matrix products by oneDNN instead of MKL.


def has_onednn_linear() -> bool:
    """Whether this build of torch multiplies by oneDNN too."""
    available = torch.backends.mkldnn.is_available()
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def onednn_linear(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """torch.nn.functional.linear by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")


# transformers: a model's parts by the names of its modules.


class DecoderLayer(NamedTuple):
    """One layer of a language model, Qwen2.5-VL's, Qwen3-VL's and Mistral's alike.

    query_norm, key_norm: of each head, None where the model has none. scaling: of the product of
    queries and keys.
    """

    attention_norm: torch.nn.Module
    query: torch.nn.Module
    key: torch.nn.Module
    value: torch.nn.Module
    query_norm: torch.nn.Module | None
    key_norm: torch.nn.Module | None
    output: torch.nn.Module
    mlp_norm: torch.nn.Module
    mlp: torch.nn.Module
    head_dim: int
    scaling: float


class Decoder(NamedTuple):
    """A language model: embeddings, layers, and the norm behind the last."""

    embedding: torch.nn.Module
    layers: list[DecoderLayer]
    norm: torch.nn.Module


def language_model(base: torch.nn.Module) -> torch.nn.Module:
    """The language model inside a model without its head."""
    return base.language_model


def decoder(base: torch.nn.Module) -> Decoder:
    """The parts of the language model."""
    text = language_model(base)
    return Decoder(text.embed_tokens, [_layer(layer) for layer in text.layers], text.norm)


def _layer(layer: Any) -> DecoderLayer:
    attention = layer.self_attn
    return DecoderLayer(
        attention_norm=layer.input_layernorm,
        query=attention.q_proj,
        key=attention.k_proj,
        value=attention.v_proj,
        query_norm=getattr(attention, "q_norm", None),
        key_norm=getattr(attention, "k_norm", None),
        output=attention.o_proj,
        mlp_norm=layer.post_attention_layernorm,
        mlp=layer.mlp,
        head_dim=attention.head_dim,
        scaling=attention.scaling,
    )


def rotary_angles(
    base: torch.nn.Module, hidden: torch.Tensor, positions: torch.Tensor
) -> list[torch.Tensor]:
    """Cosines and sines, each (N, L, head_dim), for positions as the model takes them.

    Early transformers 5 left it to Qwen2.5-VL's attention to choose, of angles (3, N, L, D), the
    axis that turns each section of a head.
    """
    text = language_model(base)
    return [_one_axis_each(text.config, angle) for angle in text.rotary_emb(hidden, positions)]


def _one_axis_each(config: Any, angle: torch.Tensor) -> torch.Tensor:
    if angle.dim() == 3:
        return angle
    sections = angle.split(config.rope_parameters["mrope_section"] * 2, dim=-1)
    return torch.cat([section[i % 3] for i, section in enumerate(sections)], dim=-1)


def vision_tower(base: torch.nn.Module) -> torch.nn.Module:
    """The vision part: a Qwen-VL's with its merger, or Pixtral's without the projector."""
    return getattr(base, "visual", None) or base.vision_tower


def vision_layers(base: torch.nn.Module) -> dict[int, torch.nn.Module]:
    """Number -> layer of the vision part; each returns (patches, width), Pixtral's (1, patches,
    width)."""
    tower = vision_tower(base)
    return dict(enumerate(getattr(tower, "blocks", None) or tower.transformer.layers))


def deepstack_mergers(base: torch.nn.Module) -> dict[int, torch.nn.Module]:
    """Number -> DeepStack merger, each of which returns (image tokens, width); only Qwen3-VL has
    some."""
    return dict(enumerate(getattr(vision_tower(base), "deepstack_merger_list", ())))


def text_layers(base: torch.nn.Module) -> dict[int, torch.nn.Module]:
    """Number -> layer of the language model, and -1 -> the norm behind the last."""
    text = language_model(base)
    return {**dict(enumerate(text.layers)), -1: text.norm}


def projector(base: torch.nn.Module) -> torch.nn.Module | None:
    """What joins Pixtral's vision part to the language model; None in a Qwen-VL."""
    return getattr(base, "multi_modal_projector", None)


def replace_patch_embedding(
    base: torch.nn.Module, made: Callable[[torch.nn.Module], torch.nn.Module]
) -> None:
    """Swap a Qwen-VL's patch embedding for made(its convolution); other models stay as they
    are."""
    visual = getattr(base, "visual", None)
    if visual is not None:
        visual.patch_embed = made(visual.patch_embed.proj)


def image_features(base: torch.nn.Module, **inputs: torch.Tensor) -> torch.Tensor:
    """(tokens, width) of one image, as Pixtral's projector leaves them."""
    return base.get_image_features(**inputs, return_dict=True).pooler_output[0]


def run_with_cache(
    base: torch.nn.Module, **inputs: torch.Tensor
) -> tuple[torch.Tensor, list[KeysValues]]:
    """(hidden states (N, L, width), keys and values of each layer) of whole prompts.

    The cache is the argument past_key_values up to transformers 5.39 and `cache` from 5.24 on.
    """
    cache = DynamicCache()
    named = "cache" if "cache" in signature(base.forward).parameters else "past_key_values"
    hidden = base(**inputs, **{named: cache}, use_cache=True).last_hidden_state
    return hidden, [(layer.keys, layer.values) for layer in cache.layers]


# transformers: loading.


@contextmanager
def quiet() -> Iterator[None]:
    """Without progress bars and load reports of transformers: the errors here say it shorter."""
    log = transformers.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def stored_file(model: str, name: str) -> Path | None:
    """A file of a folder or of a hub id, downloaded where it has to be; None where there is
    none, or where the hub cannot be reached and it is not in the cache."""
    found = cached_file(
        model,
        name,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)


@contextmanager
def counted_weights(told: Callable[[str], None]) -> Iterator[None]:
    """Inside, told(name) is called after each weight that transformers has read.

    It hangs on the progress bar of that name; a version without a hook for its bars tells nothing.
    """

    def hook(
        factory: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        if options.get("desc") == "Loading weights" and arguments:
            return _counting(arguments[0], told)
        return factory(*arguments, **options)

    set_hook = getattr(transformers.logging, "set_tqdm_hook", lambda hook: None)
    before = set_hook(hook)
    try:
        yield
    finally:
        set_hook(before)


def _counting(
    weights: list[tuple[str, Any]], told: Callable[[str], None]
) -> Iterator[tuple[str, Any]]:
    for name, weight in weights:
        yield name, weight
        told(name)
