# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The keys and values that tokens behind a prompt attend to.

One copy of the prompt for all rows, each row's own words, and trees of tokens that grew since;
each is looked at apart and the parts are merged (attention.py). No mask as wide as the prompt is
made and nothing of it is copied. Tensors are packed: (tokens, heads, width).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from depthlm_ros.models.attention import Part, attend, attend_listed, merged
from depthlm_ros.models.compat import KeysValues


class Prompt:
    """A prompt that all rows share. kept: (keys, values) per layer, (1, heads, tokens, width)."""

    def __init__(self, kept: Sequence[KeysValues]):
        self._kept = kept

    def look(self, layer: int, queries: torch.Tensor, scale: float) -> list[Part]:
        """[(found (M, H, D), log sums (M, H))] of queries (M, H, D)."""
        found, total = attend(queries.transpose(0, 1)[None], *self._kept[layer], scale)
        return [(found[0].transpose(0, 1), total[0].T)]


class NoPrompt(Prompt):
    """In place of a Prompt where rows share nothing."""

    def __init__(self) -> None:
        super().__init__([])

    def look(self, layer: int, queries: torch.Tensor, scale: float) -> list[Part]:
        """No part."""
        return []


class Block:
    """Rows with own words of one length.

    rows: (n,), which they are.
    kept: (keys, values) for each layer, each (n, heads, length, width).
    """

    def __init__(self, rows: torch.Tensor, length: int, kept: Sequence[KeysValues] = ()):
        self.rows, self.length, self._kept = rows, length, list(kept)

    def store(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep the next layer's keys and values of all words, row by row."""
        self._kept.append((self._by_row(keys), self._by_row(values)))

    def look(self, layer: int, queries: torch.Tensor, scale: float) -> Part:
        """(found, log sums) of all words, causally, or of the last word of each row."""
        rows = self._by_row(queries)
        found, total = attend(rows, *self._kept[layer], scale, rows.shape[2] == self.length)
        return found.transpose(1, 2).flatten(0, 1), total.transpose(1, 2).flatten(0, 1)

    def look_from(
        self,
        layer: int,
        places: tuple[torch.Tensor, torch.Tensor],
        queries: torch.Tensor,
        scale: float,
    ) -> Part:
        """(found, log sums) of queries at places (index of the row here, slot) on all words."""
        of, slots = places
        some = slice(int(of.min()), int(of.max()) + 1)
        of = of - some.start
        padded = queries.new_zeros((int(of.max()) + 1, int(slots.max()) + 1, *queries.shape[1:]))
        padded[of, slots] = queries
        keys, values = (kept[some] for kept in self._kept[layer])
        found, total = attend(padded.transpose(1, 2), keys, values, scale)
        return found[of, :, slots], total[of, :, slots]

    def rewound(self, words: int) -> Block:
        """The same rows without the last `words` words; their keys and values stay where they
        are."""
        length = self.length - words
        kept = [(keys[:, :, :length], values[:, :, :length]) for keys, values in self._kept]
        return Block(self.rows, length, kept)

    def _by_row(self, packed: torch.Tensor) -> torch.Tensor:
        return packed.unflatten(0, (len(self.rows), -1)).transpose(1, 2)


class Words:
    """The words of blocks, packed in their order: each sees the prompt and its row so far."""

    def __init__(self, prompt: Prompt, blocks: Sequence[Block]):
        self._prompt, self._blocks = prompt, blocks
        self._sizes = [len(block.rows) * block.length for block in blocks]

    def store(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep what the words offer to those behind them."""
        packed = zip(keys.split(self._sizes), values.split(self._sizes), strict=True)
        for block, own in zip(self._blocks, packed, strict=True):
            block.store(*own)

    def look(self, layer: int, queries: torch.Tensor, scale: float) -> torch.Tensor:
        """What all words find, or the last word of each row where there are as few queries."""
        ends = [len(block.rows) for block in self._blocks]
        sizes = self._sizes if len(queries) == sum(self._sizes) else ends
        packed = zip(self._blocks, queries.split(sizes), strict=True)
        own = zip(*(block.look(layer, some, scale) for block, some in packed), strict=True)
        parts = self._prompt.look(layer, queries, scale)
        return merged([tuple(torch.cat(part) for part in own), *parts])


class Branches:
    """Tokens that grow in trees: each sees the prompt, its row's words, and its ancestors.

    grown: (keys, values) for each layer of all that grew before, extended here.
    rows: (M,), ascending.
    columns: (M, C), the numbers of the ancestors and of itself, -1 for none.
    """

    def __init__(
        self,
        prompt: Prompt,
        blocks: Sequence[Block],
        grown: dict[int, KeysValues],
        rows: torch.Tensor,
        columns: torch.Tensor,
    ):
        self._prompt, self._grown, self._columns = prompt, grown, columns
        slots = torch.arange(len(rows)) - torch.searchsorted(rows, rows)
        found = [(block, *_members(block, rows)) for block in blocks]
        self._places = [(b, here, (of, slots[here])) for b, here, of in found if len(here)]

    def store(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Append to what grew before."""
        if layer in self._grown:
            before = self._grown[layer]
            keys, values = torch.cat([before[0], keys]), torch.cat([before[1], values])
        self._grown[layer] = keys, values

    def look(self, layer: int, queries: torch.Tensor, scale: float) -> torch.Tensor:
        """What the tokens find."""
        ancestors = attend_listed(queries, *self._grown[layer], self._columns, scale)
        parts = self._prompt.look(layer, queries, scale)
        return merged([ancestors, self._look_words(layer, queries, scale), *parts])

    def _look_words(self, layer: int, queries: torch.Tensor, scale: float) -> Part:
        found, total = torch.empty_like(queries), queries.new_empty(queries.shape[:2]).float()
        for block, here, places in self._places:
            found[here], total[here] = block.look_from(layer, places, queries[here], scale)
        return found, total


def _members(block: Block, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Which of the rows (M,) are the block's, and their indices there."""
    return (rows[:, None] == block.rows).nonzero(as_tuple=True)
