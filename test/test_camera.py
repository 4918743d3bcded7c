# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Camera: pixels <-> rays, distance <-> z, and what it refuses."""

import numpy as np
import pytest

from depthlm_ros.camera import Camera, as_pixels
from depthlm_ros.errors import CameraError, InputError

PINHOLE = Camera(640, 480, 500, 500, 319.5, 239.5)
LENSES = {
    "plumb_bob": (-0.2, 0.05, 0.001, -0.001, -0.005),
    "rational_polynomial": (0.5, 0.1, 0.0005, -0.0005, 0.01, 0.8, 0.2, 0.02),
    "equidistant": (-0.02, 0.005, -0.002, 0.0003),
}


def grid(camera, count=7):
    u, v = np.linspace(0, camera.width - 1, count), np.linspace(0, camera.height - 1, count)
    return np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)


def test_the_principal_point_looks_straight_ahead():
    np.testing.assert_allclose(PINHOLE.rays([[319.5, 239.5]]), [[0, 0, 1]])


def test_rays_have_length_one_and_x_right_y_down():
    ray = PINHOLE.rays([[819.5, 739.5]])[0]
    np.testing.assert_allclose(ray, np.array([1, 1, 1]) / np.sqrt(3))


def test_at_the_corner_distance_is_28_percent_longer_than_z():
    """Taking one for the other costs more than the delta1 threshold at a wide camera's corner."""
    np.testing.assert_allclose(PINHOLE.distance_from_z([[0, 0]], [2.0]), 2.5595015, atol=1e-6)
    np.testing.assert_allclose(PINHOLE.z_from_distance([[0, 0]], [2.5595015]), 2.0, atol=1e-6)


def test_distance_and_z_agree_on_the_axis_only():
    assert PINHOLE.z_from_distance([[319.5, 239.5]], [3.0])[0] == 3.0
    assert PINHOLE.z_from_distance([[0, 239.5]], [3.0])[0] < 2.6


@pytest.mark.parametrize("model", LENSES)
def test_pixels_of_rays_are_the_pixels_for_every_lens(model):
    camera = Camera(640, 480, 500, 510, 321, 238, model, LENSES[model])
    pixels = grid(camera)
    np.testing.assert_allclose(camera.pixels(camera.rays(pixels) * 3.7), pixels, atol=1e-6)


@pytest.mark.parametrize("model", LENSES)
def test_a_lens_bends_the_corner_and_not_the_middle(model):
    bent = Camera(640, 480, 500, 500, 319.5, 239.5, model, LENSES[model])
    np.testing.assert_allclose(bent.rays([[319.5, 239.5]]), [[0, 0, 1]], atol=1e-12)
    assert np.linalg.norm(bent.rays([[0, 0]]) - PINHOLE.rays([[0, 0]])) > 0.005


def test_plumb_bob_follows_its_polynomial():
    camera = Camera(640, 480, 500, 500, 320, 240, "plumb_bob", (0.1, 0.0, 0.0, 0.0))
    (u, v), r2 = camera.pixels([[0.3, 0.4, 1.0]])[0], 0.25
    assert (u, v) == pytest.approx((320 + 150 * (1 + 0.1 * r2), 240 + 200 * (1 + 0.1 * r2)))


def test_equidistant_keeps_the_angle():
    camera = Camera(640, 480, 300, 300, 320, 240, "equidistant", (0.0, 0.0, 0.0, 1e-12))
    u, _ = camera.pixels([[1.0, 0.0, 1.0]])[0]
    assert u == pytest.approx(320 + 300 * np.pi / 4)


def test_a_pixel_beyond_the_lens_has_no_ray_instead_of_a_wrong_one():
    camera = Camera(640, 480, 300, 300, 320, 240, "plumb_bob", (-0.3, 0, 0, 0))
    assert np.isnan(camera.rays([[0, 0]])).all()


def test_points_behind_the_camera_have_no_pixel():
    assert np.isnan(PINHOLE.pixels([[0, 0, -1], [0, 0, 0]])).all()


