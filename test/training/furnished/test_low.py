# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rooms seen by a robot on their floor."""

import numpy as np

from training import synthetic
from training.scenes import low
from training.scenes.furnished import layouts
from training.scenes.furnished.library import library


def test_images_show_rooms_and_are_functions_of_their_number(assets):
    shots = [low.low_shot(assets, seed) for seed in (3, 40)]
    for shot in shots:
        height, width = shot.distance_m.shape
        assert (width, height) == (shot.frame.camera.width, shot.frame.camera.height)
        assert shot.kind.startswith("low_") and low.is_worth_it(shot.distance_m)
    again = synthetic.drawer("low", assets)(40)
    assert np.array_equal(again.frame.image, shots[1].frame.image)
    other = synthetic.drawer("low", assets)(40, "heldout")
    assert not np.array_equal(other.frame.image, again.frame.image)


def test_cameras_stand_low_and_touch_nothing(assets):
    rng = np.random.default_rng(5)
    build = layouts.living(rng, library(str(assets), False, False))
    scene = build.finished()[0]
    poses = [pose for pose in (low.driving(rng, build, scene) for _ in range(40)) if pose]
    heights = np.array([pose.origin[2] for pose in poses])
    assert len(poses) > 5 and 0.06 <= heights.min() < 0.2 < heights.max() <= 0.5
    floor = scene.cast(
        np.array([pose.origin for pose in poses]), np.tile([0.0, 0, -1], (len(poses), 1))
    )
    np.testing.assert_allclose(floor.distance, heights, atol=0.05)


def test_what_is_shown_is_no_bare_wall_and_not_before_the_lens():
    ramp = np.linspace(0.4, 2.0, 400).reshape(20, 20)
    assert low.is_worth_it(ramp)
    assert low.is_worth_it(np.linspace(0.7, 1.3, 400).reshape(20, 20))  # its tenths are apart
    assert not low.is_worth_it(np.full((20, 20), 0.7))
    assert not low.is_worth_it(np.where(ramp < 0.5, 0.1, ramp))
    assert not low.is_worth_it(np.where(ramp < 1.0, np.nan, ramp))
