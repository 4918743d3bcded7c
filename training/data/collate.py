# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rows -> one padded batch: the image (or two) once, then its questions side by side.

Each question attends to the image and to itself only, at positions that restart after the
image, so ten questions in one sequence equal ten sequences (VLM3 packs ten). With `multi_turn`
they are the turns of one conversation instead. Which tokens are trained, and with what weight,
is decided here; the weights are such that means over equal batches are means over all.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from depthlm_ros.models.positions import question_positions
from depthlm_ros.models.prompts import placed
from depthlm_ros.models.vision import Preparer
from depthlm_ros.question import PositionStyle
from training.data.turns import Turns

CELLS = 4  # the dense loss asks CELLS x CELLS places in each merged image token
PADDING = -1


@dataclass
class Packed:
    """One row as tokens, in growth. segments: 0 for the image, 1.. for questions.

    targets: (token, token that predicts it, weight). locate: (token that asks, image token).
    """

    ids: list
    positions: list
    segments: list
    targets: list = field(default_factory=list)
    locate: list = field(default_factory=list)

    def __len__(self):
        return sum(map(len, self.ids))

    def append(self, ids, positions, segment):
        """More tokens: ids (n,), positions (axes, n)."""
        self.ids.append(ids)
        self.positions.append(positions)
        self.segments.append(torch.full((len(ids),), float(segment)))


class Collator:
    """Rows -> tensors. parts: a base's Parts (engines.loading); the rest: see config.Config."""

    def __init__(self, parts, loss_on="answer", loss_per="answer", multi_turn=False):
        self.parts = parts
        self.vision = parts.vision
        self.tokenizer = parts.tokenizer
        self.preparer = Preparer(parts.vision)
        self.turns = Turns(parts, multi_turn)
        self.loss_on, self.loss_per, self.multi_turn = loss_on, loss_per, multi_turn

    def __call__(self, rows) -> dict:
        images = [
            [self.preparer.prepare(image) for image in (row.image, *row.more)] for row in rows
        ]
        return self.batch(rows, images)

    def batch(self, rows, images) -> dict:
        """The batch of rows whose images [[ImageTensors, ...] of each] are prepared."""
        packed = [self._packed(*pair) for pair in zip(rows, images, strict=True)]
        batch = self._padded(packed)
        batch["images"] = [image.tensors for seen in images for image in seen]
        batch["dense_log_m"], batch["dense_weight"] = self._dense(rows, images)
        batch["loss_weights"] = rows[0].weights
        batch["names"] = [row.example.name for row in rows]
        batch["skipped"] = [skip._asdict() for row in rows for skip in row.skipped]
        return batch

    def _packed(self, row, images) -> Packed:
        tokens = [self.vision.token_ids(image.grid) for image in images]
        prefix = torch.tensor(self.turns.prefix(*tokens))
        begun = placed(self.vision, prefix, images)
        found = Packed([prefix], [self._axes(begun.positions)], [torch.zeros(len(prefix))])
        start, share = begun.end, 1 / max(len(row.asked), 1)
        for number, asked in enumerate(row.asked):
            span = self.turns.span(asked, first=number == 0)
            place = _place(row, asked, images[0].grid)
            at = len(found)
            positions = self._positions(asked, span, start, begun.image_start, place)
            found.append(torch.tensor(span.ids), positions, 0 if self.multi_turn else number + 1)
            self._aim(found, span, at, len(prefix), share)
            if place and asked.style.name != "position":
                token = _token(place, images[0].grid)
                found.locate.append((at + span.number_start - 1, token))
            start += len(span.ids) if self.multi_turn else 0
        return found

    def _aim(self, found, span, at, prefix, share):
        """Add a span's trained tokens, its share of the row's weight on them."""
        whole = self.loss_on == "all"
        first = 0 if whole else span.answer_start
        own = [(at + i, at + i - 1) for i in range(first, len(span.ids))]
        if whole:  # the first word of a question is predicted by the end of the image
            own[0] = (at, at - 1 if self.multi_turn else prefix - 1)
        shared = self._trained_prefix(found) if whole and not self.multi_turn else []
        if whole and self.multi_turn and at == prefix:
            shared = self._trained_prefix(found)
        weight = share / (len(own) + len(shared)) if self.loss_per == "token" else share
        found.targets.extend((*pair, weight) for pair in own + shared)

    def _trained_prefix(self, found) -> list:
        """(token, predictor) of the words before the questions; image tokens are not words."""
        ids = found.ids[0].tolist()
        of_images = set(self.vision.token_ids((2, 2)))
        return [(i, i - 1) for i in range(1, len(ids)) if ids[i] not in of_images]

    def _axes(self, positions) -> torch.Tensor:
        """(3, n) as the model wants them: (3, n), or (1, n) whole numbers."""
        return positions if self.vision.multimodal_positions else positions[:1].long()

    def _positions(self, asked, span, start, image_start, place) -> torch.Tensor:
        places = [place] if asked.style.name == "position" else None
        ids, point = torch.tensor([span.ids]), self.parts.point_id
        return self._axes(question_positions(start, ids, point, image_start, places)[:, 0])

    def _padded(self, packed) -> dict:
        """Rows of different length -> (B, S) tensors; padding sees the image and itself."""
        length = max(map(len, packed))
        count, axes = len(packed), packed[0].positions[0]
        ids = torch.full((count, length), self.tokenizer.pad_token_id)
        positions = torch.zeros(len(axes), count, length, dtype=axes.dtype)
        segments = torch.full((count, length), float(PADDING))
        for i, one in enumerate(packed):
            n = len(one)
            ids[i, :n], segments[i, :n] = torch.cat(one.ids), torch.cat(one.segments)
            positions[:, i, :n] = torch.cat(one.positions, dim=1)
        return {
            "input_ids": ids,
            "position_ids": positions if len(axes) == 3 else positions[0],
            "attention_mask": question_mask(segments),
            **_aims(packed),
        }

    def _dense(self, rows, images):
        """Log metres (tokens, CELLS**2) at the middles of each token's cells, and their weights:
        a row's add up to 1 / rows."""
        log_m = [
            torch.from_numpy(np.concatenate([_cells(row, seen[0]), *map(_unknown, seen[1:])]))
            for row, seen in zip(rows, images, strict=True)
        ]
        known = [one.isfinite() for one in log_m]
        weights = [k / (k.sum().clamp(min=1) * len(rows)) for k in known]
        return torch.cat(log_m).nan_to_num(), torch.cat(weights)


