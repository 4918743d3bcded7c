# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Range images of Waymo's lidars as points in the world.

Their pixels hold ranges of rays whose angles follow from row and column, the first row is the
highest; the top lidar turns while the car drives and has a pose for each pixel.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from training.curate.formats.files import known_points
from training.curate.formats.waymo_rows import LASER, Row, index_of, raster_of, row_of
from training.curate.geometry import pose, transformed
from training.curate.sample import Skip

TOP = 1


@lru_cache(maxsize=1)
def cloud_of(folder: Path, segment: str, stamp: int) -> np.ndarray:
    """(N, 3) metres in the world: first returns of all lidars."""
    rows = index_of(folder / "lidar" / f"{segment}.parquet", LASER)
    lasers = [laser for when, laser in rows if when == stamp]
    clouds = [lidar_points(folder, segment, stamp, laser)[0] for laser in lasers]
    points = np.concatenate([np.empty((0, 3)), *clouds])
    return known_points(points, f"{folder}/lidar/{segment}.parquet, {stamp}")


def lidar_points(
    folder: Path, segment: str, stamp: int, laser: int
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) first returns in the world, and (H, W) where in the range image they stand."""

    def row(component: str, number: tuple[int, int]) -> Row:
        return row_of(folder / component / f"{segment}.parquet", number)

    raster = raster_of(row("lidar", (stamp, laser)), "range_image_return1")
    ranges = raster[..., 0].astype(np.float64)
    told = row("lidar_calibration", (0, laser))
    mount = matrix_of(told["extrinsic.transform"])
    high, wide = ranges.shape
    up = told["beam_inclination.values"]
    if up is None or not len(up):
        low, top = told["beam_inclination.min"], told["beam_inclination.max"]
        up = low + (np.arange(high) + 0.5) / high * (top - low)
    if len(up) != high:
        raise Skip("broken range image", f"{folder}/lidar/{segment}: {high} rows, {len(up)} beams")
    measured = np.isfinite(ranges) & (ranges > 0)
    v, u = np.nonzero(measured)
    up = np.asarray(up)[::-1][v]
    around = np.pi * (1 - (2 * u + 1) / wide) - np.arctan2(mount[1, 0], mount[0, 0])
    flat = [np.cos(around) * np.cos(up), np.sin(around) * np.cos(up), np.sin(up)]
    in_car = transformed(np.stack(flat, axis=1) * ranges[measured][:, None], mount)
    if laser != TOP:
        car = matrix_of(row("vehicle_pose", (stamp, 0))["world_from_vehicle.transform"])
        return transformed(in_car, car), measured
    poses = raster_of(row("lidar_pose", (stamp, laser)), "range_image_return1")
    poses = poses[measured].astype(np.float64)
    return _turned(in_car, poses[:, :3]) + poses[:, 3:], measured


def _turned(points: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(N, 3), each turned by its own roll, then pitch, then yaw (N, 3)."""
    (x, y, z), cos, sin = points.T, np.cos(angles.T), np.sin(angles.T)
    y, z = cos[0] * y - sin[0] * z, sin[0] * y + cos[0] * z
    x, z = cos[1] * x + sin[1] * z, cos[1] * z - sin[1] * x
    x, y = cos[2] * x - sin[2] * y, sin[2] * x + cos[2] * y
    return np.stack([x, y, z], axis=1)


def matrix_of(values: np.ndarray) -> np.ndarray:
    """The pose (4, 4) of a row's 16 numbers."""
    matrix = np.reshape(values, (4, 4)).astype(np.float64)
    return pose(matrix[:3, :3], matrix[:3, 3])
