# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Cameras without distortion, as wide as is asked."""

from collections.abc import Sequence
from math import radians, tan

import numpy as np

from depthlm_ros.camera import Camera


def camera_across(width: int, height: int, degrees: float) -> Camera:
    """A camera that sees so many degrees from its left side to its right one."""
    focal = width / 2 / tan(radians(degrees) / 2)
    return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def drawn_camera(
    rng: np.random.Generator,
    degrees: tuple[float, float],
    widths: tuple[int, int],
    shapes: Sequence[float],
) -> Camera:
    """One at random.

    degrees: least and most across.
    widths: least and most pixels.
    shapes: width over height, one as likely as another.
    """
    across = rng.uniform(*degrees)
    width = int(rng.uniform(widths[0], widths[1] + 1))
    return camera_across(width, int(width / rng.choice(shapes)), across)
