# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rows of repeated timings: what they tell and whether the goal is met."""

import pytest

from depthlm_ros.bench.latency import HEADER, Latency, latency

SECONDS = [0.001 * n for n in range(1, 22)]


def test_a_row_tells_median_95_per_cent_and_the_longest_in_milliseconds():
    row = latency("query", SECONDS)
    assert (row.n, row.goal) == (21, "")
    assert (row.median_ms, row.p95_ms, row.max_ms) == pytest.approx((11.0, 20.0, 21.0))
    assert row.line().split() == ["query", "21", "11.00", "ms", "20.00", "ms", "21.00", "ms"]


@pytest.mark.parametrize(
    ("measure", "limit_ms", "goal"),
    [
        ("median", 11.5, "median < 11.5 ms: met"),
        ("median", 10, "median < 10 ms: missed"),
        ("max", 22, "max < 22 ms: met"),
        ("max", 20.5, "max < 20.5 ms: missed"),
    ],
)
def test_a_goal_is_about_the_median_or_the_longest(measure, limit_ms, goal):
    assert latency("query", SECONDS, measure, limit_ms).goal == goal


def test_what_was_not_measured_says_so_in_its_row():
    line = Latency("other library", goal="not installed").line()
    assert line.split() == ["other", "library", "0", "-", "-", "-", "not", "installed"]
    assert line.index("not installed") == HEADER.index("goal")
