# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A grid of pixels -> organised points, asked of a Predictor."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from depthlm_ros.predict import Predictor, cancelled_by_errors
from depthlm_ros.ranges import Ranges, RangesJob
from depthlm_ros.view import Frame

Region = tuple[int, int, int, int]  # left, top, width, height

LARGEST_GRID = 1_000_000  # points
GRIDS = 4  # that are kept


def grid_pixels(
    camera: Camera, columns: int, rows: int, region: Region | None = None
) -> np.ndarray:
    """(rows * columns, 2) pixels, row by row: the middles of equal cells, to whole pixels.

    region: (left, top, width, height), the part of the image that is divided; None: all of it.

    The newest few grids are kept and read-only: the same array means the same pixels.
    """
    if columns < 1 or rows < 1 or columns * rows > LARGEST_GRID:
        raise InputError(
            f"a grid of {columns} x {rows} is not possible: at least 1 x 1 and at most"
            f" {LARGEST_GRID} points; give fewer, or a larger stride"
        )
    return _middles(columns, rows, region or (0, 0, camera.width, camera.height))


@lru_cache(maxsize=GRIDS)
def _middles(columns: int, rows: int, region: Region) -> np.ndarray:
    left, top, width, height = region
    grid = np.meshgrid(_places(left, width, columns), _places(top, height, rows))
    pixels = np.stack([axis.ravel() for axis in grid], axis=1)
    pixels.flags.writeable = False
    return pixels


def _places(start: int, length: int, count: int) -> np.ndarray:
    """(count,) the middles of equal cells along one axis, to whole pixels."""
    middles: np.ndarray = np.round(start + (np.arange(count) + 0.5) * length / count - 0.5)
    return middles


def stride_shape(width: int, height: int, stride: int) -> tuple[int, int]:
    """(columns, rows) of the grid that holds about every stride-th of width x height pixels along
    both axes, and with 1 every pixel."""
    return max(round(width / stride), 1), max(round(height / stride), 1)


def grid_camera(camera: Camera, columns: int, rows: int) -> Camera:
    """The Camera whose pixels are those of grid_pixels(): exactly where all cells are as many
    whole pixels wide, else on average.

    Middles of cells of an even width lie between two pixels, and all are rounded alike: a camera
    of the middles would be half a pixel off everywhere.
    """
    sx, sy = columns / camera.width, rows / camera.height
    u, v = (_places(0, *of).mean() for of in ((camera.width, columns), (camera.height, rows)))
    cx, cy = (camera.cx - u) * sx + (columns - 1) / 2, (camera.cy - v) * sy + (rows - 1) / 2
    return replace(camera.scaled(sx, sy, columns, rows), cx=float(cx), cy=float(cy))


@dataclass(frozen=True)
class Scan:
    """The answers to a grid of pixels.

    ranges: of rows * columns pixels, row by row.
    colours: (rows, columns, 3) uint8 RGB of the frame at the pixels asked.
    """

    ranges: Ranges
    columns: int
    rows: int
    colours: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """(rows, columns, 3) metres in the optical frame, NaN where unknown."""
        return self.ranges.points.reshape(self.rows, self.columns, 3)


def colours_at(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(N, 3) uint8 of the image (H, W, 3) at pixels (N, 2), to the nearest pixel inside."""
    u, v = np.rint(np.nan_to_num(pixels)).astype(int).T
    height, width = image.shape[:2]
    places = np.clip(v, 0, height - 1) * width + np.clip(u, 0, width - 1)
    return np.take(image.reshape(-1, *image.shape[2:]), places, axis=0)


def trusted(scan: Scan, max_stddev: float = 0.0, max_edge: float = 0.0) -> Scan:
    """The scan without points that are uncertain, or that hang in the air between two surfaces.

    max_stddev: of a point, relative to its distance; without an interval a point is uncertain.
    max_edge: by how much the nearest and the farthest of a point and its eight neighbours may
        differ, relative to its own distance. 0: no limit.
    """
    ranges = scan.ranges
    doubted = np.zeros(len(ranges), bool)
    with np.errstate(invalid="ignore"):
        if max_stddev:
            doubted |= ~(ranges.stddev_m <= max_stddev * ranges.distance_m)
        if max_edge:
            span = _span(ranges.distance_m.reshape(scan.rows, scan.columns))
            doubted |= span.ravel() > max_edge * ranges.distance_m
    if not doubted.any():
        return scan
    unknown = {
        name: np.where(doubted, np.nan, getattr(ranges, name))
        for name in ("distance_m", "z_m", "lower_m", "upper_m", "stddev_m")
    }
    points = np.where(doubted[:, None], np.nan, ranges.points)
    unsure = ranges.uncertain & ~doubted
    return replace(scan, ranges=replace(ranges, points=points, uncertain=unsure, **unknown))


def _span(distance_m: np.ndarray) -> np.ndarray:
    """(H, W): farthest minus nearest of each entry of (H, W) and its known neighbours."""
    import cv2

    kernel, known = np.ones((3, 3), np.uint8), np.isfinite(distance_m)
    farthest = cv2.dilate(np.where(known, distance_m, -np.inf), kernel)
    nearest = cv2.erode(np.where(known, distance_m, np.inf), kernel)
    return farthest - nearest


def start_scan(predictor: Predictor, frame: Frame, pixels: ArrayLike) -> RangesJob:
    """The job of many pixels (N, 2), in the checkpoint's style for grids, after all questions
    about few pixels."""
    return predictor.start(frame, pixels, style=predictor.checkpoint.grid_style, priority=-1)


def scan(
    predictor: Predictor,
    frame: Frame,
    columns: int,
    rows: int,
    progress: Callable[[int, int], None] | None = None,
) -> Scan:
    """A whole grid; progress(done, total) is called about five times a second."""
    job = start_scan(predictor, frame, grid_pixels(frame.camera, columns, rows))
    with cancelled_by_errors([job]):
        while not job.finished:
            job.wait(0.2)
            if progress:
                progress(job.done, job.total)
    return gathered(job.wait(), frame, columns, rows)


def gathered(ranges: Ranges, frame: Frame, columns: int, rows: int) -> Scan:
    """The Scan of the answers to a grid, or to a list as one row of it."""
    colours = colours_at(frame.image, ranges.asked).reshape(rows, columns, 3)
    return Scan(ranges, columns, rows, colours)
