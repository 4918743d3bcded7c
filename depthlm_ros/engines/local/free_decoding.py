# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What rows of a model say freely: the most probable token, again and again, until the end.

Says the same as transformers' generate without sampling.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from depthlm_ros.engines.local.plan import Paths
from depthlm_ros.models.loading import Loaded

if TYPE_CHECKING:
    from depthlm_ros.engines.local.reader import Begun

CHUNK = 256  # hidden states per pass through the head: a vocabulary is wide
TOGETHER = 256  # rows that speak side by side: every token keeps its keys and values


class Speaker:
    """Lets rows of a Loaded model speak. longest: tokens after which a reply is cut off."""

    def __init__(self, loaded: Loaded, longest: int):
        self._loaded = loaded
        self.longest = longest
        self.ends = end_ids(loaded)

    @torch.inference_mode()
    def say(self, begun: Begun, rows: Sequence[int] | None = None) -> list[str]:
        """The texts of rows (numbers, ascending; None: all), each from where the row stands."""
        rows = range(len(begun.hidden)) if rows is None else rows
        parts = [list(rows[start : start + TOGETHER]) for start in range(0, len(rows), TOGETHER)]
        said = [ids for part in parts for ids in self._said(begun, part)]
        return [self._loaded.tokenizer.decode(ids, skip_special_tokens=True) for ids in said]

    def _said(self, begun: Begun, rows: list[int]) -> list[list[int]]:
        """The ids that each of the rows says, its end included."""
        said: dict[int, list[int]] = {row: [] for row in rows}
        paths: dict[int, list[int]] = {row: [] for row in rows}
        hidden = begun.of(rows)[:, -1]
        while rows:
            for row, token in zip(rows, best_tokens(self._loaded, hidden), strict=True):
                said[row].append(token)
            rows = [row for row in rows if not self._over(said[row])]
            if rows:
                hidden = self._fed(begun, rows, said, paths)
        return list(said.values())

    def _over(self, ids: list[int]) -> bool:
        return ids[-1] in self.ends or len(ids) == self.longest

    def _fed(
        self,
        begun: Begun,
        rows: list[int],
        said: dict[int, list[int]],
        paths: dict[int, list[int]],
    ) -> torch.Tensor:
        """The states (len(rows), width) after the last token that each row said."""
        for column, row in enumerate(rows, begun.rows.grown):
            paths[row].append(column)
        ids = torch.tensor([said[row][-1] for row in rows])
        spoken = torch.tensor([len(said[row]) - 1.0 for row in rows])
        positions = (begun.ends[rows] + spoken).expand(3, -1)
        seen = Paths.of_lists([paths[row] for row in rows])
        return begun.rows.grow(rows, seen, ids, positions)


def most_probable(
    loaded: Loaded, hidden: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(logits (n, vocabulary) float32, the best token (n,)) of states (M, width), n at a time."""
    for part in hidden.split(CHUNK):
        logits = loaded.head(part).float()
        yield logits, logits.argmax(1)


def best_tokens(loaded: Loaded, hidden: torch.Tensor) -> list[int]:
    """The most probable token after each of the states (M, width)."""
    return torch.cat([best for _, best in most_probable(loaded, hidden)]).tolist()


def end_ids(loaded: Loaded) -> list[int]:
    """The tokens that end a reply, as generate knows them; none where it never ends early."""
    ends = loaded.model.generation_config.eos_token_id
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
