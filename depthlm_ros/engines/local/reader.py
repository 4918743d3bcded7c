# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The numbers that rows of a model are about to say, and the proof that it would have said them.

Reading: all digit trees of a step grow together; the nodes of a round become tokens behind their
rows, each of which sees the row, its ancestors and itself.

Checking: the given opening, the greedy digits and the closing words are one string. If after each
of its tokens the next one is the most probable of all, and the end after the last, then greedy
decoding says exactly this. One pass over the closing words shows it, since the rest was computed
when the number was read. Rows that would have said something else say it. A sample is proved in
one pass too, given its whole answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from depthlm_ros.answer import AnswerForm
from depthlm_ros.engines.digits import DigitTrees, Grammar
from depthlm_ros.engines.local.free_decoding import Speaker, best_tokens, most_probable
from depthlm_ros.engines.local.plan import Paths
from depthlm_ros.engines.local.rows import Rows
from depthlm_ros.models.loading import Loaded
from depthlm_ros.models.prompts import Prompts

TOGETHER_CPU = 32  # rows in one pass of a check: what stays in a processor's cache
TOGETHER = 256


@dataclass
class Begun:
    """Rows at the place where their number begins.

    states: (N, 1 + k, width), before each of the last k tokens that were given, and after them.
    ends: (N,), where the next token stands.
    """

    rows: Rows
    states: torch.Tensor
    ends: torch.Tensor

    @property
    def hidden(self) -> torch.Tensor:
        """(N, width): the last states."""
        return self.states[:, -1]

    def of(self, rows: Sequence[int]) -> torch.Tensor:
        """The states of some rows, in ascending order."""
        if len(rows) == len(self.states):
            return self.states
        return self.states[torch.tensor(rows).to(self.states.device, non_blocking=True)]

    def rewound(self) -> Begun:
        """Before the k tokens."""
        words = self.states.shape[1] - 1
        return Begun(self.rows.rewound(words), self.states[:, :1], self.ends - words)


class NumberReader:
    """Reads numbers by a Grammar from a Loaded model."""

    def __init__(self, loaded: Loaded, grammar: Grammar):
        self._loaded = loaded
        self._grammar = grammar
        self._there = torch.tensor(loaded.symbol_ids, device=loaded.device)
        self._ids = torch.tensor(loaded.symbol_ids)
        self._index = np.full(loaded.config.get_text_config().vocab_size, -1)
        self._index[loaded.symbol_ids] = np.arange(len(loaded.symbol_ids))

    @torch.inference_mode()
    def read(self, begun: Begun) -> tuple[DigitTrees, list[int]]:
        """(the DigitTrees of all rows, first token id of each); the id is the most probable token
        of all."""
        probabilities, best, top = self.probabilities(begun.hidden)
        trees = DigitTrees(self._grammar, probabilities, best, begun.rows.grown)
        while len(trees.wanted):
            trees.feed(*self.probabilities(self._hidden(begun, trees))[:2])
        return trees, top

    def probabilities(self, hidden: torch.Tensor) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """For states (M, width): (M, 11) probabilities of the symbols over the full vocabulary,
        (M,) index of the most probable symbol or -1 if another token is, (M,) that token.

        All of it is read back from the device at once; float32 holds every token's number.
        """
        found = []
        for logits, tokens in most_probable(self._loaded, hidden):
            symbols = (logits[:, self._there] - logits.logsumexp(1, keepdim=True)).exp()
            found.append(torch.cat([symbols, tokens[:, None].float()], 1))
        rows = torch.cat(found).numpy(force=True)
        top = rows[:, -1].astype(np.int64)
        return rows[:, :-1], self._index[top], top.tolist()

    def _hidden(self, begun: Begun, trees: DigitTrees) -> torch.Tensor:
        """The states (M, width) after what the trees want; a token stands as far behind as it is
        deep."""
        wanted = trees.wanted
        depths = torch.from_numpy(wanted.depth)
        ids = self._ids[torch.from_numpy(wanted.symbols)]
        positions = (begun.ends[torch.from_numpy(wanted.rows)] + depths).expand(3, -1)
        paths = Paths(wanted.depth + 1, wanted.path[wanted.path >= 0])
        return begun.rows.grow(wanted.rows.tolist(), paths, ids, positions)