def test_scaled_and_cropped_cameras_see_the_same_rays():
    camera = Camera(640, 480, 500, 510, 321, 238, "plumb_bob", LENSES["plumb_bob"])
    pixels = grid(camera)
    larger = camera.scaled(1.5, 2.0, 960, 960)
    np.testing.assert_allclose(larger.rays(pixels * (1.5, 2.0)), camera.rays(pixels), atol=1e-9)
    window = camera.cropped(100, 50, 300, 200)
    np.testing.assert_allclose(window.rays(pixels - (100, 50)), camera.rays(pixels), atol=1e-9)
    assert (window.width, window.height) == (300, 200)


def test_a_pixel_belongs_to_the_image_up_to_half_a_pixel_beyond_centres():
    inside = PINHOLE.contains([[-0.5, 0], [639.49, 479.49], [639.5, 0], [0, -0.51], [np.nan, 0]])
    assert inside.tolist() == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("model", "given", "kept"),
    [
        ("rational_polynomial", (0,) * 8, ("none", ())),
        ("plumb_bob", (0,) * 5, ("none", ())),
        ("plumb_bob", (), ("none", ())),
        ("equidistant", (0,) * 4, ("equidistant", (0, 0, 0, 0))),
        ("equidistant", (), ("equidistant", (0, 0, 0, 0))),
        ("equidistant", (0.1, 0, 0, 0, 0), ("equidistant", (0.1, 0, 0, 0))),
        ("plumb_bob", (0.1, 0, 0, 0, 0, 0, 0, 0), ("plumb_bob", (0.1, 0, 0, 0, 0))),
        ("rational_polynomial", (0.1,) * 8 + (0,), ("rational_polynomial", (0.1,) * 8)),
    ],
)
def test_zeros_mean_a_pinhole_or_an_ideal_fisheye_and_surplus_ones_are_dropped(model, given, kept):
    camera = Camera(640, 480, 500, 500, 320, 240, model, given)
    assert (camera.distortion, camera.coefficients) == kept


def test_an_ideal_fisheye_keeps_the_angle():
    camera = Camera(800, 800, 250, 250, 399.5, 399.5, "equidistant")
    offsets = np.array([25, 125, 250, 350])
    rays = camera.rays(np.stack([399.5 + offsets, np.full(4, 399.5)], axis=1))
    np.testing.assert_allclose(np.arctan2(rays[:, 0], rays[:, 2]), offsets / 250, atol=1e-9)


# Lenses whose radial polynomial turns back within the image.
FOLDED = {
    "plumb_bob": (-0.4, 0.05, 0.0, 0.0),
    "rational_polynomial": (-0.3, 0, 0, 0, 0, 0.1, 0, 0),
    "equidistant": (-0.3, 0, 0, 0),
}


@pytest.mark.parametrize("model", FOLDED)
def test_pixels_beyond_the_fold_have_no_ray_and_those_before_it_the_right_one(model):
    """Along the diagonal every angle up to the fold is found, and nothing beyond it."""
    camera = Camera(1000, 1000, 500, 500, 499.5, 499.5, model, FOLDED[model])
    angle = np.linspace(0.01, 1.5, 3000)
    bent = _radius(model, FOLDED[model], angle)
    turn = int(np.argmax(np.diff(bent) <= 0))
    assert 0 < turn < 2999
    before = slice(0, turn - 100)
    along = np.array([0.6, 0.8])
    rays = camera.rays(499.5 + 500 * bent[before, None] * along)
    found = np.arctan2(np.linalg.norm(rays[:, :2], axis=1), rays[:, 2])
    np.testing.assert_allclose(found, angle[before], atol=1e-4)
    beyond = bent[turn] + np.linspace(0.01, 2, 50)
    assert np.isnan(camera.rays(499.5 + 500 * beyond[:, None] * along)).all()
    behind = angle[turn + 20 :]
    points = np.stack([0.6 * np.tan(behind), 0.8 * np.tan(behind), np.ones(len(behind))], axis=1)
    assert np.isnan(camera.pixels(points)).all()


def _radius(model, k, angle):
    """Independent statement of the radial polynomials of OpenCV, in units of the focal length."""
    if model == "equidistant":
        return angle * (1 + k[0] * angle**2 + k[1] * angle**4 + k[2] * angle**6 + k[3] * angle**8)
    r = np.tan(angle)
    up = 1 + k[0] * r**2 + k[1] * r**4 + (k[4] if len(k) > 4 else 0) * r**6
    down = 1 + k[5] * r**2 + k[6] * r**4 + k[7] * r**6 if len(k) > 5 else 1.0
    return r * up / down


