# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Proof that rows of a model would have said freely what was forced on them, or what they say.

The given opening, the greedy digits and the closing words are one string: if after each of its
tokens the next one is the most probable of all, and the end after the last, then greedy decoding
says exactly this. One pass over the closing words shows it, since the rest was computed when the
number was read. Knows nothing about distributions or pictures.
"""

from itertools import islice

import torch

from depthlm_ros.engines.digits import SYMBOLS
from depthlm_ros.engines.free import best_tokens

TOGETHER = 32  # rows in one pass: each token lists the keys that it sees


class Checker:
    """Checks answers of a Loaded model; a Speaker says what others there would have been."""

    def __init__(self, loaded, speaker):
        self._loaded = loaded
        self._speaker = speaker

    @torch.inference_mode()
    def said(self, begun, trees, form) -> list:
        """(text, whether it had to be decoded freely) of each row's whole answer.

        begun: Begun with the states before each token of the opening; trees: its DigitTrees.
        """
        agreed = self.agreed(begun, trees, form)
        wrong = [row for row, fine in enumerate(agreed) if not fine]
        free = dict(zip(wrong, self._speaker.say(begun.rewound(), wrong), strict=True))
        return [
            (free[row], True) if row in free else (self._worded(form, tree.greedy), False)
            for row, tree in enumerate(trees)
        ]

    def agreed(self, begun, trees, form) -> list:
        """Whether each row says freely the opening, its number and the closing, and ends."""
        opened = self._opened(begun, form)
        closed = []
        for start in range(0, len(trees), TOGETHER):
            rows = range(start, min(start + TOGETHER, len(trees)))
            closed += self._closed(begun, trees, rows, form)
        return [a and b for a, b in zip(opened, closed, strict=True)]

    def _worded(self, form, number) -> str:
        """The answer as the tokenizer gives it back."""
        chat, symbols = self._loaded.chat, self._loaded.symbol_ids
        digits = [symbols[SYMBOLS.index(character)] for character in number]
        ids = chat.encode(form.opening) + digits + chat.encode(form.closing(number))
        return self._loaded.tokenizer.decode(ids, skip_special_tokens=True)

    def _opened(self, begun, form) -> list:
        """Whether every token of the opening is what the model says there."""
        opening = self._loaded.chat.encode(form.opening)
        if not opening:
            return [True] * len(begun.states)
        said = iter(best_tokens(self._loaded, begun.states[:, :-1].flatten(0, 1)))
        return [list(islice(said, len(opening))) == opening for _ in begun.states]

    def _closed(self, begun, trees, rows, form) -> list:
        """Whether each of the rows closes its number as the form does, and ends."""
        tails = {row: self._tail(trees[row], form) for row in rows}
        said = iter(self._said_after(begun, trees, tails))
        told = [(tail, list(islice(said, len(tail)))) for tail in tails.values()]
        ends = self._speaker.ends
        return [bool(s) and s[:-1] == tail[1:] and s[-1] in ends for tail, s in told]

    def _tail(self, tree, form) -> list:
        """The number's last token and the closing words; none where there is no number, or where
        free decoding would be cut off before the end."""
        if not tree.greedy:
            return []
        chat = self._loaded.chat
        last = self._loaded.symbol_ids[SYMBOLS.index(tree.greedy[-1])]
        closing = chat.encode(form.closing(tree.greedy))
        length = len(chat.encode(form.opening)) + len(tree.greedy) + len(closing)
        return [last, *closing] if length < self._speaker.longest else []

    def _said_after(self, begun, trees, tails) -> list:
        """The most probable token after each token of the tails {row: ids}, row by row."""
        rows, paths, places = [], [], []
        for row, tail in tails.items():
            path, place = trees[row].tip.path(), begun.ends[row] + len(trees[row].greedy) - 1
            for step in range(len(tail)):
                path = [begun.rows.grown + len(paths), *path]
                rows.append(row)
                paths.append(path)
                places.append(place + step)
        if not rows:
            return []
        ids = torch.tensor([token for tail in tails.values() for token in tail])
        positions = torch.tensor(places).expand(3, -1)
        return best_tokens(self._loaded, begun.rows.grow(rows, paths, ids, positions))
