# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A Qwen3-VL model over a batch of equal views without a host round trip, and Muon for matrices of
equal shape at once.

Tests hold both to training.model and to torch's Muon.
"""

import torch

from depthlm_ros.models.tower import Tower
from depthlm_ros.models.vision import ImageTensors
from training.run.optimizers import orthogonal


def views_of(values, size, grid, merge) -> ImageTensors:
    """Patches (B, N, numbers) of views of a size (height, width) as the vision part takes them.

    grid: (rows, columns) of image tokens. merge: patches of one along an axis.
    """
    lengths = 1, *(merge * length for length in grid)
    thw = torch.stack([torch.full(values.shape[:1], n, device=values.device) for n in lengths], 1)
    tensors = {"pixel_values": values.flatten(0, 1), "image_grid_thw": thw}
    return ImageTensors(tensors, size, grid)


def states(model, tower: Tower, views: ImageTensors, ids, positions, mask, first):
    """(last states, states in the middle), (B, S, width) each.

    tower: the model's own vision part. ids: (B, S). positions: (3, B, S). mask: (B, 1, S, S) bool.
    first: where the image's tokens begin.
    """
    text, count = model.model.language_model, len(ids)
    found = tower.see(views)
    images, *deep = (x.unflatten(0, (count, -1)) for x in (found.features, *found.deeper))
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
    """Muon as in training/run/optimizers.py, for parameters of equal shape at once, which is
    thirty times fewer kernels."""

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
