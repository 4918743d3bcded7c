# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Poses, and which of many measured points an image shows.

A pose "a from b" is a (4, 4) matrix that takes points of frame b to frame a, in metres. Knows
nothing about data sets, files and images.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation, Slerp

from depthlm_ros.errors import InputError
from depthlm_ros.msgs.transforms import rotation_matrix
from training.curate.sample import Skip

NS = 1_000_000_000
# Optical (x right, y down, z forward; REP-103) from a camera frame with x forward, y left, z up.
OPTICAL_FROM_FORWARD = np.array(
    [[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], np.float64
)
# A point is hidden if a nearer one lies within so many pixels and is nearer by this share.
HIDDEN_PX, HIDDEN_SHARE = 2, 0.05


def pose(rotation: ArrayLike, translation: ArrayLike) -> np.ndarray:
    """(4, 4) of a rotation, a quaternion (w, x, y, z) or a (3, 3) matrix, and metres (3,).

    A quaternion is normalised. Raises Skip("broken pose") for numbers that are not finite, a
    quaternion without length, and a matrix that is no rotation to 1e-3.
    """
    rotation = np.asarray(rotation, np.float64)
    found = np.eye(4)
    found[:3, 3] = translation
    if rotation.shape == (4,):
        try:
            found[:3, :3] = rotation_matrix(*rotation[[1, 2, 3, 0]])
        except InputError as error:
            raise Skip("broken pose", str(error)) from error
    else:
        found[:3, :3] = rotation
    turned = found[:3, :3]
    if not np.isfinite(found).all() or not np.allclose(turned @ turned.T, np.eye(3), atol=1e-3):
        raise Skip("broken pose", f"rotation {turned.tolist()}, translation {found[:3, 3]}")
    return found


def inverse(a_from_b: np.ndarray) -> np.ndarray:
    """b from a."""
    found = np.eye(4)
    found[:3, :3] = a_from_b[:3, :3].T
    found[:3, 3] = -a_from_b[:3, :3].T @ a_from_b[:3, 3]
    return found


def transformed(points: np.ndarray, a_from_b: np.ndarray) -> np.ndarray:
    """(N, 3) points of frame b -> frame a; a_from_b: (4, 4), or (N, 4, 4), one for each point."""
    points = np.asarray(points, np.float64)
    if a_from_b.ndim == 3:
        return np.einsum("nij,nj->ni", a_from_b[:, :3, :3], points) + a_from_b[:, :3, 3]
    if not len(points):
        return points
    # Ten times as fast as a product of so narrow matrices, and in this thread alone.
    return np.asarray(cv2.transform(points[:, None], a_from_b[:3]))[:, 0]


class Track:
    """One frame's pose over time, between its samples interpolated: positions along straight
    lines, rotations at constant speed (slerp).

    stamps_ns: (N,) whole nanoseconds in any order, N at least 1.
    poses: (N, 4, 4).
    beyond_s: how far before the first and behind the last sample these still hold.
    """

    def __init__(self, stamps_ns: Sequence[int], poses: ArrayLike, beyond_s: float = 0.0):
        stamps, first = np.unique(np.asarray(stamps_ns, np.int64), return_index=True)
        self._poses = np.asarray(poses, np.float64)[first]
        self.first_ns = int(stamps[0])
        self._times_s = self._seconds(stamps)
        self._beyond_s = beyond_s
        self._turned = None
        if len(stamps) > 1:
            self._turned = Slerp(self._times_s, Rotation.from_matrix(self._poses[:, :3, :3]))

    def at(self, stamps_ns: ArrayLike) -> np.ndarray:
        """(4, 4) at one stamp in nanoseconds, (N, 4, 4) at N of them.

        Raises Skip("no pose at this time") for times that the samples do not hold for.
        """
        times = self._seconds(np.asarray(stamps_ns, np.int64))
        last = self._times_s[-1]
        beyond = max(float(-times.min(initial=0)), float((times - last).max(initial=0)))
        if beyond > self._beyond_s + 1e-9:
            raise Skip("no pose at this time", f"{beyond:.3f} s from the nearest one")
        if self._turned is None:
            return np.broadcast_to(self._poses[0], (*times.shape, 4, 4)).copy()
        times = times.clip(0, last)
        found = np.zeros((*times.shape, 4, 4))
        found[..., :3, :3] = self._turned(times).as_matrix()
        for axis in range(3):
            found[..., axis, 3] = np.interp(times, self._times_s, self._poses[:, axis, 3])
        found[..., 3, 3] = 1
        return found

    def _seconds(self, stamps: np.ndarray) -> np.ndarray:
        """From the first sample on; a difference of whole numbers first, as a stamp since 1970
        has no nanoseconds left in a float."""
        return (stamps - self.first_ns) / NS


def nearest_per_pixel(
    pixels: np.ndarray, metres: np.ndarray, width: int, height: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of points that fall into one pixel, the nearest (a z-buffer).

    pixels: (N, 2) of an image of width x height, NaN where a point is not seen.
    metres: (N,) how far.
    -> (kept (K,) numbers of points; (K,) their pixels, numbered row by row, in rising order; map
    (height, width) float32 metres, inf where there is none).
    """
    u, v = np.floor(pixels[:, 0] + 0.5), np.floor(pixels[:, 1] + 0.5)
    with np.errstate(invalid="ignore"):
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height) & (metres > 0)
    numbers = np.flatnonzero(inside & (metres < np.inf))
    flat = (v[numbers] * width + u[numbers]).astype(np.int64)
    near = metres[numbers].astype(np.float32)
    found = np.full(width * height, np.inf, np.float32)
    np.minimum.at(found, flat, near)
    first = near == found[flat]
    # Sorting one number for each is faster than another array in the image's size.
    count = max(len(pixels), 1)
    places, kept = np.divmod(np.sort(flat[first] * count + numbers[first]), count)
    last = np.diff(places, append=-1) != 0  # of equally near ones
    return kept[last], places[last], found.reshape(height, width)


def is_hidden(
    nearest_m: np.ndarray,
    places: np.ndarray,
    radius_px: int = HIDDEN_PX,
) -> np.ndarray:
    """(K,) bool: whether what a pixel's point measured is hidden from the camera.

    nearest_m: (H, W) metres, inf where there is none (nearest_per_pixel).
    places: (K,) pixels with a point, numbered row by row.
    A sensor that stands elsewhere sees behind things: a point is hidden if within radius_px
    columns and rows another one is nearer by more than HIDDEN_SHARE of its own metres.
    """
    if not len(places):
        return np.zeros(0, bool)
    side, width = 2 * radius_px + 1, nearest_m.shape[1]
    rows = places.min() // width, places.max() // width  # a lidar sees a part of them
    top, bottom = max(rows[0] - radius_px, 0), rows[1] + radius_px + 1
    around = cv2.erode(nearest_m[top:bottom], np.ones((side, side), np.uint8))
    own = nearest_m.ravel()[places]
    hidden: np.ndarray = around.ravel()[places - top * width] < own * (1 - HIDDEN_SHARE)
    return hidden


def nth_true(mask: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """np.flatnonzero(mask)[numbers], for few numbers of many: only rows that hold one are listed.

    mask: (H, W) bool.
    numbers: (N,) in rising order.
    """
    counts = np.asarray(cv2.reduce(mask.view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S))[:, 0]
    row = np.searchsorted(counts.cumsum(), numbers, side="right")
    rows, nth = np.unique(row, return_inverse=True)
    skipped = (counts.cumsum() - counts)[row] - (counts[rows].cumsum() - counts[rows])[nth]
    at, column = np.divmod(np.flatnonzero(mask[rows])[numbers - skipped], mask.shape[1])
    found: np.ndarray = rows[at] * mask.shape[1] + column
    return found
