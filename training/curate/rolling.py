# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Where a rolling shutter that moves sees points: each row or column is exposed at another time.
Knows nothing about any one data set.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from depthlm_ros.camera import Camera


class Shutter(NamedTuple):
    """How an image is read out.

    begin_s: when its first row or column is exposed, after the time of the points' pose.
    readout_s: from there to the last one.
    axis: 0 where it goes column by column, 1 row by row.
    backwards: from the right or the bottom.
    """

    begin_s: float
    readout_s: float
    axis: int
    backwards: bool


def as_exposed(
    points: np.ndarray, camera: Camera, shutter: Shutter, drift: np.ndarray, spin: np.ndarray
) -> np.ndarray:
    """(N, 3) of points (N, 3) in the optical frame, each as the camera stood when it exposed the
    point's pixel; the time and the pixel are found in turns.

    drift, spin: (3,) the camera's own velocity [m/s] and [rad/s], in its frame, constant.
    """
    seen, pinhole = points, replace(camera, distortion="none", coefficients=())
    length = (camera.width, camera.height)[shutter.axis]
    for lens in (pinhole, pinhole, camera, camera):  # the cheap one comes near
        along = (lens.pixels(seen)[:, shutter.axis] + 0.5) / length
        along = np.nan_to_num(1 - along if shutter.backwards else along, nan=0.5).clip(0, 1)
        later = (shutter.begin_s + shutter.readout_s * along)[:, None]
        seen = Rotation.from_rotvec(-spin * later).apply(points - drift * later)
    return seen


def may_be_seen(points: np.ndarray, camera: Camera) -> np.ndarray:
    """(N,) bool: in front and, by 1 m and a fifth of the view, not beside it."""
    sides = np.linspace(0, 1, 9)
    around = np.stack(np.meshgrid(sides, sides), axis=-1).reshape(-1, 2)
    rays = camera.rays(around * (camera.width - 1, camera.height - 1))
    low, high = (f(rays[:, :2] / rays[:, 2:], axis=0) for f in (np.nanmin, np.nanmax))
    margin = (high - low) / 5
    x_y, z = points[:, :2], points[:, 2:]
    beside = (x_y < z * (low - margin) - 1) | (x_y > z * (high + margin) + 1)
    seen: np.ndarray = (z[:, 0] > 0) & ~beside.any(axis=1)
    return seen