def test_skew_moves_u_with_y():
    camera = Camera(640, 480, 500, 510, 320, 240, skew=25.0)
    np.testing.assert_allclose(camera.pixels([[0.2, 0.4, 2.0]]), [[320 + 50 + 5, 240 + 102]])
    pixels = grid(camera)
    np.testing.assert_allclose(camera.pixels(camera.rays(pixels)), pixels, atol=1e-9)
    double = camera.scaled(2, 3, 1280, 1440)
    np.testing.assert_allclose(double.rays(pixels * (2, 3)), camera.rays(pixels), atol=1e-12)


@pytest.mark.parametrize(
    ("changed", "count"),
    [
        *[({}, 0), ({"cx": 0.0}, 1), ({"cy": 479.0}, 1), ({"cx": 900.0}, 1), ({"skew": 3.0}, 1)],
        *[({"fx": 26.0}, 1), ({"fx": 60.0}, 1), ({"fx": 100.0}, 0), ({"fx": 9000.0}, 0)],
        ({"fx": 60.0, "distortion": "equidistant"}, 0),  # 305 degrees, by a lens that has them
    ],
)
def test_doubtful_intrinsics_can_be_used_and_are_named(changed, count):
    whole = {"width": 640, "height": 480, "fx": 500, "fy": 500, "cx": 319.5, "cy": 239.5}
    assert len(Camera(**{**whole, **changed}).warnings()) == count


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"fx": 0.0}, "fx = 0,"),
        ({"fx": -1.0}, "fx = -1,"),
        ({"cx": float("nan")}, r"\bnan\b"),
        ({"fy": float("inf")}, r"\binf\b"),
        ({"width": 0}, "0 x 480.*1 x 1"),
        ({"distortion": "thin_prism", "coefficients": (1,)}, "'thin_prism'.*none, plumb_bob"),
        ({"distortion": "plumb_bob", "coefficients": (1, 2, 3)}, r"'plumb_bob'.*\b3$"),
        ({"distortion": "equidistant", "coefficients": (1, 2, 3, 4, 5)}, r"'equidistant'.*\b5$"),
        ({"fx": 1e-300}, "fx = 1e-300,"),
        ({"cx": 10.0**299}, r"\b1e\+299\b"),
        ({"width": 640.5}, "640.5 x 480"),
        ({"fx": None}, "fx.*NoneType"),
        ({"fx": np.eye(3)}, "fx"),
        ({"coefficients": ("a",)}, "coefficients.*'a'"),
        ({"distortion": None}, "'None'"),
    ],
)
def test_impossible_intrinsics_are_refused_by_name(changed, named):
    whole = {"width": 640, "height": 480, "fx": 5.0, "fy": 5.0, "cx": 1.0, "cy": 1.0}
    with pytest.raises(CameraError, match=named):
        Camera(**{**whole, **changed})


def test_all_problems_are_told_at_once():
    with pytest.raises(CameraError, match="0 x 480.*fx = 0,.*'thin_prism'"):
        Camera(0, 480, 0, 0, 1, 1, "thin_prism", (1,))


def test_pixels_come_as_n_by_2():
    assert as_pixels([1, 2]).shape == (1, 2)
    assert as_pixels([]).shape == (0, 2)
    with pytest.raises(InputError, match=r"\(N, 2\), got \(2, 3\)"):
        as_pixels([[1, 2, 3], [4, 5, 6]])
    assert PINHOLE.rays([]).shape == (0, 3)


@pytest.mark.parametrize(
    "pixels", [None, 3, "320,240", [[1, 2], [3]], {(1, 2)}, (pair for pair in [(1, 2)])]
)
def test_what_are_no_pixels_is_an_error_of_the_input(pixels):
    with pytest.raises(InputError, match=r"pairs"):
        as_pixels(pixels)


def test_numbers_of_numpy_are_as_exact_as_those_of_python():
    coarse = Camera(np.int64(640), np.float64(480), np.float32(500), 500, 319.5, 239.5)
    assert coarse == PINHOLE and isinstance(coarse.height, int)
    assert coarse.scaled(1 / 3, 1 / 3, 213, 160).fx == 500 / 3
