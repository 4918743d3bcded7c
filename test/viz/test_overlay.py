# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Overlay and colours, by pixels."""

import subprocess
import sys
from math import nan

import numpy as np
import pytest

from depthlm_ros.viz.overlay import distance_colours, distance_limits, labelled, overlay

GREY = np.full((480, 640, 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("metres", "limits"),
    [
        ([2.3, 7.1], (2, 10)),
        ([2.0, 5.0], (2, 5)),
        ([3.0], (2, 5)),
        ([2.0], (2, 5)),
        ([0.07, 130.0, nan, -1.0], (0.05, 200)),
        ([], (1, 10)),
        ([nan], (1, 10)),
    ],
)
def test_the_legend_ends_at_round_numbers(metres, limits):
    assert distance_limits(metres) == pytest.approx(limits)


def test_near_is_red_far_is_blue_and_unknown_grey():
    near, far, unknown = distance_colours([1.0, 10.0, nan], (1, 10)).astype(int)
    assert near[0] > near[1:].max() + 100
    assert far[2] > far[:2].max()
    assert unknown.tolist() == [150, 150, 150]
    assert distance_colours([0.1, 100.0], (1, 10)).tolist() == [near.tolist(), far.tolist()]


def test_equal_ratios_are_equal_steps_of_colour():
    """The ends and the middle of Turbo, whose middle is a green."""
    steps = distance_colours([1.0, 10**0.5, 10.0], (1, 10))
    np.testing.assert_allclose(steps, [(122, 4, 2), (164, 252, 59), (48, 18, 59)], atol=2)


def test_a_disc_of_the_right_colour_lies_at_its_pixel_and_nowhere_else():
    drawn = overlay(GREY, [[100, 50], [500, 300]], [2.0, 5.0])
    near, far = distance_colours([2.0, 5.0], (2, 5))
    assert drawn[50, 100].tolist() == near.tolist()
    assert drawn[300, 500].tolist() == far.tolist()
    assert drawn[200, 300].tolist() == [128] * 3
    assert (GREY == 128).all()


def test_an_uncertain_disc_has_a_grey_collar_around_its_colour():
    drawn = overlay(GREY, [[100, 50], [500, 300]], [2.0, 5.0], [True, False])
    near, far = distance_colours([2.0, 5.0], (2, 5)).tolist()
    assert (drawn[50, 100].tolist(), drawn[50, 106].tolist()) == (near, [150] * 3)
    assert (drawn[300, 500].tolist(), drawn[300, 506].tolist()) == (far, far)


def test_uncertain_parts_of_a_tinted_image_have_grey_stripes():
    v, u = np.mgrid[:480, :640]
    pixels = np.stack([u.ravel(), v.ravel()], axis=1)
    unsure = pixels[:, 0] >= 320
    drawn = overlay(GREY, pixels, np.full(len(pixels), 3.0), unsure).astype(int)

    def shares(part):  # tinted, and grey; the rest is text
        tint = distance_colours([3.0], (2, 5))[0].astype(int) // 2 + 64
        return [np.mean(np.abs(part - c).max(axis=2) <= 1) for c in (tint, 64 + 75)]

    assert shares(drawn[:, :310]) == pytest.approx([1.0, 0.0], abs=0.1)
    assert shares(drawn[:, 330:]) == pytest.approx([0.5, 0.5], abs=0.1)


def test_an_unknown_pixel_is_a_grey_disc_and_one_without_a_place_is_left_out():
    drawn = overlay(GREY, [[100, 50], [nan, nan], [900, 3], [-5, 3]], [nan, 2.0, 2.0, 2.0])
    assert drawn[50, 100].tolist() == [150] * 3
    assert (drawn[0:10, 630:] == 128).all() and (drawn[0:10, 0:10] == 128).all()


@pytest.mark.parametrize("pixel", [(0, 0), (639, 479), (639, 0), (-0.4, 479.4)])
def test_a_disc_at_the_border_is_cut_and_does_not_wrap(pixel):
    drawn = overlay(GREY, [pixel], [3.0])
    u, v = np.clip(np.round(pixel), 0, (639, 479)).astype(int)
    assert drawn[v, u].tolist() == distance_colours([3.0], (2, 5))[0].tolist()
    assert (drawn[v, 320] == 128).all()


def test_few_pixels_have_their_metres_beside_them_and_of_many_some():
    few = overlay(GREY, [[320, 240]], [3.0])
    assert (few[230:250, 335:380] == 255).any()
    u, v = np.meshgrid(np.arange(10, 640, 20), np.arange(10, 480, 20))
    pixels, metres = np.stack([u.ravel(), v.ravel()], axis=1), np.full(768, 3.0)
    metres[0] = np.nan
    rows = labelled((480, 640), pixels, metres)
    assert rows[:2] == [1, 9] and 10 <= len(rows) <= 20  # each 160 px = 8 columns; 0 is unknown
    gaps = np.abs(pixels[rows][:, None] - pixels[rows]).max(axis=2)
    assert gaps[~np.eye(len(rows), dtype=bool)].min() >= 160


def test_nothing_asked_is_the_image_with_a_legend():
    drawn = overlay(GREY, np.empty((0, 2)), np.empty(0))
    assert (drawn[:400] == 128).all()
    assert (drawn[400:] != 128).any()


def test_the_overlay_works_without_matplotlib():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import numpy as np; from depthlm_ros.viz.overlay import overlay\n"
        "print(overlay(np.zeros((48, 64, 3), np.uint8), [[3, 4]], [2.0]).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(48, 64, 3)"


@pytest.mark.parametrize("spacing", [1, 2, 3, 7])
def test_many_pixels_of_a_part_of_the_image_are_seen_in_their_colour(spacing):
    u, v = np.meshgrid(np.arange(200, 350, spacing), np.arange(150, 250, spacing))
    pixels = np.stack([u.ravel(), v.ravel()], axis=1)
    drawn = overlay(GREY, pixels, np.full(len(pixels), 3.0)).astype(int)
    colour = distance_colours([3.0], (2, 5))[0].astype(int)
    tint = colour // 2 + 64
    shown = drawn[pixels[:, 1], pixels[:, 0]]
    right = [(np.abs(shown - one).max(axis=1) <= 1).mean() for one in (colour, tint)]
    assert max(right) > 0.8  # the rest is text
