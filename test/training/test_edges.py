# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Measures of edges, of the grid of tokens and of bias on maps whose answers are known."""

import numpy as np
import pytest
from testing.array_predictor import ArrayPredictor

from depthlm_ros.checkpoints import Checkpoint
from training.data.shards import Shot
from training.tools.edges import bias, edges, grid_power, maps_of, report

NEAR, FAR = np.log(2.0), np.log(4.0)


def wall(width=96, height=24):
    """Two flat stretches that meet in the middle, log metres."""
    return np.tile(np.where(np.arange(width) < width // 2, NEAR, FAR), (height, 1))


def blurred(pixels):
    """The wall with a linear rise of so many pixels."""
    place = np.arange(96) - 47.5
    share = np.clip(place / pixels + 0.5, 0, 1)
    return np.tile(NEAR + share * (FAR - NEAR), (24, 1))


@pytest.mark.parametrize("pixels", [5, 10, 20])
def test_a_linear_rise_is_eight_tenths_of_its_length(pixels):
    found = edges([(blurred(pixels), wall())])
    assert found.width_px == pytest.approx(0.8 * pixels, abs=1)
    assert (found.missed, found.count) == (0.0, 24)


def test_a_sharp_edge_has_no_width_and_a_flat_map_misses_it():
    assert edges([(wall(), wall())]) == (0.0, 0.0, 24)
    assert edges([(np.full((24, 96), NEAR), wall())]).missed == 1.0
    assert edges([(blurred(4).T, wall().T)]).count == 24  # along columns too


def test_no_edge_is_no_figure():
    flat = np.full((24, 96), NEAR)
    found = edges([(flat, flat)])
    assert np.isnan(found.width_px) and found.count == 0


def test_noise_has_no_grid_and_a_wave_of_the_tokens_length_is_one():
    rng = np.random.default_rng(0)
    noise = [rng.normal(0, 0.05, (200, 320)) for _ in range(4)]
    assert grid_power(noise, 32) == pytest.approx(1.0, abs=0.05)
    wave = 0.05 * np.sin(2 * np.pi * np.arange(320) / 32)
    assert grid_power([one + wave for one in noise], 32) > 4
    assert grid_power([one + wave for one in noise], 16) == pytest.approx(1.0, abs=0.1)


def test_a_slope_is_no_grid():
    """A floor that comes nearer: the trend of each row is taken away."""
    rng = np.random.default_rng(0)
    slope = np.linspace(0, 2, 320) + rng.normal(0, 0.01, (200, 320))
    assert grid_power([slope], 32) == pytest.approx(1.0, abs=0.1)


def test_bias_is_told_by_true_distance():
    true = np.log(np.array([[0.5, 3.0, 3.0, 6.0]]))
    predicted = true + np.log([[1.2, 0.9, 0.9, 0.5]])
    assert bias([(predicted, true)]) == [
        ("0 to 1 m", pytest.approx(np.log(1.2)), 1),
        ("2 to 4 m", pytest.approx(np.log(0.9)), 2),
        ("4 to 8 m", pytest.approx(np.log(0.5)), 1),
    ]


def test_maps_are_compared_on_whole_tokens_of_the_view(shot):
    """The frame is twice as fine as the view: 260 x 200 become 130 x 100 become 128 x 96."""
    one = shot(0, width=260, height=200)
    row = Checkpoint("t", "", "none", 55.0, "marker", "marker", {"marker": "tags"})
    predicted = np.full((96, 128), 3.0)
    ((found, true),) = maps_of(ArrayPredictor(predicted, row), [one], 32)
    assert found.shape == true.shape == (96, 128)
    assert np.exp(true[:, 0]) == pytest.approx(one.distance_m[1:193:2, 0], rel=0.01)
    assert isinstance(one, Shot) and "edge" in report([(found, true)], 32)
