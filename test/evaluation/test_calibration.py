# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Split-conformal widening: by hand, by simulation, and what an entry may hold."""

from math import log, nan

import numpy as np
import pytest

from depthlm_ros.calibration import Calibration
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.fit import conformity, fewest_images, fitted_widening


def test_conformity_is_the_log_distance_to_the_nearer_end_and_negative_inside():
    scores = conformity([4.0, 1.0, 2.0, 1.9], [1.0, 2.0, 1.0, 1.0], [2.0, 4.0, 4.0, 2.0])
    assert scores == pytest.approx([log(2), log(2), -log(2), -log(2 / 1.9)])


def test_an_interval_that_reaches_down_to_zero_holds_everything_below():
    assert conformity([3.0, 0.1], [0.0, 0.0], [2.0, 2.0]) == pytest.approx([log(1.5), log(0.05)])


def test_one_point_a_image_is_the_published_order_statistic():
    """ceil((K + 1) 0.9)-th smallest of K: the 18th of 19, the last of 9."""
    for images, rank in ((19, 18), (9, 9), (10, 10), (99, 90), (100, 91)):
        scores = np.random.default_rng(images).permutation(images) / 7
        c, _ = fitted_widening(scores, np.arange(images))
        assert c == pytest.approx((rank - 1) / 7)


def test_every_image_has_the_same_weight_however_many_points_it_has():
    """19 images score 0 to 18; the first one's thousand points would drown the others."""
    scores = np.concatenate([np.zeros(1000), np.arange(1, 19)])
    image = np.concatenate([np.zeros(1000, int), np.arange(1, 19)])
    assert fitted_widening(scores, image)[0] == 17


def test_fewer_images_than_the_level_needs_are_refused():
    assert fewest_images() == 9
    with pytest.raises(InputError):
        fitted_widening(np.zeros(80), np.repeat(np.arange(8), 10))


def test_new_scenes_are_covered_as_promised_although_points_of_a_scene_are_alike():
    """An overconfident model, its errors shared within a scene: 20 fits on 50 scenes each."""
    rng, inside = np.random.default_rng(3), []
    for _ in range(20):
        image = np.repeat(np.arange(250), 8)
        error = rng.normal(0, 0.4, 250)[image] + rng.normal(0, 0.2, 2000)
        scores = conformity(np.exp(error), *np.exp([[-0.2] * 2000, [0.2] * 2000]))
        fit = image < 50
        inside.append(np.mean(scores[~fit] <= fitted_widening(scores[fit], image[fit])[0]))
    assert np.mean(inside) == pytest.approx(0.905, abs=0.02)


def test_the_interval_of_c_comes_from_whole_scenes():
    """Ten equal points a scene tell no more than one: 95 % of c is as wide."""
    scores = np.random.default_rng(1).normal(size=100)
    _, alone = fitted_widening(scores, np.arange(100))
    _, tenfold = fitted_widening(np.repeat(scores, 10), np.repeat(np.arange(100), 10))
    assert alone == tenfold
    assert alone[0] < np.quantile(scores, 0.9) < alone[1]
    images, scene = np.arange(1000), np.repeat(np.arange(100), 10)
    of_scenes = fitted_widening(np.repeat(scores, 10), images, scene)[1]
    assert of_scenes == pytest.approx(alone, abs=0.15)
    of_images = fitted_widening(np.repeat(scores, 10), images)[1]
    assert np.diff(of_images) < 0.6 * np.diff(of_scenes)


def test_widening_multiplies_both_ends_in_log_space():
    lower, upper = Calibration(log(2)).widened([1.0, nan, 0.0, 0.0], [3.0, nan, 2.0, 0.0])
    np.testing.assert_allclose(lower, [0.5, nan, 0.0, 0.0])
    np.testing.assert_allclose(upper, [6.0, nan, 4.0, 0.0])


def test_shrinking_never_crosses_and_meets_in_the_geometric_mean():
    lower, upper = Calibration(-log(2)).widened([1.0, 2.0], [16.0, 2.5])
    np.testing.assert_allclose(lower, [2.0, np.sqrt(5)])
    np.testing.assert_allclose(upper, [8.0, np.sqrt(5)])


@pytest.mark.parametrize(
    "content",
    [
        {"widening": nan},
        {"widening": "0.1"},
        {"widening": 0.1, "level": 0.95},
        {"widening": 0.1, "kind": "depth"},
    ],
    ids=str,
)
def test_an_impossible_calibration_is_refused(content):
    with pytest.raises(InputError):
        Calibration(**content)
