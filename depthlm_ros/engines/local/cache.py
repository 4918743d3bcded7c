# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The keys and values that tokens behind a prompt attend to.

One copy of the prompt for all rows, each row's own words, and trees of tokens that grew since;
each is looked at apart and the parts are merged (attention.py). No mask as wide as the prompt is
made and nothing of it is copied. Tensors are packed: (tokens, heads, width).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from depthlm_ros.engines.local.plan import Plan
from depthlm_ros.models.attention import Part, attend, merged
from depthlm_ros.models.compat import KeysValues
from depthlm_ros.models.decoder import copied

ROOM = 32  # tokens: more than the rounds of one question want together
# (layer, offered (T, 2 * G, D)) -> (keys, values), each (G, tokens, D)
Extend = Callable[[int, torch.Tensor], KeysValues]


class Prompt:
    """A prompt that all rows share. kept: (keys, values) per layer, (1, heads, tokens, width)."""

    def __init__(self, kept: Sequence[KeysValues]):
        self.kept = kept

    @property
    def length(self) -> int:
        """Tokens of it."""
        return self.kept[0][0].shape[2] if self.kept else 0

    def look(self, layer: int, queries: torch.Tensor, scale: float) -> list[Part]:
        """[(found, log sums)] of queries (heads, rows, tokens, width), as many heads as keys have
        or a multiple."""
        heads, rows, tokens, width = shape = queries.shape
        side_by_side = queries.reshape(1, heads, rows * tokens, width)
        found, total = attend(side_by_side, *self.kept[layer], scale)
        return [(found.view(shape), total.view(heads, rows, tokens))]


class NoPrompt(Prompt):
    """In place of a Prompt where rows share nothing."""

    def __init__(self) -> None:
        super().__init__([])

    def look(self, layer: int, queries: torch.Tensor, scale: float) -> list[Part]:
        """No part."""
        return []


class Block:
    """Rows with own words of one length.

    rows: which they are.
    kept: (keys, values) for each layer, each (n, heads, length, width).
    """

    def __init__(self, rows: Sequence[int], length: int, kept: Sequence[KeysValues] = ()):
        self.rows, self.length, self.kept = rows, length, list(kept)

    def store(self, offered: torch.Tensor) -> None:
        """Keep a copy of the next layer's keys and values (words, 2 * G, D), row by row."""
        self.kept.append(copied(self._by_row(offered)))

    def look(self, layer: int, queries: torch.Tensor, scale: float) -> Part:
        """(found, log sums) of all words, causally, or of the last word of each row."""
        rows = self._by_row(queries)
        found, total = attend(rows, *self.kept[layer], scale, rows.shape[2] == self.length)
        return found.transpose(1, 2).flatten(0, 1), total.transpose(1, 2).flatten(0, 1)

    def look_from(self, layer: int, some: slice, queries: torch.Tensor, scale: float) -> Part:
        """(found, log sums) of queries (heads, rows, tokens, width) of some rows on all words."""
        keys, values = self.kept[layer]
        if some != slice(0, len(self.rows)):
            keys, values = keys[some], values[some]
        found, total = attend(queries.transpose(0, 1), keys, values, scale)
        return found.transpose(0, 1), total.transpose(0, 1)

    def rewound(self, words: int) -> Block:
        """The same rows without the last `words` words; their keys and values stay where they
        are."""
        length = self.length - words
        kept = [(keys[:, :, :length], values[:, :, :length]) for keys, values in self.kept]
        return Block(self.rows, length, kept)

    def _by_row(self, packed: torch.Tensor) -> torch.Tensor:
        return packed.unflatten(0, (len(self.rows), -1)).transpose(1, 2)


class Words:
    """The words of blocks, packed in their order: each sees the prompt and its row so far."""

    def __init__(self, prompt: Prompt, blocks: Sequence[Block]):
        self._prompt, self._blocks = prompt, blocks
        self._sizes = [len(block.rows) * block.length for block in blocks]

    def store(self, layer: int, offered: torch.Tensor) -> None:
        """Keep what the words offer to those behind them."""
        for block, own in zip(self._blocks, offered.split(self._sizes), strict=True):
            block.store(own)

    def look(self, layer: int, queries: torch.Tensor, scale: float) -> torch.Tensor:
        """What all words find, or the last word of each row where there are as few queries."""
        ends = [len(block.rows) for block in self._blocks]
        sizes = self._sizes if len(queries) == sum(self._sizes) else ends
        packed = zip(self._blocks, queries.split(sizes), strict=True)
        own = zip(*(block.look(layer, some, scale) for block, some in packed), strict=True)
        parts = self._prompt.look(layer, queries.transpose(0, 1)[:, None], scale)
        shared = [(f[:, 0].transpose(0, 1), t[:, 0].T) for f, t in parts]
        return merged([tuple(torch.cat(part) for part in own), *shared])


