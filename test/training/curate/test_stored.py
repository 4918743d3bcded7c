# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What is written is read back by other libraries."""

import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from depthlm_ros.data.files import read_image
from depthlm_ros.errors import InputError
from training.curate import stored


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])  # points far from each other, and a map
@pytest.mark.parametrize("compress", [stored.compress, zlib.compress])
def test_a_depth_image_is_read_as_it_was_written(compress, share, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "compress", compress)
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 2**16, (31, 50), np.uint16) * (rng.random((31, 50)) < share)
    path = tmp_path / "depth.png"
    stored.write_depth(path, counts)
    assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), counts)
    with Image.open(path) as image:
        image.verify()  # the checksums of its parts
        assert image.mode == "I;16" and image.size == (50, 31)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), counts)


def test_metres_are_counted_and_what_is_unknown_is_nothing():
    metres = np.array([[np.nan, 0.0, 0.0004, 0.0006], [1.2346, 65.5, 70.0, np.inf]])
    found = stored.depth_counts(metres, 1000)
    assert found.dtype == np.uint16
    assert found.tolist() == [[0, 0, 0, 1], [1235, 65500, 65535, 0]]
    assert stored.depth_counts(np.array([2.5, np.nan]), 500).tolist() == [1250, 0]
    assert [stored.depth_scale(far) for far in (65.0, 80.0, 250.0, 999.0)] == [1000, 500, 250, 250]


def test_a_jpeg_keeps_its_colours(tmp_path):
    image = np.zeros((16, 24, 3), np.uint8)
    image[:] = 200, 60, 20
    stored.write_jpeg(tmp_path / "a.jpg", image)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - image).max() <= 3


def test_a_file_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match="no_such"):
        stored.write_depth(tmp_path / "no_such" / "a.png", np.zeros((4, 4), np.uint16))
