# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A Qwen3-VL model over a batch of equal views without a host round trip, and Muon for matrices of
equal shape at once.

The modules are transformers' own; only the loops are ours. Tests hold both to training.model and
to torch's Muon.
"""

from functools import lru_cache

import torch
from torch.nn import functional as F
from transformers.models.qwen3_vl.modeling_qwen3_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import (
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
)


def seen(visual, values, grid):
    """(image tokens (B, T, width), [those of deepstack]) of patches (B, N, numbers) on a grid of
    (rows, columns) patches."""
    count, length, _ = values.shape
    raster = (
        visual.num_grid_per_side,
        visual.interpolation_mode,
        visual.interpolation_align_corners,
    )
    merge = visual.config.spatial_merge_size
    indices, weights, positions = _raster(*raster, merge, grid, values.device)
    places = (visual.pos_embed(indices) * weights[:, :, None]).sum(1)
    hidden = visual.patch_embed(values.flatten(0, 1)).view(count, length, -1) + places
    cosines, sines = visual.rotary_pos_emb(hidden[0], positions)
    deep = {}
    for number, block in enumerate(visual.blocks):
        hidden = hidden + _looked(block.attn, block.norm1(hidden), cosines, sines)
        hidden = hidden + block.mlp(block.norm2(hidden))
        if number in visual.deepstack_visual_indexes:
            index = visual.deepstack_visual_indexes.index(number)
            deep[index] = _merged(visual.deepstack_merger_list[index], hidden)
    return _merged(visual.merger, hidden), [deep[i] for i in sorted(deep)]


@lru_cache
def _raster(per_side, mode, align_corners, merge, grid, device):
    """(which embeddings of places, their weights, rotary places) of a grid's patches; found with
    the host's help, so only once."""
    thw = torch.tensor([[1, *grid]], device=device)
    found = get_vision_interpolation_indices_and_weights(
        thw,
        num_grid_per_side=per_side,
        mode=mode,
        align_corners=align_corners,
        spatial_merge_size=merge,
        kwargs={},
    )
    return *found, get_vision_position_ids(thw, merge, kwargs={})


def _merged(merger, hidden):
    return merger(hidden.flatten(0, 1)).view(len(hidden), -1, merger.linear_fc2.out_features)


def _looked(attention, hidden, cosines, sines):
    count, length, _ = hidden.shape
    whole = attention.qkv(hidden).view(count * length, 3, attention.num_heads, -1)
    queries, keys, values = whole.unbind(1)
    turned = apply_rotary_pos_emb_vision(
        queries, keys, cosines.repeat(count, 1), sines.repeat(count, 1)
    )
    heads = [x.view(count, length, attention.num_heads, -1).transpose(1, 2) for x in turned]
    values = values.reshape(count, length, attention.num_heads, -1).transpose(1, 2)
    values = values.to(heads[0].dtype)
    found = F.scaled_dot_product_attention(*heads, values, scale=attention.scaling)
    return attention.proj(found.transpose(1, 2).reshape(count, length, -1))


def states(model, values, grid, ids, positions, mask, first):
    """(last states, states in the middle), (B, S, width) each. ids (B, S); positions (3, B, S);
    mask (B, 1, S, S) bool; first: where the image's tokens begin."""
    text = model.model.language_model
    images, deep = seen(model.model.visual, values, grid)
    last = first + images.shape[1]
    words = text.embed_tokens(ids)
    hidden = torch.cat([words[:, :first], images.to(words.dtype), words[:, last:]], 1)
    angles = text.rotary_emb(hidden, positions)
    middle = None
    for number, layer in enumerate(text.layers):
        hidden = layer(hidden, attention_mask=mask, position_embeddings=angles)
        if number < len(deep):
            seen_here = hidden[:, first:last] + deep[number].to(hidden.dtype)
            hidden = torch.cat([hidden[:, :first], seen_here, hidden[:, last:]], 1)
        if number == len(text.layers) // 2 - 1:
            middle = hidden
    return text.norm(hidden), middle


class Muon:
    """torch.optim.Muon (momentum 0.95, Nesterov, match_rms_adamw) for parameters of equal shape at
    once, which is thirty times fewer kernels."""

    def __init__(self, parameters, weight_decay, momentum=0.95):
        self._decay, self._momentum = weight_decay, momentum
        by_shape = {}
        for parameter in parameters:
            by_shape.setdefault(tuple(parameter.shape), []).append(parameter)
        self._groups = list(by_shape.values())
        self._moments = [torch.zeros_like(torch.stack(list(group))) for group in self._groups]

    def forget(self) -> None:
        """Begin anew."""
        torch._foreach_zero_(self._moments)

    @torch.no_grad()
    def step(self, lr) -> None:
        """One step at a learning rate."""
        for group, moment in zip(self._groups, self._moments):
            gradient = torch.stack([parameter.grad for parameter in group])
            moment.lerp_(gradient, 1 - self._momentum)
            update = orthogonal(gradient.lerp(moment, self._momentum))
            length = lr * 0.2 * max(group[0].shape) ** 0.5
            torch._foreach_mul_(group, 1 - lr * self._decay)
            torch._foreach_add_(group, list(update.to(group[0].dtype).unbind()), alpha=-length)


def orthogonal(matrices, steps=5) -> torch.Tensor:
    """(n, a, b) -> the nearest orthogonal ones, roughly: Newton-Schulz as torch's Muon does it."""
    tall = matrices.shape[1] > matrices.shape[2]
    found = matrices.bfloat16() if matrices.is_cuda else matrices.float()  # slow on a processor
    found = found.transpose(1, 2) if tall else found
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        squares = found @ found.transpose(1, 2)
        more = torch.baddbmm(squares, squares, squares, beta=-4.7750, alpha=2.0315)
        found = torch.baddbmm(found, more, found, beta=3.4445)
    return found.transpose(1, 2) if tall else found
