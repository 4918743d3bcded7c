# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Questions and answers as tokens on the device, for a whole batch at once.

The words are those of training.data.turns, taken apart around their numbers once; a test holds
every token, position and target to what training.data.collate makes. Knows nothing about images.
"""

from dataclasses import dataclass

import torch

from depthlm_ros.answer import FORMS
from depthlm_ros.engines.digits import SYMBOLS
from depthlm_ros.models.positions import prompt_positions
from depthlm_ros.question import WORDINGS
from training.data.turns import Turns

DIGITS_M, DIGITS_XY = 3, 4  # before the point; of a coordinate


@dataclass
class Slot:
    """A question of each row, padded. ids, positions (3, B, L), used (B, L) bool; targets (B, L):
    tokens that are trained; asks (B,): the token before the number."""

    ids: torch.Tensor
    positions: torch.Tensor
    used: torch.Tensor
    targets: torch.Tensor
    asks: torch.Tensor
    first_target: int


class Words:
    """parts: a checkpoint's Parts; device: of the tensors."""

    def __init__(self, parts, device):
        self.parts, self.device = parts, device
        self._turns = Turns(parts)
        self._symbols = torch.tensor(parts.symbol_ids, device=device)
        self._made = {style: self._apart(style) for style in parts.checkpoint.wording}

    def prefix(self, grid):
        """(ids (P,), positions (3, P), start of the image's tokens, image_start, end) for a grid
        (rows, columns) of merged tokens."""
        vision = self.parts.vision
        ids = torch.tensor(self._turns.prefix(vision.token_ids(grid)))
        patches = [(1, grid[0] * vision.merge, grid[1] * vision.merge)]
        placed = prompt_positions(ids, vision.image_id, patches, vision.merge)
        first = int((ids == vision.image_id).nonzero()[0])
        return ids.to(self.device), placed, first

    def slot(self, style, pixels, size, metres, placed, grid) -> Slot:
        """pixels (B, 2) (u, v) of views of size (height, width); metres (B,)."""
        question, answer = self._made[style]
        checkpoint = self.parts.checkpoint
        count = len(pixels)
        number = self._number((metres * 100).round().long(), DIGITS_M + 2, 3, point=2)
        pieces = [question[0]]
        if style == "coordinates":
            height, width = size
            scale = pixels.new_tensor([width, height], dtype=torch.float64)
            places = (pixels.double() / scale * checkpoint.coordinate_range).round().long()
            for axis, words in enumerate(question[1:]):
                pieces += [self._number(places[:, axis], DIGITS_XY, 1), words]
        start = len(pieces)
        pieces += [answer[0]]
        for words in answer[1:]:
            pieces += [number, words]
        ids, lengths, ends = self._joined(pieces, count)
        begins, numbers = ends[start - 1], ends[start]
        columns = torch.arange(ids.shape[1], device=self.device)
        used = columns < lengths[:, None]
        words = (placed.end + columns).float().expand(3, count, -1).clone()
        if style == "position":
            point = ids == self.parts.point_id
            for axis, (pixel, whole, tokens) in enumerate(
                ((pixels[:, 1], size[0], grid[0]), (pixels[:, 0], size[1], grid[1])), 1
            ):
                place = (pixel + 0.5) / whole * tokens - 0.5 + placed.image_start
                words[axis] = torch.where(point, place[:, None].float(), words[axis])
        least = sum(len(w) for w in question) + (len(question) - 1)
        targets = used & (columns >= begins[:, None])
        return Slot(ids, words, used, targets, numbers - 1, least)

    def _apart(self, style) -> tuple:
        """(pieces of the question around its numbers, pieces of the answer around its)."""
        text, form = WORDINGS[style][self.parts.checkpoint.wording[style]]
        turns, chat = self._turns, self.parts.chat
        text = text.format(x="1111", y="1111", range=self.parts.checkpoint.coordinate_range)
        question = turns.question(text)
        answer = chat.encode(FORMS[form].template.replace("{d}", "1.11")) + [turns.end_id]
        one, point = (self.parts.symbol_ids[SYMBOLS.index(c)] for c in "1.")
        return tuple(
            [
                torch.tensor(piece, dtype=torch.long, device=self.device)
                for piece in _split(ids, run)
            ]
            for ids, run in ((question, [one] * 4), (answer, [one, point, one, one]))
        )

    def _number(self, value, digits, least, point=0) -> tuple:
        """(tokens (B, digits + 1 with a point), lengths (B,)) of whole numbers (B,), left-aligned;
        `least` digits at least, `point` of them behind a point."""
        powers = 10 ** torch.arange(digits - 1, -1, -1, device=self.device)
        found = value.clamp(0, 10**digits - 1)[:, None] // powers % 10
        lengths = (value[:, None] >= powers).sum(1).clamp(least, digits)
        tokens = self._symbols[found]
        if point:
            dot = self._symbols[10].expand(len(value), 1)
            tokens = torch.cat([tokens[:, :-point], dot, tokens[:, -point:]], 1)
            lengths = lengths + 1
        whole = tokens.shape[1]
        at = torch.arange(whole, device=self.device) + (whole - lengths)[:, None]
        return tokens.gather(1, at.clamp(max=whole - 1)), lengths

    def _joined(self, pieces, count) -> tuple:
        """(ids (B, L), lengths (B,), ends [(B,)] of each piece) of words (n,) and numbers."""
        parts = [(piece, None) if isinstance(piece, torch.Tensor) else piece for piece in pieces]
        most = sum(tokens.shape[-1] for tokens, _ in parts)
        pad = self.parts.tokenizer.pad_token_id
        ids = torch.full((count, most + 1), pad, device=self.device)
        at, ends = torch.zeros(count, dtype=torch.long, device=self.device), []
        for tokens, lengths in parts:
            columns = torch.arange(tokens.shape[-1], device=self.device).expand(count, -1)
            where = at[:, None] + columns
            if lengths is not None:
                where = torch.where(columns < lengths[:, None], where, most)
            ids.scatter_(1, where, tokens.expand(count, -1))
            at = at + (tokens.shape[-1] if lengths is None else lengths)
            ends.append(at)
        return ids[:, :most], at, ends


def _split(ids, run) -> list:
    """ids around every occurrence of a run."""
    pieces, start, at = [], 0, 0
    while at <= len(ids) - len(run):
        if ids[at : at + len(run)] == run:
            pieces.append(ids[start:at])
            start = at = at + len(run)
        else:
            at += 1
    return [*pieces, ids[start:]]
