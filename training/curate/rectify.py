# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Images and depth maps of any lens -> those of a pinhole camera, which is what records hold.

The pinhole looks the same way, so that z stays z. It is as large as can be without a pixel that
the lens did not see, has square pixels, no more of them than the image, and no ray further than
WIDEST from the axis, where a pinhole stretches a pixel to four.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from math import floor, radians, sqrt, tan
from typing import Any

import cv2
import numpy as np

from depthlm_ros.camera import Camera
from training.curate.sample import Lens, Skip

WIDEST_DEG = 60.0
KEPT_BYTES = 400 << 20  # of maps, each with 8 bytes a pixel: the cameras of one car
NEAR = 4  # cells about the drawn border of what is seen, in which each is looked at
STRIP = 32  # rows of a map that are made at once: a quarter of the memory of all
POLYNOMIALS = "plumb_bob", "rational_polynomial"
STEPS = 400  # of 1 % of a side, until every border pixel was seen
ALONG = 65  # border pixels that are looked at, of each side

Map = tuple[np.ndarray, ...]
_kept: dict[tuple[Any, ...], Map] = {}  # the one used last is the last


def _made_once(make: Callable[..., Map]) -> Callable[..., Map]:
    """`make`, whose arrays are kept by its arguments, and the oldest dropped beyond KEPT_BYTES: a
    set has thousands of lenses, or images of 24 MP."""

    @wraps(make)
    def kept_or_made(*arguments: Any) -> Map:
        key = (make.__name__, *arguments)
        found = _kept.pop(key) if key in _kept else make(*arguments)
        _kept[key] = found
        while len(_kept) > 1 and sum(a.nbytes for m in _kept.values() for a in m) > KEPT_BYTES:
            del _kept[next(iter(_kept))]
        return found

    return kept_or_made


def is_pinhole(lens: Lens) -> bool:
    """Whether a record can hold the camera as it is."""
    return isinstance(lens, Camera) and lens.distortion == "none" and lens.skew == 0


@lru_cache(maxsize=256)
def pinhole_of(lens: Lens) -> Camera:
    """The lens itself where it is a pinhole, else the one described above. Raises
    Skip("lens without rays")."""
    if isinstance(lens, Camera) and is_pinhole(lens):
        return lens
    left, top, right, bottom = _seen(lens)
    focal = _focal(lens, (left + right) / 2, (top + bottom) / 2)
    area = (right - left) * (bottom - top) * focal**2
    focal *= min(1.0, sqrt(lens.width * lens.height / area))
    width, height = floor((right - left) * focal) + 1, floor((bottom - top) * focal) + 1
    return Camera(width, height, focal, focal, -left * focal, -top * focal)


def rectified(image: np.ndarray, lens: Lens) -> np.ndarray:
    """(h, w, 3) uint8 of pinhole_of(lens), bilinear, from the image (H, W, 3) of the lens."""
    if is_pinhole(lens):
        return image
    # OpenCV 5 remaps four channels in two thirds of the time of three.
    columns, rows = _maps(lens)
    four = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    four = cv2.remap(four, columns, rows, cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(four, cv2.COLOR_RGBA2RGB))


def rectified_depth(depth: np.ndarray, lens: Lens) -> np.ndarray:
    """A map (h, w) of metres or raw units on the grid of the lens, at any size, on that of
    pinhole_of(lens) at the same scale; each cell is that of the nearest one, NaN stays."""
    if is_pinhole(lens):
        return depth
    camera, (rows, columns) = pinhole_of(lens), depth.shape
    size = (
        max(round(camera.width * columns / lens.width), 1),
        max(round(camera.height * rows / lens.height), 1),
    )
    (cells,) = _depth_map(lens, size, depth.shape)
    return np.asarray(cv2.remap(depth, cells, None, cv2.INTER_NEAREST))


