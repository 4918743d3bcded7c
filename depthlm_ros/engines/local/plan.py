# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Where the tokens that grow together lie, and what each of them sees: worked out once a round.

In every layer tokens are put into a table of rows and slots, as many slots as the row with most of
them has, so that what a row sees is read once for all its tokens. The table is made on the host
and moved to the device in one go that nobody waits for; layers only read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

Where = Mapping[int, tuple[int, int]]  # row -> its block, and its index there


class Paths(NamedTuple):
    """The numbers of the tokens that each of M tokens sees, itself included.

    lengths: (M,), how many they are. numbers: of all M, one behind the other.
    """

    lengths: np.ndarray
    numbers: np.ndarray

    @classmethod
    def of_lists(cls, paths: Sequence[Sequence[int]]) -> Paths:
        """Of a list for each token."""
        numbers = np.concatenate([np.asarray(path, np.int64) for path in paths])
        return cls(np.array([len(path) for path in paths]), numbers)

    def sorted(self, order: np.ndarray) -> Paths:
        """Those of the tokens in another order (M,)."""
        lengths, starts = self.lengths[order], (np.cumsum(self.lengths) - self.lengths)[order]
        inside = np.arange(lengths.sum()) - (np.cumsum(lengths) - lengths).repeat(lengths)
        return Paths(lengths, self.numbers[starts.repeat(lengths) + inside])


class Table(NamedTuple):
    """A round in numbers, its M tokens sorted by block and row; R rows of S slots, and at most C
    tokens that ever grew in a row.

    order: (M,), which of the tokens as they were given comes at each place.
    spans: block -> those of its rows that stand in the table.
    tokens: (R * S,), which token is in each slot, 0 in those that stay empty.
    slots: (M,), the slot of each token.
    seen: (R, C), which of all that ever grew a row sees, 0 where there are fewer; all where there
        is one row.
    dark: (R, S, C), 1 for what a slot does not see, 0 for what it does.
    """

    order: np.ndarray
    spans: dict[int, slice]
    tokens: np.ndarray
    slots: np.ndarray
    seen: np.ndarray
    dark: np.ndarray


def table(where: Where, rows: Sequence[int], paths: Paths, places: list[int]) -> Table:
    """The Table of tokens of rows (M,), of which each sees those in its path. places: where each
    number lies among all that ever grew; those of this round are appended."""
    found = np.array([where[row] for row in rows])
    order = np.lexsort(found.T[::-1])
    places += (len(places) + order.argsort()).tolist()
    block, index = found[order].T
    spans, row = _spans(block, index)
    slot = slots_of(row)
    count, width = int(row[-1]) + 1, int(slot.max()) + 1
    tokens = np.zeros(count * width, np.int64)
    tokens[row * width + slot] = np.arange(len(row))
    paths = paths.sorted(order)
    each = np.arange(len(row)).repeat(paths.lengths)
    path = np.array(places)[paths.numbers]
    met, which = np.unique(row[each] * len(places) + path, return_inverse=True)
    of, place = np.divmod(met, len(places))
    column = slots_of(of)
    if count == 1:  # sees all or not: nothing has to be picked out
        seen, column = np.arange(len(places))[None], place
    else:
        seen = np.zeros((count, int(column.max()) + 1), np.int64)
        seen[of, column] = place
    dark = np.ones((count, width, seen.shape[1]), np.uint8)
    dark[row[each], slot[each], column[which]] = 0
    return Table(order, spans, tokens, row * width + slot, seen, dark)


def slots_of(rows: np.ndarray) -> np.ndarray:
    """How many of the same row come before each token, of rows (M,), ascending."""
    return np.arange(len(rows)) - np.searchsorted(rows, rows)


