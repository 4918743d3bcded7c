# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Points moved by the quaternion and translation of a transform, to the number."""

from types import SimpleNamespace

import numpy as np
import pytest

from depthlm_ros.errors import Code, InputError
from depthlm_ros.msgs.transforms import points_by

HALF = np.sqrt(0.5)


def transform(rotation, translation=(0, 0, 0)):
    return SimpleNamespace(
        rotation=SimpleNamespace(**dict(zip("xyzw", rotation, strict=True))),
        translation=SimpleNamespace(**dict(zip("xyz", translation, strict=True))),
    )


def test_a_camera_that_looks_ahead_on_a_robot():
    """REP-103: what is right, down and ahead of the camera is -y, -z and x of the robot."""
    optical_to_base = transform((-0.5, 0.5, -0.5, 0.5), (0.2, 0.0, 1.5))
    seen = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 5.0]])
    assert points_by(optical_to_base, seen) == pytest.approx(
        np.array([[3.2, -1.0, -0.5], [5.2, 0.0, 1.5]])
    )


@pytest.mark.parametrize(
    "rotation, expected",
    [
        ((0, 0, 0, 1), (1, 2, 3)),
        ((HALF, 0, 0, HALF), (1, -3, 2)),
        ((0, HALF, 0, HALF), (3, 2, -1)),
        ((0, 0, HALF, HALF), (-2, 1, 3)),
        ((0, 0, 2, 2), (-2, 1, 3)),  # not quite of length one
    ],
)
def test_quarter_turns_about_each_axis(rotation, expected):
    assert points_by(transform(rotation), np.array([[1.0, 2.0, 3.0]]))[0] == pytest.approx(
        expected
    )


def test_what_is_unknown_stays_unknown_and_the_others_move():
    moved = points_by(transform((0, 0, 0, 1), (1, 1, 1)), np.array([[np.nan] * 3, [0, 0, 1]]))
    assert np.isnan(moved[0]).all() and moved[1].tolist() == [1, 1, 2]


@pytest.mark.parametrize("rotation", [(0, 0, 0, 0), (np.nan, 0, 0, 1)])
def test_a_rotation_that_is_none_is_refused(rotation):
    with pytest.raises(InputError) as caught:
        points_by(transform(rotation), np.zeros((1, 3)))
    assert caught.value.code == Code.NO_TRANSFORM
