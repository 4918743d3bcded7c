# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Furniture from an arm's distance: near, of true distance, a function of the number."""

import numpy as np

from training.scenes import near


def test_images_are_near_and_a_function_of_their_number_alone(assets):
    shots = [near.near_shot(assets, seed) for seed in (3, 40, 77)]
    for shot in shots:
        known = shot.distance_m[np.isfinite(shot.distance_m)]
        assert len(known) > 0.7 * shot.distance_m.size
        assert 0.3 < np.median(known) < 1.6
        assert known.min() > 0.05
        camera = shot.frame.camera
        assert 41 < 2 * np.degrees(np.arctan(camera.width / 2 / camera.fx)) < 86
    again = near.near_shot(assets, 40)
    assert np.array_equal(again.frame.image, shots[1].frame.image)
    assert np.array_equal(again.distance_m, shots[1].distance_m, equal_nan=True)


def test_a_view_that_is_far_or_flat_or_blocked_is_not_near():
    ramp = np.linspace(0.5, 1.0, 400).reshape(20, 20)
    assert near.is_near(ramp)
    assert near.is_near(np.linspace(0.66, 0.94, 400).reshape(20, 20))  # its tenths are apart
    assert not near.is_near(ramp + 2)
    assert not near.is_near(np.full((20, 20), 0.7))
    assert not near.is_near(np.where(ramp < 0.6, 0.1, ramp))
    assert not near.is_near(np.where(ramp < 0.8, np.nan, ramp))
