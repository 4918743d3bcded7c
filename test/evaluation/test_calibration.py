# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Split-conformal widening: by hand, by simulation, and what a row may say."""

from math import log, nan

import numpy as np
import pytest

from depthlm_ros.calibration import Calibration, conformity, fitted_widening
from depthlm_ros.errors import InputError


def test_conformity_is_the_log_distance_to_the_nearer_end_and_negative_inside():
    scores = conformity([4.0, 1.0, 2.0, 1.9], [1.0, 2.0, 1.0, 1.0], [2.0, 4.0, 4.0, 2.0])
    assert scores == pytest.approx([log(2), log(2), -log(2), -log(2 / 1.9)])


def test_an_interval_that_reaches_down_to_zero_holds_everything_below():
    assert conformity([3.0, 0.1], [0.0, 0.0], [2.0, 2.0]) == pytest.approx([log(1.5), log(0.05)])


def test_one_point_a_picture_is_the_published_order_statistic():
    """ceil((K + 1) 0.9)-th smallest of K: the 18th of 19, the last of 9."""
    for pictures, rank in ((19, 18), (9, 9), (10, 10), (99, 90), (100, 91)):
        scores = np.random.default_rng(pictures).permutation(pictures) / 7
        c, _ = fitted_widening(scores, np.arange(pictures))
        assert c == pytest.approx((rank - 1) / 7)


def test_every_picture_has_the_same_weight_however_many_points_it_has():
    """19 pictures score 0 to 18; the first one's thousand points would drown the others."""
    scores = np.concatenate([np.zeros(1000), np.arange(1, 19)])
    picture = np.concatenate([np.zeros(1000, int), np.arange(1, 19)])
    assert fitted_widening(scores, picture)[0] == 17


def test_fewer_pictures_than_the_level_needs_are_refused():
    with pytest.raises(InputError, match="9 pictures at least .* got 8"):
        fitted_widening(np.zeros(80), np.repeat(np.arange(8), 10))


def test_new_scenes_are_covered_as_promised_although_points_of_a_scene_are_alike():
    """An overconfident model, its errors shared within a scene: 20 fits on 50 scenes each."""
    rng, inside = np.random.default_rng(3), []
    for _ in range(20):
        picture = np.repeat(np.arange(250), 8)
        error = rng.normal(0, 0.4, 250)[picture] + rng.normal(0, 0.2, 2000)
        scores = conformity(np.exp(error), *np.exp([[-0.2] * 2000, [0.2] * 2000]))
        fit = picture < 50
        inside.append(np.mean(scores[~fit] <= fitted_widening(scores[fit], picture[fit])[0]))
    assert np.mean(inside) == pytest.approx(0.905, abs=0.02)


def test_the_interval_of_c_comes_from_whole_scenes():
    """Ten equal points a scene tell no more than one: 95 % of c is as wide."""
    scores = np.random.default_rng(1).normal(size=100)
    _, alone = fitted_widening(scores, np.arange(100))
    _, tenfold = fitted_widening(np.repeat(scores, 10), np.repeat(np.arange(100), 10))
    assert alone == tenfold
    assert alone[0] < np.quantile(scores, 0.9) < alone[1]


def test_widening_multiplies_both_ends_in_log_space():
    lower, upper = Calibration(log(2)).widened([1.0, nan, 0.0, 0.0], [3.0, nan, 2.0, 0.0])
    np.testing.assert_allclose(lower, [0.5, nan, 0.0, 0.0])
    np.testing.assert_allclose(upper, [6.0, nan, 4.0, 0.0])


def test_shrinking_never_crosses_and_meets_in_the_geometric_mean():
    lower, upper = Calibration(-log(2)).widened([1.0, 2.0], [16.0, 2.5])
    np.testing.assert_allclose(lower, [2.0, np.sqrt(5)])
    np.testing.assert_allclose(upper, [8.0, np.sqrt(5)])


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"widening": nan}, "widening is nan"),
        ({"widening": "0.1"}, "widening is '0.1'"),
        ({"widening": 0.1, "level": 0.95}, "level is 0.95, allowed: 0.9"),
        ({"widening": 0.1, "kind": "depth"}, "kind is 'depth', allowed: distance, z"),
    ],
)
def test_an_impossible_calibration_is_refused(entries, words):
    with pytest.raises(InputError, match=words):
        Calibration(**entries)
