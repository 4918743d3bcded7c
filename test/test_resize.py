# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The resize by strips is Pillow's own, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from depthlm_ros import view

SIDES = st.integers(1, 60)


def pillow(image, width, height):
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def noise(width, height):
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)


@settings(max_examples=150, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(1, 5))
def test_any_strips_of_any_size_give_the_image_of_pillow(before, tall, width, height, cores):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view, "STRIP", 1)
        patch.setattr(view, "_cores", lambda: cores)
        found = view.bicubic(noise(before, tall), width, height)
    np.testing.assert_array_equal(found, pillow(noise(before, tall), width, height))


def test_a_camera_image_is_shared_out_and_a_small_one_is_not(monkeypatch):
    sizes = []
    monkeypatch.setattr(view, "_cores", lambda: 2)
    monkeypatch.setattr(
        view, "_pillow", lambda image, w, h: sizes.append((w, h)) or pillow(image, w, h)
    )
    image = noise(1280, 720)
    np.testing.assert_array_equal(view.bicubic(image, 1391, 782), pillow(image, 1391, 782))
    assert sorted(sizes) == [(695, 782), (696, 782), (1391, 360), (1391, 360)]
    sizes.clear()
    view.bicubic(image, 320, 180)
    assert sizes == [(320, 180)]
