# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Angles of camera rotations and directions, in degrees.

Frames are optical: x right, y down, z forward. A rotation here turns the first camera into the
second: its columns are the second camera's axes in the first's frame. Knows nothing about words.
"""

import numpy as np


def rotation_angle(rotation) -> float:
    """Degrees in [0, 180] of a rotation (3, 3)."""
    # From sine and cosine: the arc cosine alone loses half the digits near 0 and 180 degrees.
    turn = np.array(
        [
            rotation[2, 1] - rotation[1, 2],
            rotation[0, 2] - rotation[2, 0],
            rotation[1, 0] - rotation[0, 1],
        ]
    )
    return float(np.degrees(np.arctan2(np.linalg.norm(turn), np.trace(rotation) - 1)))


def yaw_pitch_roll(rotation) -> tuple:
    """Degrees of the turns about y, then the new x, then the new z that make the rotation (VLM3).

    Positive: to the right, up, banked to the right. Pitch is in [-90, 90]; looking straight up
    or down roll is 0.
    """
    pitch = np.arcsin(np.clip(-rotation[1, 2], -1, 1))
    if abs(rotation[1, 2]) > 1 - 1e-12:
        yaw, roll = np.arctan2(-rotation[2, 0], rotation[0, 0]), 0.0
    else:
        yaw = np.arctan2(rotation[0, 2], rotation[2, 2])
        roll = np.arctan2(rotation[1, 0], rotation[1, 1])
    return tuple(float(angle) for angle in np.degrees([yaw, pitch, roll]))


def from_yaw_pitch_roll(yaw, pitch, roll) -> np.ndarray:
    """The rotation (3, 3) of these degrees; inverse of yaw_pitch_roll."""
    (cy, cp, cr), (sy, sp, sr) = (f(np.radians([yaw, pitch, roll])) for f in (np.cos, np.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def angle_between(first, second) -> float:
    """Degrees in [0, 180] between two vectors (3,); NaN where one is zero."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    if not (first.any() and second.any()):
        return float("nan")
    sine = np.linalg.norm(np.cross(first, second))
    return float(np.degrees(np.arctan2(sine, first @ second)))


def recall_to(errors_deg, limit_deg) -> np.ndarray:
    """(N,) in [0, 1]: the share of the thresholds from 0 to the limit that an error is below.

    Their mean is AUC@limit, exactly; some papers sum bins of a degree. Missing errors are NaN and
    below none.
    """
    errors = np.asarray(errors_deg, float)
    return np.nan_to_num(np.clip(1 - errors / limit_deg, 0, None), nan=0.0)
