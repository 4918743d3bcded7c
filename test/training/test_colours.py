# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""training.data.colours: other looks of the same image."""

import numpy as np
import pytest

from training.data.colours import another_look


@pytest.fixture
def halves():
    """(60, 80, 3) uint8: dark red on the left, bright blue from column 40 on."""
    image = np.empty((60, 80, 3), np.uint8)
    image[:, :40], image[:, 40:] = (90, 40, 40), (120, 140, 200)
    return image


def looks(image, count=40):
    return [another_look(image, np.random.default_rng(seed)) for seed in range(count)]


def test_a_look_is_an_image_of_the_same_size_and_a_function_of_its_generator(halves):
    before = halves.copy()
    for first, again in zip(looks(halves, 5), looks(halves, 5), strict=True):
        assert first.shape == halves.shape and first.dtype == np.uint8
        assert (first == again).all() and (first != halves).mean() > 0.9
    assert (halves == before).all()


def test_nothing_moves(halves):
    for look in looks(halves):
        steps = np.abs(np.diff(look.astype(float).mean((0, 2))))
        assert 38 <= steps.argmax() <= 40  # between columns 39 and 40, or blurred beside it


def test_looks_differ_in_brightness_colour_and_sharpness(halves):
    found = [look.astype(float) for look in looks(halves)]
    light = [look.mean() for look in found]
    colour = [np.ptp(look.mean((0, 1))) for look in found]
    edge = [look[:, 41].mean() - look[:, 38].mean() for look in found]
    for spread in (light, colour, edge):
        assert np.quantile(spread, 0.9) > 1.5 * np.quantile(spread, 0.1)


def test_half_of_the_looks_keep_even_light_even():
    grey = np.full((60, 80, 3), 90, np.uint8)
    uneven = 0
    for look in looks(grey, 100):
        regions = look.reshape(3, 20, 4, 20, 3).mean((1, 3))  # grain is gone in the means
        uneven += (np.ptp(regions, (0, 1)) > 0.02 * regions.mean()).any()
    assert 35 <= uneven <= 65


def test_black_stays_dark_and_white_bright():
    for level in (0, 255):
        image = np.full((20, 20, 3), level, np.uint8)
        assert all(abs(look.mean() - level) < 100 for look in looks(image))


def test_one_in_five_comes_from_an_unsteady_camera_and_its_edges_stay_where_they_are():
    step = np.full((48, 320, 3), 60, np.uint8)
    step[:, 160:] = 180
    smeared = 0
    for look in looks(step, 200):
        row = look.astype(float).mean((0, 2))
        rise = (row[140:181] - row[130]) / (row[190] - row[130])
        smeared += rise[24] - rise[16] < 0.9  # over eight columns
        assert abs(np.interp(0.5, np.maximum.accumulate(rise), np.arange(140, 181)) - 159.5) < 1.5
    assert 15 <= smeared <= 55
