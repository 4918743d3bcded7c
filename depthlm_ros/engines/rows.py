# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rows of tokens that grow behind a prompt which is computed once.

The prompt's keys and values are plain tensors per layer that nothing ever appends to: one copy
for all rows (a shared picture) or one per row. What rows append is kept apart. Every forward
gets explicit positions and its own mask, so that the state which transformers keeps on the
module (rope_deltas) is never read. Knows nothing about questions or numbers.
"""

import torch
from transformers import DynamicCache


class GrownCache:
    """Keys and values of a prompt and of what rows appended; a cache to the model's eyes.

    prompt: (keys, values) per layer, each (1 or rows, heads, tokens, width). The prompt is
    widened to the rows for one layer at a time, never for all at once.
    """

    def __init__(self, prompt, rows):
        self.rows = rows
        self._prompt = prompt
        self._grown = [None] * len(prompt)

    def update(self, keys, values, layer, *_, **__):
        """What the model's layers call: append, and return everything to attend to."""
        new = (keys, values)
        if self._grown[layer] is not None:
            new = tuple(
                torch.cat([old, more], dim=2)
                for old, more in zip(self._grown[layer], new, strict=True)
            )
        self._grown[layer] = new
        return tuple(
            torch.cat([fixed.expand(self.rows, -1, -1, -1), grown], dim=2)
            for fixed, grown in zip(self._prompt[layer], new, strict=True)
        )

    def keep(self, rows) -> None:
        """Go on with these rows (a tensor of indices) only."""
        self.rows = len(rows)
        self._grown = [grown and tuple(t[rows] for t in grown) for grown in self._grown]
        if self._prompt[0][0].shape[0] > 1:
            self._prompt = [tuple(t[rows] for t in layer) for layer in self._prompt]


class Rows:
    """Rows behind a prompt of `length` tokens. loaded: the Loaded model that computes them."""

    def __init__(self, loaded, prompt, rows):
        self._loaded = loaded
        self._cache = GrownCache(prompt, rows)
        self._length = prompt[0][0].shape[2]

    def append(self, ids, positions, visible) -> torch.Tensor:
        """Hidden states (N, W, width) of W more tokens a row.

        ids (N, W); positions (3, N, W) float; visible (N or 1, W, appended + W) bool: which of
        the appended tokens each one sees, itself included. All see the whole prompt.
        """
        return self._loaded.base(
            input_ids=ids,
            position_ids=model_positions(self._loaded, positions),
            attention_mask=self._mask(visible),
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state

    def keep(self, rows) -> None:
        """Go on with these rows (a list of indices) only."""
        self._cache.keep(torch.tensor(rows, device=self._loaded.device))

    def _mask(self, visible):
        """(N or 1, 1, W, length + appended + W) additive, as every attention takes it."""
        mask = torch.zeros(
            (len(visible), 1, visible.shape[1], self._length + visible.shape[2]),
            dtype=self._loaded.model.dtype,
            device=self._loaded.device,
        )
        mask[:, 0, :, self._length :].masked_fill_(~visible.to(mask.device), float("-inf"))
        return mask


def prefill(loaded, ids, positions, pictures):
    """(hidden states (N, L, width), keys and values per layer) of whole prompts.

    ids (N, L) of equal length, unpadded; positions (3, N, L) float; pictures: N of them.
    """
    cache = DynamicCache()
    hidden = loaded.base(
        **loaded.vision.inputs(loaded.base, ids, pictures),
        position_ids=model_positions(loaded, positions),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return hidden, [(layer.keys, layer.values) for layer in cache.layers]


def model_positions(loaded, positions) -> torch.Tensor:
    """Positions (3, N, L) as the model takes them; 1-D models take (N, L) whole numbers."""
    return positions if loaded.vision.multimodal_positions else positions[0].long()