def seen_cells(shape: tuple[int, int], lens: Lens) -> np.ndarray:
    """(h, w) bool: whether a cell of a map on the grid of the lens is on pinhole_of(lens)."""
    return np.ones(shape, bool) if is_pinhole(lens) else _seen_cells(shape, lens)[0]


def cell_pixels(cells: np.ndarray, shape: tuple[int, int], lens: Lens) -> np.ndarray:
    """(N, 2) pixels of pinhole_of(lens), of cells (N,) of a map of this shape (h, w) on the grid
    of the lens, numbered row by row; the exact places, between whole pixels."""
    centres = _cell_centres(cells, shape, lens)
    return centres if is_pinhole(lens) else pinhole_of(lens).pixels(lens.rays(centres))


def _cell_centres(cells: np.ndarray, shape: tuple[int, int], lens: Lens) -> np.ndarray:
    at = np.stack([cells % shape[1], cells // shape[1]], axis=1).astype(np.float64)
    return (at + 0.5) * (lens.width / shape[1], lens.height / shape[0]) - 0.5


@_made_once
def _seen_cells(shape: tuple[int, int], lens: Lens) -> Map:
    """seen_cells: drawn from the border of the pinhole image, and near it, ray by ray."""
    camera = pinhole_of(lens)
    right, bottom = camera.width - 1, camera.height - 1
    u, v = np.arange(right), np.arange(bottom)
    sides = (u, 0 * u), (right + 0 * v, v), (right - u, bottom + 0 * u), (0 * v, bottom - v)
    border = np.concatenate([np.stack(side, axis=1) for side in sides])
    at = lens.pixels(camera.rays(border)) + 0.5
    drawn = np.rint(at * (shape[1] / lens.width, shape[0] / lens.height) - 0.5).astype(np.int32)
    seen, near = np.zeros((2, *shape), np.uint8)
    cv2.fillPoly(seen, [drawn], 1)
    cells = np.flatnonzero(cv2.polylines(near, [drawn], True, 1, 2 * NEAR + 1))
    seen.ravel()[cells] = camera.contains(cell_pixels(cells, shape, lens))
    return (seen.view(bool),)


@_made_once
def _maps(lens: Lens) -> Map:
    """Where each pixel of the pinhole was."""
    camera = pinhole_of(lens)
    return _sources(lens, camera.width, camera.height)


@_made_once
def _depth_map(lens: Lens, size: tuple[int, int], shape: tuple[int, int]) -> Map:
    """Which cell each one of a map of the pinhole was, as OpenCV's map of whole numbers."""
    u, v = _sources(lens, *size)
    scale = shape[1] / lens.width, shape[0] / lens.height
    u, v = (u + 0.5) * scale[0] - 0.5, (v + 0.5) * scale[1] - 0.5
    return (np.asarray(cv2.convertMaps(u, v, cv2.CV_16SC2, nninterpolation=True)[0]),)


def _sources(lens: Lens, width: int, height: int) -> Map:
    """Columns and rows (height, width) float32 of the lens's image, for each pixel of the pinhole
    image at this size."""
    camera = pinhole_of(lens)
    x, y = camera.width / width, camera.height / height
    if isinstance(lens, Camera) and lens.distortion in POLYNOMIALS and not lens.skew:
        # The same as below, in a hundredth of the time: the cameras of Waymo's cars are thousands.
        u, v = cv2.initUndistortRectifyMap(
            _matrix(lens),
            np.array(lens.coefficients),
            None,
            _matrix(camera.scaled(1 / x, 1 / y, width, height), (1 / x - 1) / 2, (1 / y - 1) / 2),
            (width, height),
            cv2.CV_32FC1,
        )
        return np.asarray(u), np.asarray(v)
    u, v = np.empty((2, height, width), np.float32)
    for top in range(0, height, STRIP):
        rows = np.arange(top, min(top + STRIP, height))
        at = np.stack(np.meshgrid((np.arange(width) + 0.5) * x, (rows + 0.5) * y), axis=-1) - 0.5
        found = lens.pixels(camera.rays(at.reshape(-1, 2))).reshape(len(rows), width, 2)
        u[rows], v[rows] = found[..., 0], found[..., 1]
    return u, v


def _matrix(camera: Camera, right: float = 0.0, down: float = 0.0) -> np.ndarray:
    """(3, 3) as OpenCV takes it, the principal point moved."""
    return np.array(
        [[camera.fx, 0, camera.cx + right], [0, camera.fy, camera.cy + down], [0, 0, 1]]
    )


def _seen(lens: Lens) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) as x / z and y / z of a rectangle that the lens sees wholly."""
    u, v = np.linspace(0, lens.width - 1, ALONG), np.linspace(0, lens.height - 1, ALONG)
    sides = (
        np.stack([0 * v, v], 1),
        np.stack([u, 0 * u], 1),
        np.stack([0 * v + lens.width - 1, v], 1),
        np.stack([u, 0 * u + lens.height - 1], 1),
    )
    middle = _slope(lens, np.array([[(lens.width - 1) / 2, (lens.height - 1) / 2]]))[0]
    if not np.isfinite(middle).all():
        raise Skip("lens without rays", "the middle of the image has none")
    widest = tan(radians(WIDEST_DEG))
    found = np.empty(4)
    for side, pixels in enumerate(sides):
        slopes = _slope(lens, pixels)[:, side % 2]
        slopes = np.clip(
            np.nan_to_num(slopes, nan=np.inf if side > 1 else -np.inf), -widest, widest
        )
        found[side] = slopes.max() if side < 2 else slopes.min()
    step = np.abs(found - np.tile(middle, 2)) / 100
    for _ in range(STEPS):
        unseen = _unseen_sides(lens, found)
        if not unseen.any():
            return found[0], found[1], found[2], found[3]
        found += np.where(unseen, step * (1, 1, -1, -1), 0)
        if not (found[:2] < middle).all() or not (found[2:] > middle).all():
            break
    raise Skip("lens without rays", "no rectangle of a pinhole lies within what it sees")


def _unseen_sides(lens: Lens, rectangle: np.ndarray) -> np.ndarray:
    """(4,) bool: whether a side of the rectangle has a ray that is not on the lens's image."""
    left, top, right, bottom = rectangle
    x, y = np.linspace(left, right, ALONG), np.linspace(top, bottom, ALONG)
    sides = [
        np.stack([0 * y + left, y], 1),
        np.stack([x, 0 * x + top], 1),
        np.stack([0 * y + right, y], 1),
        np.stack([x, 0 * x + bottom], 1),
    ]
    rays = np.concatenate([np.concatenate(sides), np.ones((4 * ALONG, 1))], 1)
    pixels = lens.pixels(rays)
    # A hair more than none: bilinear interpolation of a pixel beyond the last one adds black.
    inside = (pixels >= -1e-3).all(1) & (pixels <= (lens.width - 0.999, lens.height - 0.999)).all(
        1
    )
    return np.asarray(~inside.reshape(4, ALONG).all(axis=1))


def _slope(lens: Lens, pixels: np.ndarray) -> np.ndarray:
    """(N, 2) x / z and y / z of the rays of pixels (N, 2); NaN for rays that do not go forward."""
    rays = lens.rays(pixels)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rays[:, 2:] > 0, rays[:, :2] / rays[:, 2:], np.nan)


def _focal(lens: Lens, x: float, y: float) -> float:
    """Pixels per unit of x / z and y / z about a ray, the mean of both axes."""
    near = 1e-3
    points = [[x - near, y, 1], [x + near, y, 1], [x, y - near, 1], [x, y + near, 1]]
    left, right, up, down = lens.pixels(np.array(points))
    wide, high = np.linalg.norm(right - left), np.linalg.norm(down - up)
    return float(sqrt(wide * high) / (2 * near))
