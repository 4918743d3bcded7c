# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Points that a cloud leaves out: uncertain ones, and those that hang between two surfaces."""

from dataclasses import replace

import numpy as np
import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.ranges import Ranges
from depthlm_ros.scan import Scan, stride_shape, trusted

SHAPE = (6, 8)


def scan_of(distance_m, spread=None):
    """A Scan of distances (rows, columns), lower and upper at `spread` of them on either side."""
    rows, columns = distance_m.shape
    camera = Camera(columns, rows, 10.0, 10.0, columns / 2, rows / 2)
    v, u = np.mgrid[:rows, :columns]
    asked = np.stack([u.ravel(), v.ravel()], axis=1).astype(float)
    flat = distance_m.ravel().astype(float)
    spread = np.full(len(flat), 0.1) if spread is None else np.ravel(spread)
    values = np.stack([flat, flat * (1 - spread), flat * (1 + spread)], axis=1)
    ranges = Ranges.along(camera.rays(asked), values, np.zeros(len(flat), np.uint8), asked)
    return Scan(ranges, columns, rows, np.zeros((rows, columns, 3), np.uint8))


def left_out(found):
    return np.isnan(found.points).all(axis=2)


def test_nothing_is_left_out_unless_it_is_wanted():
    scan = scan_of(np.where(np.arange(8) < 4, 2.0, 5.0) * np.ones(SHAPE))
    assert trusted(scan) is scan


def test_the_two_sides_of_an_edge_are_left_out_and_slopes_are_not():
    columns = np.array([2.0, 2.1, 2.2, 2.3, 5.0, 5.2, 5.4, 5.6])
    found = trusted(scan_of(columns * np.ones(SHAPE)), max_edge=0.2)
    assert left_out(found).tolist() == [[False] * 3 + [True] * 2 + [False] * 3] * 6
    for name in ("distance_m", "z_m", "lower_m", "upper_m", "stddev_m"):
        known = getattr(found.ranges, name).reshape(SHAPE)
        assert np.array_equal(np.isnan(known), left_out(found)), name
    assert not left_out(trusted(scan_of(columns * np.ones(SHAPE)), max_edge=2.0)).any()


def test_a_hole_is_no_edge_and_hides_none():
    distance = np.full(SHAPE, 2.0)
    distance[2, 2] = np.nan
    distance[2, 3] = 4.0
    gone = left_out(trusted(scan_of(distance), max_edge=0.3))
    assert gone[2, 2] and gone[1:4, 2:5].all()
    assert gone.sum() == 9
    distance[2, 3] = 2.0
    assert left_out(trusted(scan_of(distance), max_edge=0.3)).sum() == 1


def test_uncertain_points_are_left_out_and_those_of_unknown_deviation():
    spread = np.full(SHAPE, 0.05)
    spread[1, 1], spread[4, 6] = 0.5, np.nan
    gone = left_out(trusted(scan_of(np.full(SHAPE, 3.0), spread), max_stddev=0.1))
    assert {(int(v), int(u)) for v, u in np.argwhere(gone)} == {(1, 1), (4, 6)}


@pytest.mark.parametrize(
    ("stride", "shape"), [(1, (640, 480)), (2, (320, 240)), (3, (213, 160)), (1000, (1, 1))]
)
def test_a_stride_is_a_grid(stride, shape):
    assert stride_shape(640, 480, stride) == shape


def test_a_point_that_is_left_out_is_not_uncertain():
    scan = scan_of(np.full(SHAPE, 2.0))
    unsure = replace(scan.ranges, uncertain=np.arange(48) < 4)
    doubted = np.where(np.arange(48) < 2, 0.9, 0.1)
    wide = replace(unsure, stddev_m=unsure.distance_m * doubted)
    found = trusted(replace(scan, ranges=wide), max_stddev=0.5)
    assert np.flatnonzero(found.ranges.uncertain).tolist() == [2, 3]
