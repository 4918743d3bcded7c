# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The language model's layers over tokens that stand packed behind each other, without padding.

The weights and modules are transformers' own, for Qwen2.5-VL, Qwen3-VL and Mistral alike; only
the loop is ours, since what a token attends to is decided elsewhere (rows.py). Knows nothing
about rows, questions or pictures.
"""

import torch


def run(loaded, ids, positions, seen, wanted=None) -> torch.Tensor:
    """Hidden states (T, width) of packed tokens, or (len(wanted), width) of the wanted ones.

    ids (T,); positions (3, T) float. seen: seen.store(layer, keys, values), each (T, G, D), then
    seen.look(layer, queries (T or len(wanted), H, D), scale) -> what they find. wanted: indices;
    in the last layer the other tokens only leave their keys and values.
    """
    text = loaded.base.language_model
    hidden = text.embed_tokens(ids)
    angles = _angles(loaded, hidden, positions)
    last = len(text.layers) - 1
    for index, layer in enumerate(text.layers):
        normed = layer.input_layernorm(hidden)
        seen.store(index, *_keys_values(layer.self_attn, normed, angles))
        if index == last and wanted is not None:
            hidden, normed, *angles = (t[wanted] for t in (hidden, normed, *angles))
        queries = _turned(_heads(layer.self_attn, "q", normed), angles)
        found = seen.look(index, queries, layer.self_attn.scaling)
        hidden = hidden + layer.self_attn.o_proj(found.flatten(1))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return text.norm(hidden)


def model_positions(loaded, positions) -> torch.Tensor:
    """Positions (3, N, L) as the model takes them; 1-D models take (N, L) whole numbers."""
    return positions if loaded.vision.multimodal_positions else positions[0].long()


def _angles(loaded, hidden, positions):
    """Cosines and sines (T, 1, D) for the tokens' heads."""
    text = loaded.base.language_model
    places = model_positions(loaded, positions[:, None])
    angles = text.rotary_emb(hidden[None], places)
    return [_one_axis_each(text.config, angle)[0][:, None] for angle in angles]


def _one_axis_each(config, angle):
    """(1, T, D): early transformers 5 left it to Qwen2.5-VL's attention to choose, of angles
    (3, 1, T, D), the axis that turns each section of a head."""
    if angle.dim() == 3:
        return angle
    sections = angle.split(config.rope_parameters["mrope_section"] * 2, dim=-1)
    return torch.cat([section[i % 3] for i, section in enumerate(sections)], dim=-1)


def _keys_values(attention, normed, angles):
    keys = _turned(_heads(attention, "k", normed), angles)
    return keys, _heads(attention, "v", normed)


def _heads(attention, name, normed):
    """(T, heads, D) of the projection q, k or v, normalised where the model does so."""
    projected = getattr(attention, f"{name}_proj")(normed).unflatten(1, (-1, attention.head_dim))
    norm = getattr(attention, f"{name}_norm", None)
    return projected if norm is None else norm(projected)


def _turned(heads, angles):
    """Rotary position embedding: the halves of a head are the two axes of its planes."""
    cosines, sines = angles
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat([-second, first], dim=-1) * sines
