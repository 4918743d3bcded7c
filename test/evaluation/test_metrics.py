# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""delta1 and its three denominators, by hand."""

import dataclasses
from math import isnan, nan, sqrt

import numpy as np
import pytest

from depthlm_ros.evaluation.metrics import (
    best_constant,
    bootstrap_interval,
    delta1,
    mean_of,
    measure,
    scene_numbers,
    share_interval,
)


def test_delta1_is_strict_and_the_same_both_ways():
    answers = [1.0, 1.2499, 1.25, 0.8, 0.8001]
    assert delta1(answers, [1.0] * 5).tolist() == [True, True, False, False, True]


def test_missing_zero_and_negative_answers_are_wrong():
    """The published scorer counts -1 against any label as right, both ratios being negative."""
    assert delta1([nan, 0.0, -1.0, float("inf")], [1.0] * 4).tolist() == [False] * 4


def test_every_failure_is_wrong_and_the_other_denominators_stand_beside():
    """Four points: a hit, a miss, one without a number, one that could not be asked in place."""
    m = measure([1.0, 3.0, nan, 2.0], [1.0, 2.0, 5.0, 2.0], [True, True, True, False])
    assert (m.points, m.answered, m.askable) == (4, 3, 3)
    assert m.delta1 == 2 / 4
    assert m.delta1_answered == 2 / 3
    assert m.delta1_askable == 1 / 3


def test_absrel_and_rmse_are_over_answered_points():
    m = measure([1.0, 3.0, nan], [2.0, 2.0, 5.0], [True] * 3)
    assert m.abs_rel == pytest.approx((0.5 + 0.5) / 2)
    assert m.rmse_m == pytest.approx(1.0)
    assert measure([4.0, 1.0], [1.0, 1.0], [True] * 2).rmse_m == pytest.approx(sqrt(4.5))


def test_nothing_answered_is_wrong_and_not_undefined():
    m = measure([nan, nan], [1.0, 2.0], [True, True])
    assert m.delta1 == 0.0
    assert isnan(m.delta1_answered) and isnan(m.abs_rel) and isnan(m.rmse_m)


def test_no_points_have_no_measure():
    m = measure([], [], [])
    assert m.points == 0
    assert isnan(m.delta1)


def test_the_mean_over_images_weighs_images_alike():
    """Pooled it would be 1 of 4; by image it is the mean of 1 and 0."""
    one, three = measure([1], [1], [True]), measure([9] * 3, [1] * 3, [True] * 3)
    mean = mean_of([one, three])
    assert mean.delta1 == 0.5
    assert (mean.points, mean.answered) == (4, 4)


def test_the_mean_over_images_leaves_out_what_is_undefined():
    unanswered = measure([nan], [1], [True])
    mean = mean_of([measure([1.5], [1], [True]), unanswered])
    assert mean.delta1 == 0.0
    assert mean.abs_rel == 0.5
    assert isnan(mean_of([]).delta1)
    assert all(isinstance(v, (int, float)) for v in dataclasses.astuple(mean))


def test_the_best_constant_covers_the_most_labels():
    metres, share = best_constant([1.0, 2.0, 2.2, 2.4, 9.0])
    assert share == pytest.approx(0.6) and 2.4 / 1.25 < metres < 2.0 * 1.25
    assert isnan(best_constant([])[0])


def test_the_interval_of_a_mean_is_that_of_the_textbook():
    """400 images, half of them right: 0.5 +- 1.96 * 0.5 / 20."""
    low, high = share_interval([0, 1] * 200, [1] * 400)
    assert (low, high) == (pytest.approx(0.451, abs=0.006), pytest.approx(0.549, abs=0.006))


def test_a_image_of_many_points_weighs_as_many():
    """Two images, 9 of 9 right and 0 of 1: drawn together 0.9, else all or nothing."""
    seen = set()
    low, high = bootstrap_interval(lambda times: seen.add(tuple(times)) or times @ [9, 0], 2)
    assert seen == {(2, 0), (1, 1), (0, 2)} and (low, high) == (0, 18)
    assert share_interval([9, 0], [9, 1]) == (0.0, 1.0)


def test_images_of_one_scene_tell_no_more_than_one_of_them():
    """100 scenes of ten equal images: as wide as of 100 images; taken for 1000 it is narrower."""
    hits, scenes = [0, 1] * 50, [f"room {n}" for n in range(100)]
    tenfold, numbers = np.repeat(hits, 10), scene_numbers(np.repeat(scenes, 10).tolist())
    alone = share_interval(hits, np.ones(100))
    assert share_interval(tenfold, np.ones(1000), numbers) == pytest.approx(alone)
    low, high = share_interval(tenfold, np.ones(1000))
    assert high - low < 0.4 * (alone[1] - alone[0])


def test_an_image_that_names_no_scene_is_one():
    numbers = scene_numbers(["a", "", "b", "a", ""])
    assert numbers[0] == numbers[3] and len(set(numbers.tolist())) == 4
    assert len(scene_numbers([])) == 0


def test_images_that_all_name_one_scene_are_drawn_by_themselves():
    """As where the name of a split stands there: nothing could be drawn otherwise."""
    assert scene_numbers(["train"] * 3).tolist() == [0, 1, 2]


def test_one_image_has_no_interval():
    assert all(isnan(end) for end in share_interval([3], [4]))


def test_draws_without_a_point_are_left_out():
    assert share_interval([1, 0, 0], [1, 0, 0]) == (1.0, 1.0)
    assert all(isnan(end) for end in share_interval([0, 0], [0, 0]))
