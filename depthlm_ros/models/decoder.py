# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The language model's layers: over whole prompts, and over tokens packed behind each other.

The weights and modules are transformers' own, for Qwen2.5-VL, Qwen3-VL and Mistral alike. The loop
is ours: what a token attends to is decided elsewhere (engines/local/rows.py), a layer behind which
nobody looks further is computed for the wanted tokens only, and nothing is read back from the
device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention

from depthlm_ros.models import compat
from depthlm_ros.models.attention import attend, merged
from depthlm_ros.models.compat import DecoderLayer, KeysValues
from depthlm_ros.models.linear import LayerProducts
from depthlm_ros.models.listeners import is_heard, tell
from depthlm_ros.models.loading import Loaded
from depthlm_ros.models.positions import signed, turn, turned
from depthlm_ros.models.tower import Seen
from depthlm_ros.models.vision import ImageTensors


class Attended(Protocol):
    """What packed tokens attend to."""

    def store(self, layer: int, offered: torch.Tensor) -> None:
        """Keep a copy of what the tokens offer to those behind them: keys and values (T, 2 * G,
        D)."""

    def look(self, layer: int, queries: torch.Tensor, scale: float) -> torch.Tensor:
        """What queries (T, H, D) find."""


class WholePrompts:
    """Whole prompts of one length: each token sees those before it, and itself.

    count: how many there are. last: the look into the last layer is of so many tokens of each.
    kept: (keys, values) for each layer, each (count, heads, tokens, width).
    """

    def __init__(self, count: int, last: int):
        self._count, self._last = count, last
        self.kept: list[KeysValues] = []

    def store(self, layer: int, offered: torch.Tensor) -> None:
        """Keep a copy of the next layer's keys and values."""
        self.kept.append(copied(self._by_prompt(offered)))

    def look(self, layer: int, queries: torch.Tensor, scale: float) -> torch.Tensor:
        """What all tokens find, or the last ones of each prompt where there are as few queries."""
        rows, (keys, values) = self._by_prompt(queries), self.kept[layer]
        if rows.shape[2] == keys.shape[2]:
            grouped = rows.shape[1] != keys.shape[1]
            found = scaled_dot_product_attention(
                rows, keys, values, is_causal=True, scale=scale, enable_gqa=grouped
            )
        else:
            found = self._look_from_the_end(rows, keys, values, scale)
        return found.transpose(1, 2).flatten(0, 1)

    def _look_from_the_end(
        self, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """What the last tokens find, in the part before them and among themselves."""
        if self._last == 1:
            return attend(rows, keys, values, scale)[0]
        cut = keys.shape[2] - self._last
        before = attend(rows, keys[:, :, :cut], values[:, :, :cut], scale)
        own = attend(rows, keys[:, :, cut:], values[:, :, cut:], scale, causal=True)
        return merged([own, before])

    def _by_prompt(self, packed: torch.Tensor) -> torch.Tensor:
        return packed.unflatten(0, (self._count, -1)).transpose(1, 2)


def prefill(
    loaded: Loaded,
    ids: torch.Tensor,
    positions: torch.Tensor,
    *images: ImageTensors,
    last: int = 0,
) -> tuple[torch.Tensor, list[KeysValues]]:
    """(hidden states (N, last or L, width), keys and values per layer) of whole prompts.

    ids (N, L) of equal length, unpadded; positions (3, N, L) float; images: all that the ids hold,
    in order; last: how many tokens at the end of each prompt are wanted, 0 for all.
    """
    count, length = ids.shape
    flat = ids.flatten()
    hidden, deeper = loaded.decoder.embedding(flat), []
    if images:
        here = (flat == loaded.vision.image_id)[:, None]
        seen = zip(*(_all(loaded.tower.see(one)) for one in images), strict=True)
        features, *more = (torch.cat(each).to(hidden.dtype) for each in seen)
        hidden = hidden.masked_scatter(here, features)
        deeper = [torch.zeros_like(hidden).masked_scatter(here, each) for each in more]
    wanted = None
    if 0 < last < length:
        places = torch.arange(count * length, device=ids.device).view(count, length)
        wanted = places[:, length - last :].flatten()
    prompts = WholePrompts(count, last)
    states = _through(loaded, hidden, positions.flatten(1), prompts, wanted, deeper)
    return states.unflatten(0, (count, -1)), prompts.kept


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
    return _through(loaded, loaded.decoder.embedding(ids), positions, attended, wanted)


def _all(seen: Seen) -> list[torch.Tensor]:
    return [seen.features, *seen.deeper]


def _through(
    loaded: Loaded,
    hidden: torch.Tensor,
    positions: torch.Tensor,
    attended: Attended,
    wanted: torch.Tensor | None,
    deeper: Sequence[torch.Tensor] = (),
) -> torch.Tensor:
    """States behind all layers and the norm, of the wanted tokens or of all; deeper: what is added
    behind the first layers. Where somebody hears the last layer or the norm, all are computed."""
    text = loaded.decoder
    angles = _angles(loaded, hidden, positions)
    last = len(text.layers) - 1
    all_heard = wanted is not None and any(map(is_heard, (text.layers[-1].whole, text.stock_norm)))
    cut, wanted = (wanted, None) if all_heard else (None, wanted)
    for index, (layer, products) in enumerate(zip(text.layers, loaded.products, strict=True)):
        normed = layer.attention_norm(hidden)
        if index == last and wanted is not None:
            attended.store(index, _offered(layer, normed, angles))
            hidden, normed, *angles = (t[wanted] for t in (hidden, normed, *angles))
            queries = turned(_heads(layer, normed, layer.query, layer.query_norm), angles)
        else:
            queries, offered = _queries_and_offered(layer, products, normed, angles)
            attended.store(index, offered)
        found = attended.look(index, queries, layer.scaling)
        hidden = products.output(found.flatten(1)).add_(hidden)
        gate, up = products.halves(layer.mlp_norm(hidden)).chunk(2, -1)
        hidden = products.down(layer.activation(gate).mul_(up)).add_(hidden)
        tell(layer.whole, hidden)
        if index < len(deeper):
            hidden = hidden + deeper[index]
    hidden = text.norm(hidden)
    tell(text.stock_norm, hidden)
    return hidden if cut is None else hidden[cut]


def model_positions(loaded: Loaded, positions: torch.Tensor) -> torch.Tensor:
    """Positions (3, N, L) as the model takes them; 1-D models take (N, L) whole numbers."""
    return positions if loaded.vision.multimodal_positions else positions[0].long()


def _angles(loaded: Loaded, hidden: torch.Tensor, positions: torch.Tensor) -> list[torch.Tensor]:
    """Cosines and signed sines (T, 1, D) for the tokens' heads."""
    places = model_positions(loaded, positions[:, None])
    cosines, sines = compat.rotary_angles(loaded.base, hidden[None], places)
    return [cosines[0][:, None], signed(sines)[0][:, None]]


def copied(offered: torch.Tensor) -> KeysValues:
    """(keys, values), each (rows, G, tokens, D), of a copy of (rows, 2 * G, tokens, D)."""
    keys, values = offered.clone(memory_format=torch.contiguous_format).chunk(2, 1)
    return keys, values


def _queries_and_offered(
    layer: DecoderLayer,
    products: LayerProducts,
    normed: torch.Tensor,
    angles: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """(queries (T, H, D), keys and values (T, 2 * G, D)) of all tokens, turned."""
    keys = layer.key_heads
    heads = products.heads(normed)
    heads = heads.view(heads.shape[0], -1, layer.head_dim)
    queries = heads.shape[1] - 2 * keys
    if layer.query_norm is not None and layer.key_norm is not None:
        apart = heads.split([queries, keys, keys], 1)
        heads = torch.cat([layer.query_norm(apart[0]), layer.key_norm(apart[1]), apart[2]], 1)
    turn(heads.narrow(1, 0, queries + keys), angles)
    return heads.narrow(1, 0, queries), heads.narrow(1, queries, 2 * keys)


def _offered(
    layer: DecoderLayer, normed: torch.Tensor, angles: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Keys and values (T, 2 * G, D)."""
    keys = turned(_heads(layer, normed, layer.key, layer.key_norm), angles)
    return torch.cat([keys, _heads(layer, normed, layer.value, None)], 1)


def _heads(
    layer: DecoderLayer,
    normed: torch.Tensor,
    projection: torch.nn.Module,
    norm: torch.nn.Module | None,
) -> torch.Tensor:
    """(T, heads, D) of a projection, normalised where the model does so."""
    projected = projection(normed).view(len(normed), -1, layer.head_dim)
    return projected if norm is None else norm(projected)
