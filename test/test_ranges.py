# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The map of a whole frame: its points, and what a large one takes."""

import tracemalloc

import numpy as np
import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.ranges import RangeMap


def range_map(width, height):
    metres = np.linspace(1, 9, width * height, dtype=np.float32).reshape(height, width)
    camera = Camera(width, height, width, width, (width - 1) / 2, (height - 1) / 2)
    return RangeMap(metres, metres, metres, camera)


@pytest.mark.parametrize("size", [(7, 5), (900, 1200)])  # the second takes several strips
def test_points_lie_along_the_rays_of_their_pixels(size):
    found = range_map(*size)
    points = found.points
    np.testing.assert_allclose(np.linalg.norm(points, axis=2), found.distance_m, rtol=1e-6)
    pixels = found.camera.pixels(points.reshape(-1, 3)).reshape(points.shape[:2] + (2,))
    v, u = np.indices(found.distance_m.shape)
    np.testing.assert_allclose(pixels, np.stack([u, v], axis=2), atol=1e-6)
    np.testing.assert_array_equal(found.z_m, points[..., 2])


def test_z_of_a_large_photo_takes_little_more_than_itself():
    """With the rays of all pixels at once it was 140 bytes a pixel: 6.7 GB of 48 megapixels."""
    found = range_map(2000, 1500)
    tracemalloc.start()
    z_m = found.z_m
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < z_m.nbytes + 120e6
