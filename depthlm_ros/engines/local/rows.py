# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rows of tokens that grow behind a prompt which is computed once.

The prompt's keys and values are plain tensors per layer that nothing ever appends to: one copy
for all rows (a shared image) or one per row. Words are packed behind each other without
padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from depthlm_ros.engines.local.cache import Block, Branches, Grown, NoPrompt, Prompt, Words
from depthlm_ros.engines.local.graphs import Graphs, NotRecorded, Place
from depthlm_ros.engines.local.plan import Paths, Plan, table
from depthlm_ros.models.compat import KeysValues
from depthlm_ros.models.decoder import run
from depthlm_ros.models.loading import Loaded

PACKED_CPU = 1024  # words in one pass: what stays in a processor's cache
PACKED = 32768


class Rows:
    """Rows behind one prompt.

    prompt: (keys, values) for each layer, each (1, heads, tokens, width); None where rows share
        nothing.
    graphs: by which they grow where they can.
    """

    def __init__(
        self,
        loaded: Loaded,
        prompt: Sequence[KeysValues] | None,
        graphs: Graphs | None = None,
    ):
        self._loaded = loaded
        self._prompt = NoPrompt() if prompt is None else Prompt(prompt)
        self._blocks: list[Block] = []
        self._where: dict[int, tuple[int, int]] = {}  # row -> its block, and its index there
        self._grown = Grown()
        self._places: list[int] = []  # of the tokens that grew, by number
        self._graphs = graphs
        self._place: Place | None = None  # where they grow by graphs
        self._before: Rows | None = None  # whose words these are

    @property
    def grown(self) -> int:
        """How many tokens grew so far, which numbers the next ones."""
        return len(self._places)

    @classmethod
    def of_prompts(
        cls, loaded: Loaded, prompts: Sequence[KeysValues], graphs: Graphs | None = None
    ) -> Rows:
        """Rows with a prompt each: (keys, values) per layer, each (N, heads, tokens, width)."""
        rows = cls(loaded, None, graphs)
        count, _, length, _ = prompts[0][0].shape
        block = Block(range(count), length, prompts)
        rows._add(block)
        if graphs is not None:
            rows._place = graphs.place(rows, rows._prompt, count, length, prompts)
        if rows._place is not None:
            rows._place.fill(block)
        return rows

    def begin(
        self, ids: torch.Tensor, positions: torch.Tensor, lengths: torch.Tensor, last: int = 1
    ) -> torch.Tensor:
        """Hidden states (N, last, width) of each row's last words.

        ids (N, L) and positions (3, N, L) float of the words, of which row i has lengths[i].
        """
        if self._graphs is not None and int(lengths.min()) == ids.shape[1]:
            try:
                return self._repeated(self._graphs, ids, positions, last)
            except NotRecorded:
                self._place = None
        order = lengths.argsort(stable=True)
        packed = PACKED_CPU if self._loaded.device.type == "cpu" else PACKED
        parts = order.split(max(1, packed // int(lengths.max())))
        found = [self._begin(rows, ids, positions, lengths[rows], last) for rows in parts]
        back = order.argsort().to(self._loaded.device, non_blocking=True)
        return torch.cat(found)[back]

    def rewound(self, words: int) -> Rows:
        """The same rows without their last `words` words and all that grew; nothing is copied."""
        rows = Rows(self._loaded, None)
        rows._prompt, rows._before = self._prompt, self
        for block in self._blocks:
            rows._add(block.rewound(words))
        return rows

    def grow(
        self,
        rows: Sequence[int],
        paths: Paths,
        ids: torch.Tensor,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """Hidden states (M, width) of M more tokens, each the tip of a branch of its own.

        rows: the row of each, ascending; paths: the tokens it sees of those that ever grew, itself
        included; ids (M,); positions (3, M) float, both on the host.
        """
        if self._place is not None:
            numbers = np.array([self._where[row][1] for row in rows])
            try:
                return self._place.grow(numbers, paths, ids, positions, self._places)
            except NotRecorded:
                self._grown, self._place = self._place.moved(self._places), None
                self._places = list(range(self.grown))
        device, extend = self._loaded.device, partial(self._grown.extend, before=self.grown)
        plan = Plan.of(table(self._where, rows, paths, self._places), device)
        if plan.order is not None:
            ids, positions = ids[plan.order], positions[:, plan.order]
        branches = Branches(self._prompt, self._blocks, extend, plan)
        states = run(
            self._loaded,
            ids.to(device, non_blocking=True),
            positions.to(device, non_blocking=True),
            branches,
        )
        return states if plan.back is None else states[plan.back]

    def _add(self, block: Block) -> None:
        number = len(self._blocks)
        self._where.update({row: (number, i) for i, row in enumerate(block.rows)})
        self._blocks.append(block)

    def _repeated(
        self, graphs: Graphs, ids: torch.Tensor, positions: torch.Tensor, last: int
    ) -> torch.Tensor:
        """States (N, last, width) of rows of one length, which have a place from then on. Raises
        NotRecorded."""
        count, length = ids.shape
        kept = self._prompt.kept
        self._place = graphs.place(self, self._prompt, count, length, kept) if kept else None
        if self._place is None:
            raise NotRecorded
        states = self._place.begin(ids, positions, last)
        self._add(self._place.words(count))
        return states

    def _begin(
        self,
        rows: torch.Tensor,
        ids: torch.Tensor,
        positions: torch.Tensor,
        lengths: torch.Tensor,
        last: int,
    ) -> torch.Tensor:
        """Rows in the order of their lengths, in one pass."""
        device = self._loaded.device
        own = torch.arange(ids.shape[1]) < lengths[:, None]
        sizes, counts = np.unique(lengths.numpy(), return_counts=True)
        equal = rows.split(counts.tolist())
        blocks = [
            Block(some.tolist(), length)
            for some, length in zip(equal, sizes.tolist(), strict=True)
        ]
        for block in blocks:
            self._add(block)
        packed = ids[rows][own], positions[:, rows][:, own]
        last_words = lengths.cumsum(0)[:, None] + torch.arange(-last, 0)
        given = (t.to(device, non_blocking=True) for t in (*packed, last_words))
        words_ids, places, ends = given
        words = Words(self._prompt, blocks)
        if last == 1:
            return run(self._loaded, words_ids, places, words, ends[:, 0])[:, None]
        return run(self._loaded, words_ids, places, words)[ends]