def _spans(block: np.ndarray, index: np.ndarray) -> tuple[dict[int, slice], np.ndarray]:
    """(block -> the rows of it from the first to the last that are there, the row of the table
    that each token is in) of tokens sorted by block and index there."""
    blocks, first, counts = np.unique(block, return_index=True, return_counts=True)
    low, high = index[first], index[first + counts - 1] + 1
    starts = np.concatenate([[0], np.cumsum(high - low)[:-1]])
    spans = {int(b): slice(int(lo), int(hi)) for b, lo, hi in zip(blocks, low, high, strict=True)}
    return spans, index + (starts - low).repeat(counts)


class Plan:
    """A Table on a device.

    order: as in Table, on the host. back: its inverse on the device. Both None where tokens are
        in their order already.
    spans: as in Table.
    """

    order: np.ndarray | None = None
    back: torch.Tensor | None = None
    _tokens: torch.Tensor | None = None
    _slots: torch.Tensor | None = None
    _seen: torch.Tensor | None = None

    def __init__(self, dark: torch.Tensor, spans: dict[int, slice]):
        """Of tokens that fill all slots, in their order, where what a row sees lies together, row
        by row. dark (R, S, C) bool, on the device."""
        self._shape = dark.shape[0], dark.shape[1]
        self.spans = spans
        zeros = torch.zeros(dark.shape, device=dark.device)
        self._hidden = zeros.masked_fill(dark, -torch.inf)
        self._wide: dict[tuple[int, int], torch.Tensor] = {}

    @classmethod
    def of(cls, made: Table, device: torch.device) -> Plan:
        """Of a Table."""
        dark = torch.from_numpy(made.dark).to(device, non_blocking=True).bool()
        plan = cls(dark, made.spans)
        in_order = bool((np.diff(made.order) > 0).all())
        full = len(made.tokens) == len(made.slots)
        alone = len(made.dark) == 1
        moves = [
            np.empty(0, np.int64) if skipped else move.ravel()
            for skipped, move in (
                (in_order, made.order.argsort()),
                (full, made.tokens),
                (full, made.slots),
                (alone, made.seen),
            )
        ]
        there = torch.from_numpy(np.concatenate(moves)).to(device, non_blocking=True)
        back, tokens, slots, seen = there.split([len(move) for move in moves])
        plan.order = None if in_order else made.order
        plan.back = None if in_order else back
        plan._tokens = None if full else tokens
        plan._slots = None if full else slots
        plan._seen = None if alone else seen.view(made.seen.shape)
        return plan

    def by_row(self, packed: torch.Tensor, groups: int) -> torch.Tensor:
        """(groups, R, heads of a group * S, width) of (M, heads, width)."""
        (count, width), (_, heads, head) = self._shape, packed.shape
        slots = packed if self._tokens is None else packed[self._tokens]
        apart = slots.view(count, width, groups, heads // groups, head)
        return apart.permute(2, 0, 3, 1, 4).reshape(groups, count, -1, head)

    def by_token(self, table: torch.Tensor) -> torch.Tensor:
        """The inverse of by_row: (M, heads, width)."""
        (count, width), (groups, _, _, head) = self._shape, table.shape
        apart = table.view(groups, count, -1, width, head)
        slots = apart.permute(1, 3, 0, 2, 4).reshape(count * width, -1, head)
        return slots if self._slots is None else slots[self._slots]

    def ancestors(self, grown: torch.Tensor) -> torch.Tensor:
        """(groups * R, C, width) of all that ever grew (groups, tokens, width)."""
        if self._seen is not None:
            grown = grown[:, self._seen]
        return grown.view(len(grown) * self._shape[0], -1, grown.shape[-1])

    def hidden(self, groups: int, heads: int) -> torch.Tensor:
        """(groups * R, heads * S, C): minus infinity for what a slot does not see, else 0; heads:
        of a group."""
        if (groups, heads) not in self._wide:
            count, width = self._shape
            wide = self._hidden[None, :, None].expand(groups, count, heads, width, -1)
            self._wide[groups, heads] = wide.reshape(groups * count, heads * width, -1)
        return self._wide[groups, heads]