class Checker:
    """Checks answers of a model; a Speaker says what others there would have been."""

    def __init__(self, loaded: Loaded, prompts: Prompts, speaker: Speaker):
        self._loaded = loaded
        self._prompts = prompts
        self._speaker = speaker

    @torch.inference_mode()
    def said(self, begun: Begun, trees: DigitTrees, form: AnswerForm) -> list[tuple[str, bool]]:
        """(text, whether it had to be decoded freely) of the whole answers of all rows.

        begun: with the states before each token of the opening; trees: its numbers.
        """
        agreed = self.agreed(begun, trees, form)
        wrong = [row for row, fine in enumerate(agreed) if not fine]
        free = dict(zip(wrong, self._speaker.say(begun.rewound(), wrong), strict=True))
        return [
            (free[row], True) if row in free else (self._prompts.worded(form, number), False)
            for row, number in enumerate(trees.greedy)
        ]

    def agreed(self, begun: Begun, trees: DigitTrees, form: AnswerForm) -> list[bool]:
        """Whether each row says freely the opening, its number and the closing, and ends."""
        opening = self._loaded.chat.encode(form.opening)
        tails = [self._tail(number, form) for number in trees.greedy]
        rows = range(len(tails))
        together = TOGETHER_CPU if self._loaded.device.type == "cpu" else TOGETHER
        best = []
        if opening:
            best.append(self._best(begun.states[:, :-1].flatten(0, 1)))
        for start in range(0, len(rows), together):
            some = slice(start, start + together)
            best += self._best_after(begun, trees, rows[some], tails[some])
        said = iter(torch.cat(best).tolist() if best else [])  # all that is read back
        opened = [list(islice(said, len(opening))) == opening for _ in rows]
        closed = [(tail, list(islice(said, len(tail)))) for tail in tails]
        ends = self._speaker.ends
        return [
            fine and bool(told) and told[:-1] == tail[1:] and told[-1] in ends
            for fine, (tail, told) in zip(opened, closed, strict=True)
        ]

    @torch.inference_mode()
    def holds(
        self,
        rows: Rows,
        ids: torch.Tensor,
        positions: torch.Tensor,
        lengths: torch.Tensor,
        form: AnswerForm,
        behind: Sequence[list[int]],
    ) -> list[bool]:
        """Whether each of new rows, which end with the opening and with what is `behind` it, says
        both by itself, and ends.

        ids (N, L), positions (3, N, L), lengths (N,): as Rows.begin takes them.
        """
        opening = self._loaded.chat.encode(form.opening)
        answers = [opening + rest for rest in behind]
        last = 1 + max(map(len, answers))
        states = rows.begin(ids, positions, lengths, last)
        said = best_tokens(self._loaded, states.flatten(0, 1))
        ends = range(last, len(said) + 1, last)
        return [
            len(answer) < self._speaker.longest
            and said[end - len(answer) - 1 : end - 1] == answer
            and said[end - 1] in self._speaker.ends
            for answer, end in zip(answers, ends, strict=True)
        ]

    def _tail(self, number: str, form: AnswerForm) -> list[int]:
        """The number's last token and the closing words; none where there is no number, or where
        free decoding would be cut off before the end."""
        if not number:
            return []
        behind = self._prompts.behind_opening(form, number)
        length = len(self._loaded.chat.encode(form.opening)) + len(behind)
        return behind[len(number) - 1 :] if length < self._speaker.longest else []

    def _best_after(
        self,
        begun: Begun,
        trees: DigitTrees,
        rows: Sequence[int],
        tails: Sequence[list[int]],
    ) -> list[torch.Tensor]:
        """[the most probable token after each token of the rows' tails, row by row]; empty where
        there are none."""
        of: list[int] = []
        paths: list[list[int]] = []
        places: list[float] = []
        for row, tail in zip(rows, tails, strict=True):
            path = trees.path(row)
            place = float(begun.ends[row]) + len(trees.greedy[row]) - 1
            for step in range(len(tail)):
                path = [*path, begun.rows.grown + len(paths)]
                of.append(row)
                paths.append(path)
                places.append(place + step)
        if not of:
            return []
        ids = torch.tensor([token for tail in tails for token in tail])
        positions = torch.tensor(places).expand(3, -1)
        return [self._best(begun.rows.grow(of, Paths.of_lists(paths), ids, positions))]

    def _best(self, hidden: torch.Tensor) -> torch.Tensor:
        """The most probable token after each of the states (M, width), on the device."""
        return torch.cat([best for _, best in most_probable(self._loaded, hidden)])
