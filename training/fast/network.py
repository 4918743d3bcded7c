# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A Qwen3-VL model over a batch of equal views without a host round trip.

Tests hold it to training.model.
"""

import torch

from depthlm_ros.models.tower import Tower
from depthlm_ros.models.vision import ImageTensors


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
