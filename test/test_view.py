# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Frame and View: the published rules in numbers, and pixels that move with the image."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthlm_ros.camera import Camera
from depthlm_ros.errors import CameraError, ImageError, InputError
from depthlm_ros.view import Frame, SharedFrame, View, unify_focal


def frame(width=640, height=480, fx=525.0, fy=526.5, cx=319.5, cy=239.5):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Frame(image, Camera(width, height, fx, fy, cx, cy))


def blank_view(width, height):
    """A view at scale 1; made without the resize."""
    image = np.zeros((height, width, 3), np.uint8)
    camera = Camera(width, height, 1000, 1000, width / 2, height / 2)
    return View(image, camera, Frame(image, camera), (1.0, 1.0))


def test_the_size_is_truncated_as_published():
    """640 * 1000 / 530 = 1207.55 and 480 * 1000 / 530 = 905.66; at 750: 905.66 and 679.25."""
    assert unify_focal(frame(fx=530), 1000).image.shape == (905, 1207, 3)
    assert unify_focal(frame(fx=530), 750).image.shape == (679, 905, 3)


def test_intrinsics_take_the_exact_scale_and_not_the_truncated_size():
    camera = unify_focal(frame(), 1000).camera
    values = (camera.fx, camera.fy, camera.cx, camera.cy)
    assert values == pytest.approx((1000, 1002.857143, 608.571429, 456.190476), abs=1e-6)


def test_fx_scales_both_axes_as_published():
    """The released code lets fx != fy survive; the paper's form is axes="both"."""
    assert unify_focal(frame(fx=500, fy=1000), 1000).image.shape == (960, 1280, 3)


def test_both_gives_each_axis_its_own_scale():
    view = unify_focal(frame(fx=500, fy=1000), 1000, axes="both")
    assert view.image.shape == (480, 1280, 3)
    assert (view.camera.fx, view.camera.fy) == (1000, 1000)


def test_pixels_are_truncated_as_published():
    """100 * 1.9048 = 190.48, 200 * 1.9048 = 380.95, 639 * 1.9048 = 1217.14."""
    view = unify_focal(frame(), 1000)
    assert view.to_view([[100, 200], [639, 479], [0, 0]]).tolist() == [
        [190, 380],
        [1217, 912],
        [0, 0],
    ]


@pytest.mark.parametrize(
    ("fx", "fy", "cx", "cy", "focal"),
    [
        (405.0, 405.405, 316.2779120255722, 220.0120276042769, 750),
        (525.0, 526.5, 319.5, 239.5, 1000),
    ],
)
def test_every_pixel_is_where_the_published_floats_put_it(fx, fy, cx, cy, focal):
    """s = f / fx, int((x - cx) * (fx * s / fx) + cx * s), likewise y: where the exact product is a
    whole number, the last bit decides."""
    view, s = unify_focal(frame(640, 480, fx, fy, cx, cy), focal), focal / fx
    u = [int((x - cx) * (fx * s / fx) + cx * s) for x in range(640)]
    v = [int((y - cy) * (fy * s / fy) + cy * s) for y in range(480)]
    across = view.to_view([(x, 0) for x in range(640)])[:, 0]
    down = view.to_view([(0, y) for y in range(480)])[:, 1]
    assert (across.tolist(), down.tolist()) == (u, v)


def test_the_resize_is_bicubic_and_overshoots_at_an_edge():
    image = np.zeros((20, 20, 3), np.uint8)
    image[:, 10:] = 200
    view = unify_focal(Frame(image, Camera(20, 20, 10, 10, 10, 10)), 40)
    assert view.image.max() > 200


def test_the_same_focal_length_leaves_the_image_alone():
    one = frame(fx=500, fy=500)
    np.testing.assert_array_equal(unify_focal(one, 500).image, one.image)


@pytest.mark.parametrize("focal_px", [500, 400])
def test_a_view_stays_as_it_is_when_the_camera_reuses_its_buffer(focal_px):
    one = frame(fx=500, fy=500)
    view = unify_focal(one, focal_px)
    before = view.image.copy()
    one.image[:] = 255 - one.image
    np.testing.assert_array_equal(view.image, before)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(20, 60),
    st.integers(20, 60),
    st.floats(20, 90),
    st.floats(20, 150),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_frame_to_view_and_back_stays_within_a_view_pixel(width, height, fx, focal, at_u, at_v):
    view = unify_focal(frame(width, height, fx, fx, width / 2, height / 2), focal)
    pixel = np.array([[at_u * (width - 1), at_v * (height - 1)]])
    back = view.to_frame(view.to_view(pixel))
    assert (np.abs(back - pixel) * view.scale <= 0.5 + 1e-6).all()


