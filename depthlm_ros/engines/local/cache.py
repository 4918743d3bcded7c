# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What tokens behind a prompt attend to, and where their keys and values are kept.

One copy of the prompt for all rows, each row's own words, and trees of tokens that grew since;
each is looked at apart and the parts are merged (attention.py). No mask as wide as the prompt is
made and nothing of it is copied. Tensors are packed: (tokens, heads, width). Knows nothing about
models, questions or numbers.
"""

import torch

from depthlm_ros.models.attention import attend, attend_listed, merged


class Prompt:
    """A prompt that all rows share. kept: (keys, values) per layer, (1, heads, tokens, width)."""

    def __init__(self, kept):
        self._kept = kept

    def look(self, layer, queries, scale):
        """[(found (M, H, D), log sums (M, H))] of queries (M, H, D)."""
        found, total = attend(queries.transpose(0, 1)[None], *self._kept[layer], scale)
        return [(found[0].transpose(0, 1), total[0].T)]


class NoPrompt:
    """In place of a Prompt where rows share nothing."""

    def look(self, layer, queries, scale):
        """No part."""
        return []


class Block:
    """Rows with own words of one length. rows (n,): which they are; kept: (keys, values) per
    layer, each (n, heads, length, width)."""

    def __init__(self, rows, length, kept=()):
        self.rows, self.length, self._kept = rows, length, list(kept)

    def store(self, *packed):
        """Keep the next layer's keys and values of all words, row by row."""
        self._kept.append(tuple(self._by_row(t) for t in packed))

    def look(self, layer, queries, scale):
        """(found, log sums) of all words, causally, or of the last word of each row."""
        rows = self._by_row(queries)
        found, total = attend(rows, *self._kept[layer], scale, rows.shape[2] == self.length)
        return found.transpose(1, 2).flatten(0, 1), total.transpose(1, 2).flatten(0, 1)

    def look_from(self, layer, places, queries, scale):
        """(found, log sums) of queries at places (index of the row here, slot) on all words."""
        of, slots = places
        some = slice(int(of.min()), int(of.max()) + 1)
        of = of - some.start
        padded = queries.new_zeros((int(of.max()) + 1, int(slots.max()) + 1, *queries.shape[1:]))
        padded[of, slots] = queries
        keys, values = (kept[some] for kept in self._kept[layer])
        found, total = attend(padded.transpose(1, 2), keys, values, scale)
        return found[of, :, slots], total[of, :, slots]

    def rewound(self, words) -> "Block":
        """The same rows without the last `words` words; their keys and values stay where they
        are."""
        length = self.length - words
        kept = [(keys[:, :, :length], values[:, :, :length]) for keys, values in self._kept]
        return Block(self.rows, length, kept)

    def _by_row(self, packed):
        return packed.unflatten(0, (len(self.rows), -1)).transpose(1, 2)


class Words:
    """The words of blocks, packed in their order: each sees the prompt and its row so far."""

    def __init__(self, prompt, blocks):
        self._prompt, self._blocks = prompt, blocks
        self._sizes = [len(block.rows) * block.length for block in blocks]

    def store(self, layer, keys, values):
        """Keep what the words offer to those behind them."""
        packed = zip(keys.split(self._sizes), values.split(self._sizes), strict=True)
        for block, own in zip(self._blocks, packed, strict=True):
            block.store(*own)

    def look(self, layer, queries, scale):
        """What all words find, or the last word of each row where there are as few queries."""
        ends = [len(block.rows) for block in self._blocks]
        sizes = self._sizes if len(queries) == sum(self._sizes) else ends
        packed = zip(self._blocks, queries.split(sizes), strict=True)
        own = zip(*(block.look(layer, some, scale) for block, some in packed), strict=True)
        parts = self._prompt.look(layer, queries, scale)
        return merged([tuple(torch.cat(part) for part in own), *parts])


class Branches:
    """Tokens that grow in trees: each sees the prompt, its row's words, and its ancestors.

    grown: (keys, values) per layer of all that grew before, extended here. rows (M,) ascending;
    columns (M, C): the numbers of the ancestors and of itself, -1 for none.
    """

    def __init__(self, prompt, blocks, grown, rows, columns):
        self._prompt, self._grown, self._columns = prompt, grown, columns
        slots = torch.arange(len(rows)) - torch.searchsorted(rows, rows)
        found = [(block, *_members(block, rows)) for block in blocks]
        self._places = [(b, here, (of, slots[here])) for b, here, of in found if len(here)]

    def store(self, layer, keys, values):
        """Append to what grew before."""
        new = (keys, values)
        if layer in self._grown:
            new = tuple(torch.cat(both) for both in zip(self._grown[layer], new, strict=True))
        self._grown[layer] = new

    def look(self, layer, queries, scale):
        """What the tokens find."""
        ancestors = attend_listed(queries, *self._grown[layer], self._columns, scale)
        parts = self._prompt.look(layer, queries, scale)
        return merged([ancestors, self._look_words(layer, queries, scale), *parts])

    def _look_words(self, layer, queries, scale):
        found, total = torch.empty_like(queries), queries.new_empty(queries.shape[:2]).float()
        for block, here, places in self._places:
            found[here], total[here] = block.look_from(layer, places, queries[here], scale)
        return found, total


def _members(block, rows):
    """Which of the rows (M,) are the block's, and their indices there."""
    return (rows[:, None] == block.rows).nonzero(as_tuple=True)
