# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What is used of transformers beyond its documented interfaces, in one place: a model's parts by
the names of its modules, and what happens while it is loaded.

Read in transformers 5.6 to 5.24; test/models/test_compat.py has a test for each function here, so
that a new version that breaks one names it. torch_compat.py is the same for torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from transformers.utils import cached_file, is_accelerate_available

KeysValues = tuple[torch.Tensor, torch.Tensor]

# A model's parts by the names of its modules.


class RootMeanSquare(torch.nn.Module):  # type: ignore[misc]
    """A norm of transformers by torch's own function: one kernel on a GPU instead of eight."""

    def __init__(self, norm: Any):
        super().__init__()
        self.weight, self.epsilon = norm.weight, norm.variance_epsilon
        self.shape = tuple(norm.weight.shape)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(..., width) -> the same shape."""
        return torch.nn.functional.rms_norm(states, self.shape, self.weight, self.epsilon)


def _norm(norm: torch.nn.Module | None) -> Any:
    """The norm itself where it is another one; transformers' classes have each a name of their
    own."""
    return RootMeanSquare(norm) if hasattr(norm, "variance_epsilon") else norm


class DecoderLayer(NamedTuple):
    """One layer of a language model, Qwen2.5-VL's, Qwen3-VL's and Mistral's alike.

    query_norm, key_norm: of each head, None where the model has none. gate, up, activation, down:
    the MLP, down(activation(gate(x)) * up(x)). key_heads: of keys, and of values. scaling: of the
    product of queries and keys. whole: the layer that these are parts of.
    """

    whole: torch.nn.Module
    attention_norm: torch.nn.Module
    query: torch.nn.Module
    key: torch.nn.Module
    value: torch.nn.Module
    query_norm: torch.nn.Module | None
    key_norm: torch.nn.Module | None
    output: torch.nn.Module
    mlp_norm: torch.nn.Module
    gate: torch.nn.Module
    up: torch.nn.Module
    activation: torch.nn.Module
    down: torch.nn.Module
    head_dim: int
    key_heads: int
    scaling: float


class Decoder(NamedTuple):
    """A language model: embeddings, layers, and the norm behind the last.

    stock_norm: that norm as transformers has it.
    """

    embedding: torch.nn.Module
    layers: list[DecoderLayer]
    norm: torch.nn.Module
    stock_norm: torch.nn.Module


def language_model(base: torch.nn.Module) -> torch.nn.Module:
    """The language model inside a model without its head."""
    return base.language_model


def decoder(base: torch.nn.Module) -> Decoder:
    """The parts of the language model."""
    text = language_model(base)
    layers = [_layer(layer) for layer in text.layers]
    return Decoder(text.embed_tokens, layers, _norm(text.norm), text.norm)


def _layer(layer: Any) -> DecoderLayer:
    attention = layer.self_attn
    return DecoderLayer(
        whole=layer,
        attention_norm=_norm(layer.input_layernorm),
        query=attention.q_proj,
        key=attention.k_proj,
        value=attention.v_proj,
        query_norm=_norm(getattr(attention, "q_norm", None)),
        key_norm=_norm(getattr(attention, "k_norm", None)),
        output=attention.o_proj,
        mlp_norm=_norm(layer.post_attention_layernorm),
        gate=layer.mlp.gate_proj,
        up=layer.mlp.up_proj,
        activation=layer.mlp.act_fn,
        down=layer.mlp.down_proj,
        head_dim=attention.head_dim,
        key_heads=attention.k_proj.out_features // attention.head_dim,
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


class VisionBlock(NamedTuple):
    """One layer of a vision part. heads: normalised states (T, width) -> queries, keys and values
    (T, 3, heads, head). scaling: of the product of queries and keys. whole: the layer."""

    whole: torch.nn.Module
    attention_norm: torch.nn.Module
    heads: Callable[[torch.Tensor], torch.Tensor]
    output: torch.nn.Module
    mlp_norm: torch.nn.Module
    mlp: torch.nn.Module
    scaling: float


class VisionPart(NamedTuple):
    """What turns patches into what the language model is given.

    embed: the tensors that vision.prepare makes -> (images, patches, width), a merged token's
        patches behind each other.
    positions: learned ones on a square, mixed for a patch (Qwen3-VL), or None.
    frequencies: (2, head / 4) of the rotary angles along height and width.
    exact: whether angles stay float32 in other dtypes.
    full: layers in which a patch sees its whole image; in the others its window.
    window: image tokens that a window is wide and high, 0 without windows.
    deeper: layer -> what turns states behind it into features for DeepStack.
    merge: states behind the last layer (patches, width) -> features (tokens, width).
    """

    embed: Callable[[dict[str, torch.Tensor]], torch.Tensor]
    positions: torch.nn.Module | None
    frequencies: torch.Tensor
    exact: bool
    blocks: list[VisionBlock]
    full: frozenset[int]
    window: int
    deeper: dict[int, torch.nn.Module]
    merge: torch.nn.Module


def vision_part(base: torch.nn.Module) -> VisionPart:
    """The parts of the vision part and of what joins it to the language model."""
    return _pixtrals_vision(base) if hasattr(base, "vision_tower") else _qwens_vision(base)


def _qwens_vision(base: Any) -> VisionPart:
    tower, config = base.visual, base.visual.config
    layers = range(len(tower.blocks))
    tapped = getattr(tower, "deepstack_visual_indexes", ())
    size = getattr(config, "window_size", 0)
    per_axis = _frequencies(config, config.hidden_size // config.num_heads // 2)

    def embed(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        return tower.patch_embed(tensors["pixel_values"]).unflatten(
            0, (len(tensors["image_grid_thw"]), -1)
        )

    return VisionPart(
        embed=embed,
        positions=getattr(tower, "pos_embed", None),
        frequencies=torch.stack([per_axis, per_axis]),
        exact=True,
        blocks=[_qwens_block(block) for block in tower.blocks],
        full=frozenset(getattr(tower, "fullatt_block_indexes", layers)),
        window=size // (config.patch_size * config.spatial_merge_size),
        deeper=dict(zip(tapped, getattr(tower, "deepstack_merger_list", ()), strict=True)),
        merge=tower.merger,
    )


def _qwens_block(block: Any) -> VisionBlock:
    attention = block.attn

    def heads(states: torch.Tensor) -> torch.Tensor:
        return attention.qkv(states).unflatten(1, (3, attention.num_heads, -1))

    return VisionBlock(
        block,
        _norm(block.norm1),
        heads,
        attention.proj,
        _norm(block.norm2),
        block.mlp,
        attention.scaling,
    )


def _pixtrals_vision(base: Any) -> VisionPart:
    tower, config = base.vision_tower, base.vision_tower.config
    layers = tower.transformer.layers
    head = config.hidden_size // config.num_attention_heads
    frequencies = _frequencies(config, head)

    def embed(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        pixels = tensors["pixel_values"].to(tower.patch_conv.weight.dtype)
        return tower.ln_pre(tower.patch_conv(pixels).flatten(2).transpose(1, 2))

    return VisionPart(
        embed=embed,
        positions=None,
        frequencies=torch.stack([frequencies[0::2], frequencies[1::2]]),
        exact=False,
        blocks=[_pixtrals_block(layer, head) for layer in layers],
        full=frozenset(range(len(layers))),
        window=0,
        deeper={},
        merge=base.multi_modal_projector,
    )


def _pixtrals_block(layer: Any, head: int) -> VisionBlock:
    attention = layer.attention

    def heads(states: torch.Tensor) -> torch.Tensor:
        each = [of(states) for of in (attention.q_proj, attention.k_proj, attention.v_proj)]
        return torch.stack(each, 1).unflatten(2, (-1, head))

    return VisionBlock(
        layer,
        _norm(layer.attention_norm),
        heads,
        attention.o_proj,
        _norm(layer.ffn_norm),
        layer.feed_forward,
        attention.scaling,
    )


def _frequencies(config: Any, width: int) -> torch.Tensor:
    """(width / 2,) of rotary angles; theta stands in one place or the other by version."""
    rope = getattr(config, "rope_parameters", None) or {}
    theta = rope.get("rope_theta") or getattr(config, "rope_theta", 10_000.0)
    return 1.0 / theta ** (torch.arange(0, width, 2, dtype=torch.float32) / width)


# Loading.


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


def placed_on(device: torch.device) -> dict[str, Any]:
    """Options of from_pretrained that read each weight and move it to the device before the next;
    none on the processor, or without accelerate, which transformers wants for it."""
    if device.type == "cpu" or not is_accelerate_available():
        return {}
    return {"device_map": {"": device}}


@contextmanager
def counted_weights(on_weight: Callable[[str], None]) -> Iterator[None]:
    """Inside, on_weight(name) is called after each weight that transformers has read.

    It hangs on the progress bar of that name; a version without a hook for its bars tells nothing.
    """

    def hook(
        factory: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        if options.get("desc") == "Loading weights" and arguments:
            return _counting(arguments[0], on_weight)
        return factory(*arguments, **options)

    set_hook = getattr(transformers.logging, "set_tqdm_hook", lambda hook: None)
    before = set_hook(hook)
    try:
        yield
    finally:
        set_hook(before)


def _counting(
    weights: list[tuple[str, Any]], on_weight: Callable[[str], None]
) -> Iterator[tuple[str, Any]]:
    for name, weight in weights:
        yield name, weight
        on_weight(name)