@settings(max_examples=60, deadline=None)
@given(st.floats(20, 90), st.floats(30, 150), st.integers(0, 20), st.integers(0, 20))
def test_view_to_frame_and_back_is_the_same_pixel(fx, focal, left, top):
    view = unify_focal(frame(60, 60, fx, fx, 30, 30), focal)
    window = view.cropped(min(left, 5), min(top, 5), 10, 10)
    for one in (view, window):
        pixels = np.array([[0, 0], [9, 9], [3, 7]])
        np.testing.assert_array_equal(one.to_view(one.to_frame(pixels)), pixels)


def test_a_window_shows_the_same_pixels_and_rays():
    view = unify_focal(frame(), 1000)
    window = view.cropped(100, 50, 300, 200)
    pixel = [[120.0, 80.0]]
    u, v = window.to_view(pixel)[0]
    whole_u, whole_v = view.to_view(pixel)[0]
    np.testing.assert_array_equal(window.image[v, u], view.image[whole_v, whole_u])
    np.testing.assert_allclose(
        window.camera.rays([[u, v]]), view.camera.rays([[whole_u, whole_v]]), atol=1e-12
    )


def test_a_window_off_the_view_is_refused():
    with pytest.raises(InputError, match=r"300 x 200 at \(500, 0\)"):
        blank_view(640, 480).cropped(500, 0, 300, 200)


def test_a_view_of_the_training_size_is_one_window():
    view = blank_view(1400, 1200)
    assert view.windows() == [view]


@pytest.mark.parametrize(
    "size", [(1401, 1200), (1500, 900), (2800, 2400), (3999, 700), (64, 1300)]
)
def test_windows_cover_every_pixel_and_stay_within_the_training_size(size):
    seen = np.zeros((size[1], size[0]), bool)
    for window in blank_view(*size).windows():
        (left, top), camera = window.offset, window.camera
        assert camera.width <= 1400 and camera.height <= 1200
        assert window.image.shape == (camera.height, camera.width, 3)
        seen[top : top + camera.height, left : left + camera.width] = True
    assert seen.all()


def test_some_window_holds_every_pixel_with_context_around_it():
    """A pixel in the middle of the view is at least an eighth of a window from each border."""
    windows = blank_view(2600, 1000).windows()
    for u in range(200, 2400, 25):
        places = [window.to_view([[u, 500]])[0][0] for window in windows]
        room = max(min(p, w.camera.width - p) for p, w in zip(places, windows, strict=True))
        assert room >= 1400 / 8


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (np.zeros((4, 6), np.uint8), r"uint8 \(4, 6\)"),
        (np.zeros((4, 6, 3), np.float32), "float32"),
        (np.zeros((4, 6, 4), np.uint8), r"\(4, 6, 4\)"),
        (np.zeros((0, 6, 3), np.uint8), r"\(0, 6, 3\)"),
        ([[1, 2, 3]], "list.*RGB.*read_frame"),
        ("a.png", "str"),
    ],
)
def test_what_is_no_rgb_image_is_refused(image, named):
    with pytest.raises(ImageError, match=named):
        Frame(image, Camera(6, 4, 5, 5, 3, 2))


def test_a_camera_of_another_size_is_refused():
    with pytest.raises(CameraError, match="640 x 480 .*320 x 240"):
        Frame(np.zeros((480, 640, 3), np.uint8), Camera(320, 240, 500, 500, 160, 120))


@pytest.mark.parametrize("camera", [None, (5, 5, 3, 2), "camera.yaml"])
def test_what_is_no_camera_is_refused(camera):
    with pytest.raises(CameraError, match="Camera.*" + type(camera).__name__):
        Frame(np.zeros((4, 6, 3), np.uint8), camera)


def test_an_absurd_focal_length_is_refused_before_memory_is_taken():
    with pytest.raises(CameraError, match="1000 px "):
        unify_focal(frame(fx=0.5), 1000)
    with pytest.raises(CameraError, match="0 x 0"):
        unify_focal(frame(fx=1e7), 1000)


def test_an_unknown_axes_rule_is_refused():
    with pytest.raises(InputError, match="fx, both"):
        unify_focal(frame(), 1000, axes="fy")


def test_all_who_ask_about_a_shared_frame_get_the_same_image_made_once(monkeypatch):
    made = []
    resized = Frame.resized
    monkeypatch.setattr(Frame, "resized", lambda *args: made.append(args) or resized(*args))
    plain = frame()
    shared = SharedFrame(plain.image, plain.camera, 7, "eye")
    with ThreadPoolExecutor(4) as pool:
        views = list(pool.map(lambda _: unify_focal(shared, 300), range(8)))
    assert len(made) == 1
    assert all(view.image is views[0].image for view in views)
    assert not views[0].image.flags.writeable
    np.testing.assert_array_equal(views[0].image, unify_focal(plain, 300).image)
    assert unify_focal(shared, 525).image.shape == (480, 640, 3)
    assert len(made) == 3  # one for the plain frame, one for the other size