def _aims(packed) -> dict:
    """Trained tokens and pointing tokens of all rows; a row's weights add up to 1 / rows."""
    targets = [(i, *t) for i, one in enumerate(packed) for t in one.targets]
    locate = [
        (i, *place, 1 / len(one.locate)) for i, one in enumerate(packed) for place in one.locate
    ]
    found = {}
    for name, table, columns in (("target", targets, 3), ("locate", locate, 3)):
        table = torch.tensor(table, dtype=torch.float64).reshape(-1, columns + 1)
        found[f"{name}s"] = table[:, :columns].long()
        found[f"{name}_weight"] = (table[:, columns] / len(packed)).float()
    return found


def _cells(row, prepared) -> np.ndarray:
    rows, columns = prepared.grid
    camera = row.view.camera
    u = (np.arange(columns * CELLS) + 0.5) / (columns * CELLS) * camera.width - 0.5
    v = (np.arange(rows * CELLS) + 0.5) / (rows * CELLS) * camera.height - 0.5
    pixels = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    metres = row.example.metres(row.view, pixels)
    cells = np.log(metres).reshape(rows, CELLS, columns, CELLS)
    return cells.swapaxes(1, 2).reshape(rows * columns, -1).astype(np.float32)


def _unknown(prepared) -> np.ndarray:
    """The cells of a second image, whose distances nobody knows."""
    return np.full((prepared.grid[0] * prepared.grid[1], CELLS**2), np.nan, np.float32)


def _place(row, asked, grid):
    """(row, column) on the grid of image tokens that a question points at, None for none."""
    pixel = asked.question.pixel
    return PositionStyle.place(row.view, pixel, grid) if pixel else None


def _token(place, grid) -> int:
    """The merged image token that holds a fractional (row, column)."""
    row, column = (min(max(round(p), 0), n - 1) for p, n in zip(place, grid, strict=True))
    return row * grid[1] + column


def question_mask(segments) -> torch.Tensor:
    """(B, 1, S, S) bool: who attends to whom. segments (B, S): 0 image, 1.. questions."""
    length, device = segments.shape[1], segments.device
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    same = segments[:, :, None] == segments[:, None, :]
    return ((same | (segments == 0)[:, None, :]) & causal)[:, None]
