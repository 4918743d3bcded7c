# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The rotary positions of every token, for models with multimodal positions (Qwen-VL).

One rule for the trainer and every engine; pure torch, knows nothing about models, tokenizers or
pictures beyond their grids. Rule of Qwen2-VL (arXiv 2409.12191, section 2.1): words advance all
three axes (temporal, height, width) by one; a picture that starts at s puts its merged token
(row, column) at (s, s + row, s + column), and the next word stands at s + max(rows, columns).
Ours: the token that points stands at (its own place among the words, s + row, s + column) with
row and column fractional (PositionStyle.place); the words after it go on as if it were a word.

Positions are float32 and have to stay so: cast to integers, pointing loses its fractions.
"""

from typing import NamedTuple

import torch

from depthlm_ros.errors import InputError


class Placed(NamedTuple):
    """positions (3, L) float32. picture_start: where the last picture starts. end: where the
    next word stands."""

    positions: torch.Tensor
    picture_start: int
    end: int


def prompt_positions(ids, image_id, grids, merge) -> Placed:
    """Positions of one unpadded sequence of words and pictures.

    ids (L,) int; image_id: the token that stands for each merged picture token; grids: (t, h, w)
    in patches for each picture in order, t = 1; merge: patches per merged token and axis.
    """
    pictures = [_merged_places(grid, merge) for grid in grids]
    images = (ids == image_id).nonzero().flatten().tolist()
    words = torch.arange(len(ids), dtype=torch.float32, device=ids.device)
    positions = words.repeat(3, 1)
    start = shift = 0
    for at, picture in zip(_first_tokens(images, pictures), pictures, strict=True):
        start, after = at + shift, at + picture.shape[1]
        positions[:, at:after] = picture.to(ids.device) + start
        shift += int(picture.max()) + 1 - picture.shape[1]
        positions[:, after:] = words[after:] + shift
    return Placed(positions, start, len(ids) + shift)


def question_positions(start, ids, point_id=None, picture_start=0, places=None) -> torch.Tensor:
    """(3, N, L) positions of N questions' words that follow their pictures.

    start: number or (N,), where the first word stands; ids (N, L); point_id: the token that
    points; picture_start: number or (N,); places (N, 2): (row, column) on the merged grid.
    Without places every token is a word.
    """
    count, length = ids.shape
    first = torch.as_tensor(start, dtype=torch.float32, device=ids.device).expand(count)
    words = first[:, None] + torch.arange(length, device=ids.device)
    positions = words.expand(3, -1, -1).clone()
    if places is not None:
        _point(positions, ids == point_id, picture_start, places)
    return positions


def batch_positions(ids, image_id, grids, merge, point_id=None, places=None, mask=None):
    """(3, B, L) positions of a padded batch with the same number of pictures in each row.

    ids, mask (B, L): mask is 0 at padding, on either side (positions there are 0); grids
    (B * pictures, 3); places (B, 2) or None, about the last picture of each row.
    """
    mask = torch.ones_like(ids) if mask is None else mask
    per_row = len(grids) // len(ids)
    positions = torch.zeros((3, *ids.shape), device=ids.device)
    starts = []
    for row, real in enumerate(mask.bool()):
        own = grids[row * per_row : (row + 1) * per_row]
        placed = prompt_positions(ids[row, real], image_id, own, merge)
        positions[:, row, real] = placed.positions
        starts.append(placed.picture_start)
    if places is not None:
        points = (ids == point_id) & mask.bool()
        _point(positions, points, torch.tensor(starts, device=ids.device), places)
    return positions


def _merged_places(grid, merge):
    """(3, rows * columns) temporal, row and column of one picture's merged tokens."""
    frames, height, width = (int(g) for g in grid)
    if frames != 1:
        raise InputError(f"a picture has one frame, its grid says {frames}")
    axes = (torch.arange(1), torch.arange(height // merge), torch.arange(width // merge))
    return torch.cartesian_prod(*axes).T


def _first_tokens(images, pictures) -> list:
    """Where each picture starts in a sequence whose picture tokens stand at `images`."""
    lengths = [picture.shape[1] for picture in pictures]
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    if sum(lengths) != len(images) or any(
        images[s + n - 1] != images[s] + n - 1 for s, n in zip(starts, lengths, strict=True)
    ):
        raise InputError(f"{len(images)} picture tokens do not fit pictures of {lengths} tokens")
    return [images[s] for s in starts]


def _point(positions, points, picture_start, places):
    """Give the tokens at `points` (N, L) bool the places (N, 2) on their picture, in place."""
    start = torch.as_tensor(picture_start, dtype=torch.float32, device=positions.device)
    places = torch.as_tensor(places, dtype=torch.float32, device=positions.device)
    for axis in (0, 1):
        here = (start + places[:, axis])[:, None].expand(points.shape)
        positions[1 + axis] = torch.where(points, here, positions[1 + axis])
