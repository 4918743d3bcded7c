# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The numbers that rows of a model are about to say: digit trees fed through the model.

All trees of a step grow together: the nodes of a round become tokens behind their rows, each of
which sees the row, its ancestors and itself. Knows nothing about pictures or questions.
"""

from dataclasses import dataclass
from itertools import islice

import torch

from depthlm_ros.engines.digits import DigitTree
from depthlm_ros.engines.free import most_probable


@dataclass
class Begun:
    """Rows at the place where their number begins.

    rows: Rows. states (N, 1 + k, width): before each of the last k tokens that were given, and
    after them. ends (N,): where the next token stands.
    """

    rows: object
    states: torch.Tensor
    ends: torch.Tensor

    @property
    def hidden(self):
        """(N, width): the last states."""
        return self.states[:, -1]

    def rewound(self) -> "Begun":
        """Before the k tokens."""
        words = self.states.shape[1] - 1
        return Begun(self.rows.rewound(words), self.states[:, :1], self.ends - words)


class NumberReader:
    """Reads numbers by a Grammar from a Loaded model."""

    def __init__(self, loaded, grammar):
        self._loaded = loaded
        self._grammar = grammar
        self._ids = torch.tensor(loaded.symbol_ids, device=loaded.device)

    @torch.inference_mode()
    def read(self, begun) -> list:
        """(DigitTree, first token id) of each row; the id is the most probable token of all."""
        probabilities, best, top = self.probabilities(begun.hidden)
        starts = zip(probabilities, best, strict=True)
        trees = [DigitTree(self._grammar, p, b) for p, b in starts]
        while any(tree.wanted for tree in trees):
            self._round(begun, trees)
        return list(zip(trees, top.tolist(), strict=True))

    def probabilities(self, hidden):
        """For states (M, width): (M, 11) probabilities of the symbols over the full vocabulary,
        (M,) index of the most probable symbol or -1 if another token is, (M,) that token."""
        found, top = [], []
        for logits, best in most_probable(self._loaded, hidden):
            found.append((logits[:, self._ids] - logits.logsumexp(1, keepdim=True)).exp())
            top.append(best)
        top = torch.cat(top)
        match = top[:, None] == self._ids
        best = torch.where(match.any(1), match.int().argmax(1), -1)
        return torch.cat(found).double().tolist(), best.tolist(), top

    def _round(self, begun, trees) -> None:
        """Feed what the trees want, tell them what the model said."""
        pairs = [(row, node) for row, tree in enumerate(trees) for node in tree.wanted]
        for column, (_, node) in enumerate(pairs, begun.rows.grown):
            node.column = column
        probabilities, best, _ = self.probabilities(self._hidden(begun, *zip(*pairs, strict=True)))
        said = iter(zip(probabilities, best, strict=True))
        for tree in trees:
            if tree.wanted:
                tree.feed(*zip(*islice(said, len(tree.wanted)), strict=True))

    def _hidden(self, begun, rows, nodes):
        """The states (M, width) after the nodes; a node stands as far behind as it is deep."""
        paths = [node.path() for node in nodes]
        depths = torch.tensor([len(path) - 1.0 for path in paths])
        symbols = torch.tensor([node.symbol for node in nodes], device=self._ids.device)
        positions = (begun.ends[list(rows)] + depths).expand(3, -1)
        return begun.rows.grow(rows, paths, self._ids[symbols], positions)
