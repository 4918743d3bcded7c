# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from training.curate.geometry import (
    NS,
    OPTICAL_FROM_FORWARD,
    Track,
    inverse,
    is_hidden,
    nearest_per_pixel,
    nth_true,
    pose,
    transformed,
)
from training.curate.sample import Skip

QUARTER = (np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5))  # w, x, y, z: 90 degrees about z


def test_a_quaternion_is_w_first_and_turns_x_to_y():
    turned = pose(np.multiply(QUARTER, 2.5), (1, 2, 3))
    assert np.allclose(transformed(np.array([[1.0, 0, 0]]), turned), [[1, 3, 3]])
    assert np.allclose(pose(turned[:3, :3], (1, 2, 3)), turned)
    assert np.allclose(inverse(turned) @ turned, np.eye(4))


def test_each_of_many_points_is_moved_and_none_of_none():
    moved = pose((0.9, 0.1, -0.2, 0.3), (1, -2, 3))
    points = np.random.default_rng(0).uniform(-80, 80, (500, 3))
    expected = [moved[:3, :3] @ point + moved[:3, 3] for point in points]
    assert np.allclose(transformed(points, moved), expected, atol=1e-12)
    assert np.allclose(
        transformed(points[:, ::-1], moved)[7], moved[:3, :3] @ points[7, ::-1] + moved[:3, 3]
    )
    assert transformed(np.empty((0, 3)), moved).shape == (0, 3)


@pytest.mark.parametrize("share", [0.02, 0.5, 1.0])
def test_the_nth_true_cell_is_found_without_a_list_of_all(share):
    rng = np.random.default_rng(1)
    mask = rng.random((40, 30)) < share
    mask[[0, 7, 39]] = False
    numbers = np.sort(rng.choice(np.count_nonzero(mask), 12, replace=False))
    assert np.array_equal(nth_true(mask, numbers), np.flatnonzero(mask)[numbers])
    assert nth_true(mask, np.arange(0)).shape == (0,)


@pytest.mark.parametrize(
    "rotation, translation",
    [
        ((0, 0, 0, 0), (0, 0, 0)),
        ((np.nan, 0, 0, 1), (0, 0, 0)),
        (QUARTER, (0, np.inf, 0)),
        (np.eye(3) * 2, (0, 0, 0)),
    ],
)
def test_a_broken_pose_is_skipped_with_its_reason(rotation, translation):
    with pytest.raises(Skip) as skip:
        pose(rotation, translation)
    assert skip.value.reason == "broken pose"


def test_forward_left_up_becomes_right_down_forward():
    point = np.array([[10.0, 2.0, 1.0]])  # 10 m ahead, 2 m to the left, 1 m up
    assert np.allclose(transformed(point, OPTICAL_FROM_FORWARD), [[-2, -1, 10]])


def test_a_track_turns_at_constant_speed_and_knows_where_it_ends():
    start = 1_700_000_000 * NS
    stamps = [start + NS, start]  # in any order
    track = Track(stamps, [pose(QUARTER, (2, 0, 0)), pose((1, 0, 0, 0), (0, 0, 0))], beyond_s=0.1)
    half, quarter = track.at(start + NS // 2), track.at([start + NS // 4])[0]
    assert np.allclose(half[:3, 3], [1, 0, 0])
    assert np.allclose(half[:2, 0], np.cos(np.pi / 4))
    assert np.allclose(np.arctan2(quarter[1, 0], quarter[0, 0]), np.pi / 8)
    assert np.allclose(track.at(start + NS + NS // 20), track.at(start + NS))
    with pytest.raises(Skip) as skip:
        track.at(start - NS // 5)
    assert skip.value.reason == "no pose at this time"


def test_points_with_a_pose_each_are_moved_by_their_own():
    poses = Track([0, NS], [np.eye(4), pose(QUARTER, (0, 0, 5))]).at([0, NS])
    moved = transformed(np.array([[1.0, 0, 0], [1, 0, 0]]), poses)
    assert np.allclose(moved, [[1, 0, 0], [0, 1, 5]])


def test_the_nearest_point_of_a_pixel_is_kept():
    pixels = np.array([[1.4, 0.0], [0.6, 0.4], [3.0, 2.0], [-0.6, 0], [np.nan, 1], [2, 1], [0, 0]])
    metres = np.array([5.0, 4.0, 7.0, 1.0, 1.0, np.nan, -1.0])
    kept, places, nearest = nearest_per_pixel(pixels, metres, 4, 3)
    assert kept.tolist() == [1, 2] and places.tolist() == [1, 11]
    assert nearest[0, 1] == 4 and nearest[2, 3] == 7 and np.isinf(nearest).sum() == 10


def test_of_equally_near_points_a_pixel_keeps_one():
    pixels = np.array([[2.0, 1.0], [2.2, 1.0], [1.0, 0.0]])
    kept, places, _ = nearest_per_pixel(pixels, np.array([3.0, 3.0, 3.0]), 4, 3)
    assert kept.tolist() == [2, 1] and places.tolist() == [1, 6]


def test_what_stands_behind_a_near_thing_is_hidden():
    metres = np.full((9, 9), np.inf, np.float32)
    metres[4, 4], metres[4, 6], metres[4, 1], metres[6, 4] = 2.0, 10.0, 10.0, 2.05
    places = np.flatnonzero(np.isfinite(metres))
    assert places[is_hidden(metres, places)].tolist() == [4 * 9 + 6]
    assert not is_hidden(metres, places, radius_px=1).any()
