# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Cameras at random, and which of their images are worth showing.

Knows nothing about places.
"""

import numpy as np

from depthlm_ros.camera import Camera


def random_camera(rng) -> Camera:
    """280-400 pixels wide, 50-80 degrees wide, focal length 230 px at least."""
    tangent = np.tan(np.radians(rng.uniform(50, 80)) / 2)
    width = int(rng.uniform(max(280, 460 * tangent), 401))
    height = int(width / rng.choice([4 / 3, 4 / 3, 3 / 2, 16 / 9]))
    focal = width / 2 / tangent
    cx, cy = (width - 1) / 2, (height - 1) / 2
    fy = focal * rng.uniform(0.99, 1.01)
    return Camera(width, height, focal, fy, cx + rng.normal(0, 3), cy + rng.normal(0, 3))


def worth_showing(distance_m) -> bool:
    """Not mostly a surface before the lens, and nothing nearer than an image can show."""
    return np.mean(distance_m < 0.4) < 0.02 and np.nanmedian(distance_m) > 0.7
