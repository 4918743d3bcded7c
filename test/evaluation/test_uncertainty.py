# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Coverage by bin and camera, and rejection by width against distance: by hand."""

from dataclasses import replace
from math import log, nan

import numpy as np
import pytest

from depthlm_ros.evaluation.evaluate import Points
from depthlm_ros.evaluation.fit import unknown_ratio
from depthlm_ros.evaluation.uncertainty import tables, uncertainty


def points(label, answer, lower, upper, image=None, focal_px=None):
    """Points of one image each, unless said."""
    label, answer, lower, upper = (
        np.asarray(c, np.float64) for c in (label, answer, lower, upper)
    )
    count = len(label)
    return Points(
        answer_m=answer,
        greedy_m=answer,
        median_m=answer,
        lower_m=lower,
        upper_m=upper,
        stretch=np.ones(count),
        status=np.zeros(count, np.uint8),
        label_m=label,
        image=np.arange(count) if image is None else np.asarray(image),
        scene=np.arange(count) if image is None else np.asarray(image),
        focal_px=np.full(count, 500.0) if focal_px is None else np.asarray(focal_px, float),
        label_kind="distance",
        answer_kind="distance",
    )


FOUR = points([0.5, 3, 3, 30], [1, 3, 3, 9], [0.9, 2, 2, 8], [1.1, 4, nan, 32])


def test_coverage_counts_what_has_an_interval_and_says_how_many_have_none():
    everything = uncertainty(FOUR).coverage[0]
    assert (everything.group, everything.points, everything.known) == ("all", 4, 3)
    assert everything.inside == pytest.approx(2 / 3)
    assert everything.log_width == pytest.approx(log(2))


def test_bins_are_of_the_true_distance_and_empty_ones_are_left_out():
    groups = {row.group: row for row in uncertainty(FOUR).coverage}
    assert list(groups)[1:-1] == ["0 to 1 m", "2 to 4 m", "over 16 m"]
    assert [groups[name].inside for name in ("0 to 1 m", "2 to 4 m", "over 16 m")] == [0, 1, 1]


def test_images_are_grouped_by_focal_length_in_thirds():
    one = np.ones(9)
    focal_px = np.repeat([200, 400, 600], 3)
    found = uncertainty(points(one, one, one * 0.9, one * 1.1, focal_px=focal_px))
    cameras = [row for row in found.coverage if row.group.startswith("fx")]
    assert [(row.group, row.points) for row in cameras] == [
        ("fx 200 to 200 px", 3),
        ("fx 400 to 400 px", 3),
        ("fx 600 to 600 px", 3),
    ]


@pytest.mark.parametrize(
    "focal_px, groups",
    [
        ([500] * 9 + [1000], [("fx 500 to 500 px", 9), ("fx 1000 to 1000 px", 1)]),
        ([500.1, 500.3, 500.3], [("fx 500.1 to 500.1 px", 1), ("fx 500.3 to 500.3 px", 2)]),
        ([500.0] * 3, [("fx 500 to 500 px", 3)]),
        (
            [400, 500, 600, 700, 800, 900],
            [("fx 400 to 500 px", 2), ("fx 600 to 700 px", 2), ("fx 800 to 900 px", 2)],
        ),
    ],
)
def test_each_camera_is_a_group_and_of_many_a_third(focal_px, groups):
    one = np.ones(len(focal_px))
    found = uncertainty(points(one, one, one * 0.9, one * 1.1, focal_px=focal_px))
    cameras = [row for row in found.coverage if row.group.startswith("fx")]
    assert [(row.group, row.points) for row in cameras] == groups


def test_rejecting_the_widest_wins_where_width_knows_what_is_wrong():
    """Ten answers, 1 to 10 m: the two wrong ones are near and wide, the farthest are right."""
    label = np.arange(1.0, 11)
    answer = label * np.where(label <= 2, 2, 1)
    width = np.where(label <= 2, 3.0, 1.1)
    found = uncertainty(points(label, answer, answer / width, answer * width)).rejection
    assert (found.all, found.by_width, found.by_distance) == pytest.approx((0.8, 1.0, 0.75))
    assert found.gain == pytest.approx(0.25)
    assert found.gain_interval[0] <= 0.25 <= found.gain_interval[1]


def test_what_has_no_answer_is_rejected_first_by_either_rule():
    label = np.arange(1.0, 6)
    answer = np.array([nan, 2, 3, 4, 5])
    found = uncertainty(points(label, answer, answer / 1.1, answer * 1.1)).rejection
    assert (found.all, found.by_width, found.by_distance) == pytest.approx((0.8, 1.0, 1.0))


def test_a_fifth_is_a_fifth_where_it_cuts_through_a_point():
    """Of three points 0.6 are rejected: the worst counts for 0.4 of 2.4."""
    label = np.array([1.0, 2, 3])
    answer = np.array([1.0, 2, 9])
    found = uncertainty(
        points(label, answer, answer / [1.1, 1.2, 2], answer * [1.1, 1.2, 2])
    ).rejection
    assert found.by_width == pytest.approx(2 / 2.4)


def test_intervals_of_coverage_come_from_whole_images():
    """A hundred points of one image are one draw."""
    label = np.ones(400)
    lower = np.where(np.arange(400) % 200 < 100, 0.5, 2.0)  # images inside and outside in turn
    four = points(label, label, lower, lower + 1, np.repeat([0, 1, 2, 3], 100))
    alone = points(label, label, lower, lower + 1)
    wide, narrow = (uncertainty(p).coverage[0].interval for p in (four, alone))
    assert wide == (0.0, 1.0)
    assert 0.44 < narrow[0] < 0.5 < narrow[1] < 0.56


def test_without_a_single_interval_there_is_nothing_to_say():
    assert uncertainty(replace(FOUR, lower_m=np.full(4, nan))) is None


def test_the_tables_hold_every_group_and_the_gain():
    lines = tables(uncertainty(FOUR)).splitlines()
    assert lines[1].split()[:3] == ["all", "4", "0.667"] and lines[1].endswith("1 without")
    assert any(line.startswith("over 16 m") for line in lines)
    assert lines[-1].split()[:3] == ["width", "minus", "distance"]


def bands(*of_width):
    """Points at 2, 4, 8, 16 and 32 m in turn; (upper / lower, count, right) of each band."""
    label, answer, ratio = [], [], []
    for width, count, right in of_width:
        metres = 2.0 ** (1 + np.arange(count) % 5)
        label += list(metres)
        answer += list(np.where(np.arange(count) < right, metres, metres * 3))
        ratio += [width] * count
    ends = np.sqrt(ratio)
    return points(label, answer, answer / ends, answer * ends)


def test_the_unknown_width_is_where_a_constant_does_better():
    """A constant has a fifth of these; the widest being all wrong does not make others doubted."""
    found = unknown_ratio(bands((1.2, 40, 40), (2.0, 20, 10), (4.0, 60, 0)))
    assert found == pytest.approx(4.0)
    found = unknown_ratio(bands((1.2, 40, 40), (2.0, 20, 2), (4.0, 60, 0)))
    assert found == pytest.approx(2.0)


def test_there_is_no_unknown_width_where_every_answer_beats_a_constant():
    assert unknown_ratio(bands((1.2, 40, 40), (2.0, 20, 10), (4.0, 60, 30))) is None
    assert unknown_ratio(bands((1.2, 40, 40), (4.0, 8, 0))) is None  # too few images
