# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Image of the cloud and PLY, by pixels and bytes."""

from math import nan

import numpy as np
import pytest

from depthlm_ros.data.files import read_image
from depthlm_ros.viz.clouds import cloud_image, write_ply


def grid_points(rows=24, columns=32):
    u, v = np.meshgrid(np.linspace(-0.6, 0.6, columns), np.linspace(-0.45, 0.45, rows))
    z = np.where(u < 0, 2.0, 4.0)  # a step in the middle
    return np.stack([u * z, v * z, z], axis=-1)


def test_a_ply_holds_the_known_points_with_their_colours(tmp_path):
    points = np.array([[1, 2, 3], [nan, nan, nan], [-1, 0.5, 4]])
    colours = np.array([[1, 2, 3], [4, 5, 6], [250, 251, 252]], np.uint8)
    assert write_ply(tmp_path / "a.ply", points, colours) == 2
    header, _, body = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")
    assert header.decode().splitlines() == [
        "ply",
        "format binary_little_endian 1.0",
        "element vertex 2",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {channel}" for channel in ("red", "green", "blue")),
    ]
    assert len(body) == 2 * 15
    assert np.frombuffer(body[15:27], "<f4").tolist() == [-1, 0.5, 4]
    assert list(body[27:]) == [250, 251, 252]


def test_an_organised_cloud_without_a_known_point_is_an_empty_ply(tmp_path):
    nothing = np.full((3, 4, 3), nan)
    assert write_ply(tmp_path / "a.ply", nothing, np.zeros((3, 4, 3), np.uint8)) == 0


def test_the_cloud_image_shows_the_colours_of_the_points(tmp_path):
    points = grid_points()
    points[3, 4] = nan
    colours = np.zeros((24, 32, 3), np.uint8)
    colours[:, :16], colours[:, 16:] = (220, 40, 40), (40, 220, 40)
    cloud_image(tmp_path / "a.png", points, colours)
    image = read_image(tmp_path / "a.png").astype(int)
    assert image.shape == (640, 1280, 3)
    side = image[:, :640].reshape(-1, 3)
    for colour in ((220, 40, 40), (40, 220, 40)):
        assert (np.abs(side - colour).max(axis=1) < 5).sum() > 2000


@pytest.mark.parametrize(
    "points", [np.full((2, 3, 3), nan), np.ones((1, 1, 3)), np.ones((1, 5, 3))]
)
def test_the_cloud_image_of_few_or_no_points_is_still_an_image(tmp_path, points):
    cloud_image(tmp_path / "a.png", points, np.zeros(points.shape, np.uint8))
    assert read_image(tmp_path / "a.png").shape == (640, 1280, 3)