class Grown:
    """What tokens that grew offer, layer by layer, in float32, with some room for more of them."""

    def __init__(self, kept: Sequence[torch.Tensor] = ()) -> None:
        """kept: what grew before, for each layer (2 * G, tokens, D)."""
        self._kept = list(kept)

    def extend(self, layer: int, offered: torch.Tensor, before: int) -> KeysValues:
        """(keys, values), each (G, tokens, D), of the `before` tokens that grew and of those that
        offer (T, 2 * G, D) now."""
        count, heads, width = offered.shape
        after = before + count
        if layer == len(self._kept):
            self._kept.append(self._made(offered, heads, after, width))
        kept = self._kept[layer]
        if kept.shape[1] < after:
            kept = self._made(offered, heads, after, width)
            kept[:, :before] = self._kept[layer][:, :before]
            self._kept[layer] = kept
        kept.narrow(1, before, count).copy_(offered.transpose(0, 1))
        seen = kept.narrow(1, 0, after)
        return seen.narrow(0, 0, heads // 2), seen.narrow(0, heads // 2, heads // 2)

    def _made(self, like: torch.Tensor, heads: int, tokens: int, width: int) -> torch.Tensor:
        shape = heads, tokens + ROOM, width
        return torch.empty(shape, dtype=torch.float32, device=like.device)


class Branches:
    """Tokens that grow in trees: each sees the prompt, its row's words, and its ancestors.

    extend: keeps what the tokens offer in a layer (T, 2 * G, D), gives all that ever grew.
    plan: where the tokens and what they see lie; its spans are of these blocks.
    """

    def __init__(self, prompt: Prompt, blocks: Sequence[Block], extend: Extend, plan: Plan):
        self._prompt, self._extend, self._plan = prompt, extend, plan
        self._spans = [(blocks[number], rows) for number, rows in plan.spans.items()]
        self._seen: KeysValues  # of the newest layer

    def store(self, layer: int, offered: torch.Tensor) -> None:
        """Append to what grew before."""
        self._seen = self._extend(layer, offered)

    def look(self, layer: int, queries: torch.Tensor, scale: float) -> torch.Tensor:
        """What the tokens find: one softmax over the scores of ancestors and the log sums of
        weights that words and prompt have as a whole."""
        plan, (keys, values) = self._plan, self._seen
        groups = keys.shape[0]
        packed = plan.by_row(queries, groups)
        shape = packed.shape
        of_group = groups * shape[1], shape[2], shape[3]
        keys, values = plan.ancestors(keys), plan.ancestors(values)
        hidden = plan.hidden(groups, queries.shape[1] // groups)
        asked = packed.reshape(of_group)
        asked = asked if asked.dtype == keys.dtype else asked.to(keys.dtype)
        scores = torch.baddbmm(hidden, asked, keys.transpose(1, 2), alpha=scale)
        parts = [self._look_at_words(layer, packed, scale)]
        parts += self._prompt.look(layer, packed, scale)
        seen, totals = scores.shape[2], (total.unsqueeze(3) for _, total in parts)
        logs = torch.cat([scores.view(*shape[:3], seen), *totals], 3)
        weights = logs.softmax(3)
        own = weights.narrow(3, 0, seen).reshape(*of_group[:2], seen)
        found = torch.bmm(own, values).view(shape)
        for place, (part, _) in enumerate(parts, seen):
            found.addcmul_(weights.narrow(3, place, 1), part)
        found = plan.by_token(found)
        return found if found.dtype == queries.dtype else found.to(queries.dtype)

    def _look_at_words(self, layer: int, packed: torch.Tensor, scale: float) -> Part:
        """What slots find in the words of their rows, block by block."""
        if len(self._spans) == 1:
            block, rows = self._spans[0]
            return block.look_from(layer, rows, packed, scale)
        parts = packed.split([rows.stop - rows.start for _, rows in self._spans], 1)
        each = [
            block.look_from(layer, rows, part, scale)
            for (block, rows), part in zip(self._spans, parts, strict=True)
        ]
        found, totals = zip(*each, strict=True)
        return torch.cat(found, 1), torch.cat(totals, 1)
