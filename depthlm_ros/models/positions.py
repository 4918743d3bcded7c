# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The rotary positions of every token, for models with multimodal positions (Qwen-VL).

One rule for the trainer and every engine. Rule of Qwen2-VL (arXiv 2409.12191, section 2.1): words
advance all three axes (temporal, height, width) by one; an image that starts at s puts its merged
token (row, column) at (s, s + row, s + column), and the next word stands at
s + max(rows, columns). Ours: the token that points stands at (its own place among the words,
s + row, s + column) with row and column fractional (PositionStyle.place); the words after it go
on as if it were a word.

Positions are float32 and have to stay so: cast to integers, pointing loses its fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from depthlm_ros.errors import InputError

Grid = Sequence[int]  # (t, h, w) of an image in patches, t = 1; or a tensor of them


class Placed(NamedTuple):
    """Where the tokens of one prompt stand.

    positions: (3, L) float32.
    image_start: where the last image starts, 0 without one.
    end: where the next word stands.
    """

    positions: torch.Tensor
    image_start: int
    end: int


def prompt_positions(
    ids: torch.Tensor, image_id: int, grids: Sequence[Grid], merge: int
) -> Placed:
    """Positions of one unpadded sequence of words and images.

    ids (L,) int; image_id: the token that stands for each merged image token; grids: (t, h, w)
    in patches for each image in order, t = 1; merge: patches per merged token and axis.
    """
    places = [_merged_places(grid, merge) for grid in grids]
    tokens = (ids == image_id).nonzero().flatten().tolist()
    words = torch.arange(len(ids), dtype=torch.float32, device=ids.device)
    positions = words.repeat(3, 1)
    start = shift = 0
    for at, image in zip(_first_tokens(tokens, places), places, strict=True):
        start, after = at + shift, at + image.shape[1]
        positions[:, at:after] = image.to(ids.device) + start
        shift += int(image.max()) + 1 - image.shape[1]
        positions[:, after:] = words[after:] + shift
    return Placed(positions, start, len(ids) + shift)


def question_positions(
    start: float | torch.Tensor,
    ids: torch.Tensor,
    point_id: int | None = None,
    image_start: float | torch.Tensor = 0,
    places: Sequence[Sequence[float]] | torch.Tensor | None = None,
) -> torch.Tensor:
    """(3, N, L) positions of N questions' words that follow their images.

    start: number or (N,), where the first word stands; ids (N, L); point_id: the token that
    points; image_start: number or (N,); places (N, 2): (row, column) on the merged grid.
    Without places every token is a word.
    """
    count, length = ids.shape
    first = torch.as_tensor(start, dtype=torch.float32, device=ids.device).expand(count)
    words = first[:, None] + torch.arange(length, device=ids.device)
    positions = words.expand(3, -1, -1).clone()
    if places is not None:
        _point(positions, ids == point_id, image_start, places)
    return positions


def batch_positions(
    ids: torch.Tensor,
    image_id: int,
    grids: Sequence[Grid] | torch.Tensor,
    merge: int,
    point_id: int | None = None,
    places: Sequence[Sequence[float]] | torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """(3, B, L) positions of a padded batch with the same number of images in each row.

    ids, mask (B, L): mask is 0 at padding, on either side (positions there are 0); grids
    (B * images, 3); places (B, 2) or None, about the last image of each row.
    """
    mask = torch.ones_like(ids) if mask is None else mask
    per_row = len(grids) // len(ids)
    positions = torch.zeros((3, *ids.shape), device=ids.device)
    starts = []
    for row, real in enumerate(mask.bool()):
        own = grids[row * per_row : (row + 1) * per_row]
        placed = prompt_positions(ids[row, real], image_id, own, merge)
        positions[:, row, real] = placed.positions
        starts.append(placed.image_start)
    if places is not None:
        points = (ids == point_id) & mask.bool()
        _point(positions, points, torch.tensor(starts, device=ids.device), places)
    return positions


def turned(heads: torch.Tensor, angles: Sequence[torch.Tensor]) -> torch.Tensor:
    """Rotary position embedding (arXiv 2104.09864): the halves of a head are the two axes of its
    planes.

    heads (..., D); angles: (cosines, signed sines) that broadcast to it; see signed().
    """
    cosines, sines = angles
    first, second = heads.chunk(2, dim=-1)
    found = heads * cosines + torch.cat([second, first], dim=-1) * sines
    return found if found.dtype == heads.dtype else found.to(heads.dtype)


def turn(heads: torch.Tensor, angles: Sequence[torch.Tensor]) -> None:
    """turned() in place, to the bit."""
    cosines, sines = angles
    swapped = heads.roll(heads.shape[-1] // 2, -1)
    if cosines.dtype != heads.dtype:
        heads.copy_(heads * cosines + swapped * sines)
    else:
        heads.mul_(cosines).add_(swapped.mul_(sines))


def signed(sines: torch.Tensor) -> torch.Tensor:
    """Sines (..., D) as turned() takes them: of the first half, negative."""
    first, second = sines.chunk(2, dim=-1)
    return torch.cat([-first, second], dim=-1)


def _merged_places(grid: Grid, merge: int) -> torch.Tensor:
    """(3, rows * columns) temporal, row and column of one image's merged tokens."""
    frames, height, width = (int(g) for g in grid)
    if frames != 1:
        raise InputError(f"an image has one frame, its grid says {frames}")
    axes = (torch.arange(1), torch.arange(height // merge), torch.arange(width // merge))
    return torch.cartesian_prod(*axes).T


def _first_tokens(tokens: list[int], images: list[torch.Tensor]) -> list[int]:
    """Where each image starts in a sequence whose image tokens stand at `tokens`."""
    lengths = [image.shape[1] for image in images]
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    if sum(lengths) != len(tokens) or any(
        tokens[s + n - 1] != tokens[s] + n - 1 for s, n in zip(starts, lengths, strict=True)
    ):
        raise InputError(f"{len(tokens)} image tokens do not fit images of {lengths} tokens")
    return [tokens[s] for s in starts]


def _point(
    positions: torch.Tensor,
    points: torch.Tensor,
    image_start: float | torch.Tensor,
    places: Sequence[Sequence[float]] | torch.Tensor,
) -> None:
    """Give the tokens at `points` (N, L) bool the places (N, 2) on their image, in place."""
    start = torch.as_tensor(image_start, dtype=torch.float32, device=positions.device)
    places = torch.as_tensor(places, dtype=torch.float32, device=positions.device)
    for axis in (0, 1):
        here = (start + places[:, axis])[:, None].expand(points.shape)
        positions[1 + axis] = torch.where(points, here, positions[1 + axis])
