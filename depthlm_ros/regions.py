# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Boxes of an image -> pixels to ask -> one robust distance and point per box.

A box is (left, top, width, height) in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from depthlm_ros.ranges import Ranges, Status

SAMPLES, MOST_SAMPLES = 9, 400  # pixels asked in a box: by default, and at most
MIDDLE = 0.5  # the share of a box, each way, that is asked: its borders see what is behind
Box = Sequence[float]  # left, top, width, height
MAD_TO_SIGMA = 1.4826  # of a normal distribution
OUTLYING = 3.0  # scaled median absolute deviations
ALIKE = 0.1  # answers so near to the median, relatively, are never outliers


@dataclass(frozen=True)
class BoxPixels:
    """The pixels to ask about B boxes.

    pixels: (M, 2) pixels (u, v).
    owners: (M,) the index of the box of each pixel.
    centres: (B, 2) the pixel in the middle of each box, NaN where it has none.
    status: (B,) uint8 of ranges.Status, OK where a box has pixels.
    """

    pixels: np.ndarray
    owners: np.ndarray
    centres: np.ndarray
    status: np.ndarray


@dataclass(frozen=True)
class BoxRanges:
    """The answers to B boxes.

    ranges: one entry per box; asked holds the middles of the boxes.
    spread_m: (B,) the scatter of the inliers, 1.4826 times their median absolute deviation, NaN
        where there are none.
    answered: (B,) how many pixels have a distance.
    inliers: (B,) how many of those count.
    """

    ranges: Ranges
    spread_m: np.ndarray
    answered: np.ndarray
    inliers: np.ndarray


def box_pixels(camera: Camera, boxes: Sequence[Box], samples: int = 0) -> BoxPixels:
    """The pixels of boxes [(left, top, width, height)]: a square grid over the middle of each.

    What lies outside the image is cut off first. samples: pixels per box, rounded up to a square;
    0: SAMPLES.
    """
    side = _side(samples)
    pixels, owners, status = [], [], np.full(len(boxes), Status.OK, np.uint8)
    centres = np.full((len(boxes), 2), np.nan)
    for i, box in enumerate(boxes):
        status[i] = _standing(camera, box)
        if status[i] == Status.OK:
            corner, size = _cut(camera, box)
            centres[i] = corner + size / 2 - 0.5
            pixels.append(centres[i] + _offsets(side) * size)
            owners += [i] * side**2
    return BoxPixels(
        np.concatenate(pixels or [np.empty((0, 2))]), np.array(owners), centres, status
    )


def box_sample_count(samples: int = 0) -> int:
    """How many pixels of a box are asked; InputError for too many."""
    return _side(samples) ** 2


def _side(samples: int) -> int:
    if not 0 <= samples <= MOST_SAMPLES:
        raise InputError(
            f"{samples} samples per box are not possible, allowed: 1 to {MOST_SAMPLES}, or 0 for"
            f" {SAMPLES}"
        )
    return ceil(sqrt(samples or SAMPLES))


def _standing(camera: Camera, box: Box) -> Status:
    _, _, width, height = box
    if not np.isfinite(box).all() or width <= 0 or height <= 0:
        return Status.INVALID
    return Status.OK if (_cut(camera, box)[1] > 0).all() else Status.OUTSIDE


def _cut(camera: Camera, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Corner (2,) and size (2,) of the part of a box that is inside the image."""
    low = np.clip(box[:2], 0, None)
    high = np.minimum(np.add(box[:2], box[2:]), (camera.width, camera.height))
    return low.astype(np.float64), high - low


def _offsets(side: int) -> np.ndarray:
    """(side**2, 2) places about the middle of a box of size 1."""
    steps = ((np.arange(side) + 0.5) / side - 0.5) * MIDDLE
    return np.stack([axis.ravel() for axis in np.meshgrid(steps, steps)], axis=1)


def box_ranges(camera: Camera, asked: BoxPixels, ranges: Ranges) -> BoxRanges:
    """What the answers to asked.pixels say about the boxes.

    distance: the median of the inliers, which lie within OUTLYING scaled median absolute
    deviations, or ALIKE, of the median of the logarithms. lower, upper: medians of theirs. point:
    that distance along the ray through the middle of the box. A box is uncertain where most of
    them are.
    """
    count = len(asked.status)
    values = np.full((count, 3), np.nan)  # distance, lower, upper
    spread, status = np.full(count, np.nan), asked.status.copy()
    uncertain = np.zeros(count, bool)
    answered, inliers = np.zeros(count, np.uint32), np.zeros(count, np.uint32)
    for i in np.flatnonzero(asked.status == Status.OK):
        known, failed = _with_answer(ranges, np.flatnonzero(asked.owners == i))
        answered[i] = len(known)
        if len(failed) > len(known):
            status[i] = np.bincount(ranges.status[failed]).argmax()
            continue
        known = known[_is_inlier(ranges.distance_m[known])]
        inliers[i], metres = len(known), ranges.distance_m[known]
        values[i] = [
            np.median(v[known]) for v in (ranges.distance_m, ranges.lower_m, ranges.upper_m)
        ]
        spread[i] = MAD_TO_SIGMA * np.median(np.abs(metres - values[i, 0]))
        uncertain[i] = ranges.uncertain[known].mean() > 0.5
    found = replace(_along(camera, asked.centres, values, status), uncertain=uncertain)
    return BoxRanges(found, spread, answered, inliers)


def _with_answer(ranges: Ranges, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The indices with a distance, and those without."""
    known = np.isfinite(ranges.distance_m[indices])
    return indices[known], indices[~known]


def _is_inlier(metres: np.ndarray) -> np.ndarray:
    away = np.abs(np.log(metres) - np.log(np.median(metres)))
    return away <= max(OUTLYING * MAD_TO_SIGMA * np.median(away), np.log1p(ALIKE))


def _along(camera: Camera, centres: np.ndarray, values: np.ndarray, status: np.ndarray) -> Ranges:
    """Ranges of distances along the rays through the middles."""
    rays = np.full((len(status), 3), np.nan)
    has_ray = np.isfinite(centres).all(axis=1)
    rays[has_ray] = camera.rays(centres[has_ray])
    return Ranges.along(rays, values, status, centres)
