# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The numbers that rows of a model are about to say: digit trees fed through the model.

All trees of a step grow together: the nodes of a round are appended to their rows, each sees the
prompt, its ancestors and itself. Knows nothing about pictures or questions.
"""

from dataclasses import dataclass

import torch

from depthlm_ros.engines.digits import DigitTree

CHUNK = 256  # hidden states per pass through the head: a vocabulary is wide


@dataclass
class Begun:
    """Rows at the place where their number begins.

    rows: Rows. hidden (N, width): the last state. ends (N,): where the next token stands.
    seen (N, appended) bool: which of the appended tokens are the row's own words.
    """

    rows: object
    hidden: torch.Tensor
    ends: torch.Tensor
    seen: torch.Tensor


class NumberReader:
    """Reads numbers by a Grammar from a Loaded model."""

    def __init__(self, loaded, grammar):
        self._head = loaded.head
        self._grammar = grammar
        self._ids = torch.tensor(loaded.symbol_ids, device=loaded.device)

    @torch.inference_mode()
    def read(self, begun) -> list:
        """(DigitTree, first token id) of each row; the id is the most probable token of all."""
        probabilities, best, top = self.probabilities(begun.hidden)
        starts = zip(probabilities, best, strict=True)
        trees = [DigitTree(self._grammar, p, b) for p, b in starts]
        growing = _Growing(begun, trees)
        while growing.trees:
            self._round(growing)
        return list(zip(trees, top.tolist(), strict=True))

    def probabilities(self, hidden):
        """For states (M, width): (M, 11) probabilities of the symbols over the full vocabulary,
        (M,) index of the most probable symbol or -1 if another token is, (M,) that token."""
        found, top = [], []
        for part in hidden.split(CHUNK):
            logits = self._head(part).float()
            found.append((logits[:, self._ids] - logits.logsumexp(1, keepdim=True)).exp())
            top.append(logits.argmax(1))
        top = torch.cat(top)
        match = top[:, None] == self._ids
        best = torch.where(match.any(1), match.int().argmax(1), -1)
        return torch.cat(found).double().tolist(), best.tolist(), top

    def _round(self, growing):
        """Feed what the trees want and tell them what the model said."""
        rows, slots, hidden = growing.append(self._ids)
        probabilities, best, _ = self.probabilities(hidden[rows, slots])
        start = 0
        for tree in growing.trees:
            stop = start + len(tree.wanted)
            tree.feed(probabilities[start:stop], best[start:stop])
            start = stop
        growing.drop_finished()


class _Growing:
    """The rows whose trees still want something."""

    def __init__(self, begun, trees):
        self.trees = trees
        self._rows, self._ends, self._seen = begun.rows, begun.ends, begun.seen
        self.drop_finished()

    def append(self, symbol_ids):
        """Feed every wanted node; its row, its slot, and the hidden states (N, W, width)."""
        places = [(r, s, n) for r, t in enumerate(self.trees) for s, n in enumerate(t.wanted)]
        before = self._seen.shape[1]
        for _, slot, node in places:
            node.column = before + slot
        rows, slots, nodes = zip(*places, strict=True)
        shape = (len(self.trees), max(slots) + 1)
        symbols, depths = torch.zeros(shape, dtype=torch.long), torch.zeros(shape)
        symbols[rows, slots] = torch.tensor([node.symbol for node in nodes])
        depths[rows, slots] = torch.tensor([len(node.text) - 1.0 for node in nodes])
        positions = (self._ends[:, None] + depths).expand(3, -1, -1)
        ids = symbol_ids[symbols.to(symbol_ids.device)]
        hidden = self._rows.append(ids, positions.to(ids.device), self._visible(places, shape))
        return torch.tensor(rows), torch.tensor(slots), hidden

    def _visible(self, places, shape):
        """(N, W, appended + W) bool; the columns of this round are nobody's later unless seen."""
        seen = torch.nn.functional.pad(self._seen, (0, shape[1]))
        visible = seen[:, None].repeat(1, shape[1], 1)
        ancestry = [(r, s, column) for r, s, node in places for column in node.path()]
        visible[tuple(torch.tensor(ancestry).T)] = True
        self._seen = seen
        return visible

    def drop_finished(self):
        """Go on without the rows whose trees are done."""
        active = [r for r, tree in enumerate(self.trees) if tree.wanted]
        if active and len(active) < len(self.trees):
            self._rows.keep(active)
            self._ends, self._seen = self._ends[active], self._seen[active]
        self.trees = [self.trees[r] for r in active]
