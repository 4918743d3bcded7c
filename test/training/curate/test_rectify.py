# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from depthlm_ros.camera import Camera
from training.curate import rectify
from training.curate.rectify import (
    cell_pixels,
    pinhole_of,
    rectified,
    rectified_depth,
    seen_cells,
)
from training.curate.sample import Skip

LENSES = {
    "barrel": Camera(320, 240, 250, 252, 150, 125, "plumb_bob", (-0.28, 0.08, 0.001, -0.002, 0)),
    "pincushion": Camera(320, 240, 250, 250, 160, 120, "plumb_bob", (0.2, 0.05, 0, 0, 0)),
    "fisheye": Camera(320, 240, 110, 110, 160, 119, "equidistant", (0.01, -0.003, 0, 0)),
    "rational": Camera(
        320, 240, 250, 250, 170, 110, "rational_polynomial", (0.3, 0.1, 0, 0, 0.01, 0.5, 0.1, 0.01)
    ),
    "skewed": Camera(320, 240, 250, 250, 160, 120, skew=5.0),
}


def tilted_plane(lens, scale=1):
    """z (H / scale, W / scale) of a plane that every cell sees at another z."""
    shape = lens.height // scale, lens.width // scale
    v, u = np.mgrid[: shape[0], : shape[1]].reshape(2, -1)
    rays = lens.rays((np.stack([u, v], 1) + 0.5) * scale - 0.5)
    return plane_z(rays).astype(np.float32).reshape(shape)


def plane_z(rays):
    return 4 / (1 + 0.2 * rays[:, 0] / rays[:, 2] + 0.1 * rays[:, 1] / rays[:, 2])


@pytest.mark.parametrize("name", LENSES)
def test_the_pinhole_is_wide_and_shows_nothing_that_the_lens_did_not_see(name):
    lens = LENSES[name]
    camera = pinhole_of(lens)
    assert camera.distortion == "none" and camera.skew == 0 and camera.fx == camera.fy
    assert 0.5 * lens.width * lens.height < camera.width * camera.height
    assert camera.width * camera.height < 1.02 * lens.width * lens.height
    white = np.full((lens.height, lens.width, 3), 255, np.uint8)
    seen = rectified(white, lens)
    assert seen.shape == (camera.height, camera.width, 3)
    assert (seen >= 253).all()  # no black border


@pytest.mark.parametrize("name", LENSES)
def test_a_ramp_of_rays_lands_where_the_pinhole_says(name):
    lens = LENSES[name]
    camera = pinhole_of(lens)
    v, u = np.mgrid[: camera.height, : camera.width].reshape(2, -1)
    at = lens.pixels(camera.rays(np.stack([u, v], 1)))
    ramp = np.zeros((lens.height, lens.width, 3), np.uint8)
    ramp[..., 0] = np.arange(lens.width) * 0.75
    off = rectified(ramp, lens)[..., 0].ravel() - at[:, 0] * 0.75
    assert np.abs(off).max() < 1.5  # of 255 levels; a pixel is 0.75


@pytest.mark.parametrize("name", LENSES)
@pytest.mark.parametrize("scale", [1, 2])
def test_z_of_a_plane_stays_z(name, scale):
    lens = LENSES[name]
    depth = tilted_plane(lens, scale)
    found = rectified_depth(depth, lens)
    camera = pinhole_of(lens)
    assert found.shape == (round(camera.height / scale), round(camera.width / scale))
    v, u = np.mgrid[: found.shape[0], : found.shape[1]].reshape(2, -1)
    cell = camera.width / found.shape[1], camera.height / found.shape[0]
    true = plane_z(camera.rays((np.stack([u, v], 1) + 0.5) * cell - 0.5))
    off = found.ravel() / true - 1
    assert np.abs(off).max() < 0.02 * scale  # half a cell of the plane, where the lens is widest
    assert abs(off.mean()) < 1e-4 * scale  # and no shift


@pytest.mark.parametrize("name", LENSES)
def test_a_cell_keeps_its_metres_at_its_exact_place(name):
    lens, depth = LENSES[name], tilted_plane(LENSES[name])
    cells = np.random.default_rng(0).integers(0, depth.size, 500)
    inside = seen_cells(depth.shape, lens).ravel()[cells]
    assert inside.mean() > 0.5
    pixels = cell_pixels(cells[inside], depth.shape, lens)
    assert pinhole_of(lens).contains(pixels).all()
    true = plane_z(pinhole_of(lens).rays(pixels))
    assert np.abs(depth.ravel()[cells[inside]] - true).max() < 1e-4


@pytest.mark.parametrize("name", LENSES)
@pytest.mark.parametrize("shape", [(240, 320), (120, 160), (70, 90)])
def test_a_cell_is_seen_where_its_own_ray_is_on_the_pinhole_image(name, shape):
    lens = LENSES[name]
    pixels = cell_pixels(np.arange(shape[0] * shape[1]), shape, lens)
    seen = seen_cells(shape, lens)
    assert 0 < seen.sum() < seen.size and seen.dtype == bool
    assert np.array_equal(seen.ravel(), pinhole_of(lens).contains(pixels))


def test_maps_of_many_lenses_take_no_more_memory_than_of_some(monkeypatch):
    image = np.zeros((48, 64, 3), np.uint8)
    lenses = [Camera(64, 48, 50 + i, 50, 32, 24, "plumb_bob", (-0.1, 0, 0, 0)) for i in range(30)]
    first = rectified(image + np.arange(64, dtype=np.uint8)[:, None], lenses[0])
    monkeypatch.setattr(rectify, "KEPT_BYTES", 100_000)  # of four lenses
    for lens in lenses:
        rectified(image, lens)
        kept = sum(array.nbytes for arrays in rectify._kept.values() for array in arrays)
        assert 0 < kept <= 100_000
    again = rectified(image + np.arange(64, dtype=np.uint8)[:, None], lenses[0])
    assert np.array_equal(first, again)


def test_a_pinhole_stays_as_it_is():
    camera = Camera(64, 48, 50, 55, 30, 25)
    image = np.zeros((48, 64, 3), np.uint8)
    assert pinhole_of(camera) is camera and rectified(image, camera) is image


def test_a_lens_that_sees_nothing_is_skipped():
    broken = Camera(64, 48, 10, 10, 200, 200, "plumb_bob", (-0.5, 0, 0, 0, 0))
    with pytest.raises(Skip) as skip:
        pinhole_of(broken)
    assert skip.value.reason == "lens without rays"
