# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rotations of quaternions, and points in one frame -> the same points in another, by a
geometry_msgs/Transform.

Knows the fields of the message and no ROS.
"""

from typing import Any

import numpy as np

from depthlm_ros.errors import Code, InputError


def rotation_matrix(x: float, y: float, z: float, w: float) -> np.ndarray:
    """(3, 3) of a quaternion, which is normalised first. InputError for one without length."""
    length = np.sqrt(x * x + y * y + z * z + w * w)
    if not np.isfinite(length) or length < 1e-6:
        raise InputError(
            f"the rotation is ({x:g}, {y:g}, {z:g}, {w:g}), a quaternion of length 1 is needed"
        )
    x, y, z, w = x / length, y / length, z / length, w / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def points_by(transform: Any, points: np.ndarray) -> np.ndarray:
    """Points (N, 3) in metres, NaN where unknown, moved by a Transform.

    As tf2 hands it out for (target, source): what stands in `source` comes to stand in `target`.
    InputError for a rotation without length.
    """
    try:
        rotation = rotation_matrix(*(getattr(transform.rotation, axis) for axis in "xyzw"))
    except InputError as error:
        raise InputError(
            f"{error}: look at who publishes the transform on /tf", Code.NO_TRANSFORM
        ) from error
    move = transform.translation
    moved: np.ndarray = np.asarray(points, np.float64) @ rotation.T + (move.x, move.y, move.z)
    return moved
