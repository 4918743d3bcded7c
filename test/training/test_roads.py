# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Open roads: far, seen by any lens from any height, a function of their number."""

import numpy as np
import pytest

from training.scenes import roads
from training.synthetic import drawer


@pytest.fixture(scope="module")
def shots():
    return [roads.road_shot(seed) for seed in range(12)]


def test_images_are_a_function_of_their_number_alone(shots):
    again = roads.road_shot(5)
    assert np.array_equal(again.frame.image, shots[5].frame.image)
    assert np.array_equal(again.distance_m, shots[5].distance_m, equal_nan=True)
    assert not np.array_equal(shots[4].frame.image, shots[5].frame.image)


def test_they_reach_far_and_no_farther_than_said(shots):
    assert {shot.kind for shot in shots} == {"road", "yard"}
    farthest = [np.nanmax(shot.distance_m) for shot in shots]
    assert max(farthest) <= roads.REACH_M
    assert np.median(farthest) > 30
    assert all(np.isfinite(shot.distance_m).mean() > 0.3 for shot in shots)


def test_cameras_are_of_cars_robots_and_drones_with_any_lens():
    rng = np.random.default_rng(0)
    place = roads.road(rng)
    heights = np.array([roads.riding(rng, place).origin[2] for _ in range(300)])
    shares = [
        np.mean((low <= heights) & (heights <= high))
        for low, high in ((1.2, 1.9), (0.3, 1.0), (2.0, 7.0))
    ]
    assert np.allclose(shares, (0.6, 0.25, 0.15), atol=0.08)
    lenses = [roads.any_camera(rng) for _ in range(300)]
    angles = np.degrees([2 * np.arctan(c.width / 2 / c.fx) for c in lenses])
    assert 37 < angles.min() < 45 and 88 < angles.max() < 96
    assert max(c.width / c.height for c in lenses) > 3


def test_held_out_roads_are_none_that_training_sees():
    draw = drawer("road")
    held = draw(5, "heldout")
    assert held.seed == 5 + roads.HELD_OUT and draw(5, "train").seed == 5
