# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The language model's layers: over whole prompts, and over tokens packed behind each other.

The weights and modules are transformers' own, for Qwen2.5-VL, Qwen3-VL and Mistral alike. Whole
prompts run through the model as it is; for packed tokens the loop is ours, since what a token
attends to is decided elsewhere (engines/local/rows.py).
"""

from __future__ import annotations

from typing import Protocol

import torch

from depthlm_ros.models import compat
from depthlm_ros.models.compat import DecoderLayer, KeysValues
from depthlm_ros.models.loading import Loaded
from depthlm_ros.models.vision import ImageTensors


class Attended(Protocol):
    """What packed tokens attend to."""

    def store(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep what the tokens offer to those behind them, each (T, G, D)."""

    def look(self, layer: int, queries: torch.Tensor, scale: float) -> torch.Tensor:
        """What queries (T, H, D) find."""


def prefill(
    loaded: Loaded, ids: torch.Tensor, positions: torch.Tensor, *images: ImageTensors
) -> tuple[torch.Tensor, list[KeysValues]]:
    """(hidden states (N, L, width), keys and values per layer) of whole prompts.

    ids (N, L) of equal length, unpadded; positions (3, N, L) float; images: all that the ids hold,
    in order. Positions are always given, so that the state which transformers keeps on the module
    (rope_deltas) is never read.
    """
    inputs = loaded.vision.inputs(loaded.base, ids, *images)
    return compat.run_with_cache(
        loaded.base, **inputs, position_ids=model_positions(loaded, positions)
    )


def run(
    loaded: Loaded,
    ids: torch.Tensor,
    positions: torch.Tensor,
    attended: Attended,
    wanted: torch.Tensor | None = None,
) -> torch.Tensor:
    """Hidden states (T, width) of packed tokens, or (len(wanted), width) of the wanted ones.

    ids (T,); positions (3, T) float; wanted: indices, in the last layer the other tokens only
    leave their keys and values.
    """
    text = compat.decoder(loaded.base)
    hidden = text.embedding(ids)
    angles = _angles(loaded, hidden, positions)
    last = len(text.layers) - 1
    for index, layer in enumerate(text.layers):
        normed = layer.attention_norm(hidden)
        attended.store(index, *_keys_values(layer, normed, angles))
        if index == last and wanted is not None:
            hidden, normed, *angles = (t[wanted] for t in (hidden, normed, *angles))
        queries = _turned(_heads(layer, normed, layer.query, layer.query_norm), angles)
        found = attended.look(index, queries, layer.scaling)
        hidden = hidden + layer.output(found.flatten(1))
        hidden = hidden + layer.mlp(layer.mlp_norm(hidden))
    return text.norm(hidden)


def model_positions(loaded: Loaded, positions: torch.Tensor) -> torch.Tensor:
    """Positions (3, N, L) as the model takes them; 1-D models take (N, L) whole numbers."""
    return positions if loaded.vision.multimodal_positions else positions[0].long()


def _angles(loaded: Loaded, hidden: torch.Tensor, positions: torch.Tensor) -> list[torch.Tensor]:
    """Cosines and sines (T, 1, D) for the tokens' heads."""
    places = model_positions(loaded, positions[:, None])
    found = compat.rotary_angles(loaded.base, hidden[None], places)
    return [angle[0][:, None] for angle in found]


def _keys_values(
    layer: DecoderLayer, normed: torch.Tensor, angles: list[torch.Tensor]
) -> KeysValues:
    keys = _turned(_heads(layer, normed, layer.key, layer.key_norm), angles)
    return keys, _heads(layer, normed, layer.value, None)


def _heads(
    layer: DecoderLayer,
    normed: torch.Tensor,
    projection: torch.nn.Module,
    norm: torch.nn.Module | None,
) -> torch.Tensor:
    """(T, heads, D) of a projection, normalised where the model does so."""
    projected = projection(normed).unflatten(1, (-1, layer.head_dim))
    return projected if norm is None else norm(projected)


def _turned(heads: torch.Tensor, angles: list[torch.Tensor]) -> torch.Tensor:
    """Rotary position embedding: the halves of a head are the two axes of its planes."""
    cosines, sines = angles
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat([-second, first], dim=-1) * sines
