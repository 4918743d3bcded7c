# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rows -> one padded batch: the picture once, then its questions side by side.

Each question attends to the picture and to itself only, at positions that restart after the
picture, so ten questions in one sequence equal ten sequences (VLM3 packs ten).
"""

from dataclasses import dataclass

import numpy as np
import torch

from depthlm_ros.engines.chat import Chat
from depthlm_ros.engines.positions import prompt_positions, question_positions
from depthlm_ros.question import POINT, PositionStyle
from training.rows import true_distances

CELLS = 4  # the dense loss asks CELLS x CELLS places in each merged picture token
PADDING = -1


@dataclass(frozen=True)
class Span:
    """One question inside a row: its tokens and where its answer begins."""

    ids: list
    answer_start: int
    number_start: int


class Collator:
    """Rows -> tensors; tokenizer and image processor are the checkpoint's own."""

    def __init__(self, tokenizer, image_processor, system=None):
        self.tokenizer = tokenizer
        self.chat = Chat(tokenizer, system)
        self.image_processor = image_processor
        self.merge = image_processor.merge_size
        self.image_id = tokenizer.convert_tokens_to_ids("<|image_pad|>")
        self.point_id = tokenizer.convert_tokens_to_ids(POINT)
        self.end_id = tokenizer.eos_token_id

    def __call__(self, rows) -> dict:
        pictures = self.image_processor(images=[r.image for r in rows], return_tensors="pt")
        grids = pictures["image_grid_thw"]
        packed = [self._packed(row, grid) for row, grid in zip(rows, grids, strict=True)]
        batch = _padded(packed, self.tokenizer.pad_token_id)
        batch["pixel_values"] = pictures["pixel_values"]
        batch["image_grid_thw"] = grids
        batch["dense_log_m"] = torch.cat(
            [self._dense(row, grid) for row, grid in zip(rows, grids, strict=True)]
        )
        return batch

    def grid(self, grid_thw) -> tuple:
        """(rows, columns) of merged picture tokens."""
        return int(grid_thw[1]) // self.merge, int(grid_thw[2]) // self.merge

    def _prefix(self, tokens) -> list:
        """The tokens up to the end of the picture."""
        prompt = self.chat.ids("")
        at = prompt.index(self.image_id)
        return prompt[:at] + [self.image_id] * tokens + prompt[at + 1 : at + 2]

    def _span(self, asked) -> Span:
        prompt = self.chat.ids(asked.question.text)
        after_picture = prompt[prompt.index(self.image_id) + 2 :]
        opening = self.chat.encode(asked.question.form.opening)
        start = len(after_picture)
        ids = after_picture + self.chat.encode(asked.answer) + [self.end_id]
        return Span(ids, start, start + len(opening))

    def _packed(self, row, grid_thw) -> dict:
        grid = self.grid(grid_thw)
        prefix = torch.tensor(self._prefix(grid[0] * grid[1]))
        placed = prompt_positions(prefix, self.image_id, grid_thw[None], self.merge)
        ids, positions, segments = [prefix], [placed.positions], [torch.zeros(len(prefix))]
        targets, locate, at = [], [], len(prefix)
        for number, asked in enumerate(row.asked, start=1):
            span = self._span(asked)
            place = PositionStyle.place(row.view, asked.question.pixel, grid)
            ids.append(torch.tensor(span.ids))
            positions.append(self._positions(asked, span, placed, place))
            segments.append(torch.full((len(span.ids),), float(number)))
            targets.extend(range(at + span.answer_start, at + len(span.ids)))
            if asked.style.name != "position":
                locate.append((at + span.number_start - 1, _token(place, grid)))
            at += len(span.ids)
        return {
            "ids": torch.cat(ids),
            "positions": torch.cat(positions, dim=1),
            "segments": torch.cat(segments),
            "targets": targets,
            "locate": locate,
            "questions": len(row.asked),
        }

    def _positions(self, asked, span, placed, place) -> torch.Tensor:
        places = [place] if asked.style.name == "position" else None
        return question_positions(
            placed.end, torch.tensor([span.ids]), self.point_id, placed.picture_start, places
        )[:, 0]

    def _dense(self, row, grid_thw) -> torch.Tensor:
        """(tokens, CELLS**2) log metres in the middles of each token's cells, row by row."""
        rows, columns = self.grid(grid_thw)
        u = (np.arange(columns * CELLS) + 0.5) / (columns * CELLS) * row.view.camera.width - 0.5
        v = (np.arange(rows * CELLS) + 0.5) / (rows * CELLS) * row.view.camera.height - 0.5
        pixels = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
        metres = true_distances(row.shot, row.view, pixels)
        cells = np.log(metres).reshape(rows, CELLS, columns, CELLS)
        return torch.from_numpy(cells.swapaxes(1, 2).reshape(rows * columns, -1)).float()


def _token(place, grid) -> int:
    """The merged picture token that holds a fractional (row, column)."""
    row, column = (min(max(round(p), 0), n - 1) for p, n in zip(place, grid, strict=True))
    return row * grid[1] + column


def _padded(packed, pad_id) -> dict:
    """Rows of different length -> (B, S) tensors; padding sees the picture and itself."""
    length = max(len(p["ids"]) for p in packed)
    ids = torch.full((len(packed), length), pad_id)
    positions = torch.zeros(3, len(packed), length)
    segments = torch.full((len(packed), length), float(PADDING))
    for i, p in enumerate(packed):
        n = len(p["ids"])
        ids[i, :n], positions[:, i, :n], segments[i, :n] = p["ids"], p["positions"], p["segments"]
    return {
        "input_ids": ids,
        "position_ids": positions,
        "attention_mask": question_mask(segments),
        "targets": torch.tensor([(i, t) for i, p in enumerate(packed) for t in p["targets"]]),
        "locate": torch.tensor([(i, *x) for i, p in enumerate(packed) for x in p["locate"]]),
        "questions": torch.tensor(sum(p["questions"] for p in packed)),
    }


def question_mask(segments) -> torch.Tensor:
    """(B, 1, S, S) bool: who attends to whom. segments (B, S): 0 picture, 1.. questions."""
    causal = torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool).tril()
    same = segments[:, :, None] == segments[:, None, :]
    return ((same | (segments == 0)[:, None, :]) & causal)[:, None]
