# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Picture files and camera files: converted rightly or refused by name."""

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.data.files import camera_for, film_focal_px, read_camera, read_picture
from depthlm_ros.errors import CameraError, ImageError

RED = (200, 10, 20)
CALIBRATION = """
image_width: 640
image_height: 480
camera_name: left
camera_matrix: {rows: 3, cols: 3, data: [525.0, 0.0, 319.5, 0.0, 526.0, 239.5, 0.0, 0.0, 1.0]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.2, 0.05, 0.001, -0.001, 0.0]}
"""
MESSAGE = """
header: {stamp: {sec: 0, nanosec: 0}, frame_id: optical}
height: 480
width: 640
distortion_model: plumb_bob
d: [0.0, 0.0, 0.0, 0.0, 0.0]
k: [525.0, 0.0, 319.5, 0.0, 526.0, 239.5, 0.0, 0.0, 1.0]
binning_x: 0
binning_y: 0
roi: {x_offset: 0, y_offset: 0, height: 0, width: 0, do_rectify: false}
---
"""


def test_an_rgb_picture_comes_as_it_is(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), picture)


@pytest.mark.parametrize(
    ("mode", "colour", "rgb"),
    [
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("RGBA", (*RED, 255), RED),
        ("LA", (77, 255), (77, 77, 77)),
        ("I;16", 0x4D00, (77, 77, 77)),
    ],
)
def test_other_forms_are_converted(tmp_path, mode, colour, rgb):
    Image.new(mode, (3, 2), colour).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert (picture.shape, picture.dtype) == ((2, 3, 3), np.uint8)
    assert (picture == rgb).all()


def test_a_palette_is_looked_up(tmp_path):
    palette = Image.new("RGB", (3, 2), RED).quantize(4)
    palette.save(tmp_path / "a.png")
    assert palette.mode == "P"
    assert (read_picture(tmp_path / "a.png") == RED).all()


def test_transparent_pictures_are_refused(tmp_path):
    Image.new("RGBA", (3, 2), (*RED, 128)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="a.png has transparent pixels"):
        read_picture(tmp_path / "a.png")


def test_float_pictures_are_refused_by_name(tmp_path):
    Image.fromarray(np.ones((2, 3), np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(ImageError, match="of the form 'F' without a known full scale"):
        read_picture(tmp_path / "a.tiff")


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_what_is_no_picture_is_told_with_its_name(tmp_path, content):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match="a.png cannot be read as a picture"):
        read_picture(tmp_path / "a.png")


def test_a_truncated_picture_is_refused_and_not_half_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match="truncated"):
        read_picture(tmp_path / "a.jpg")


def exif_picture(path, orientation=None, film_mm=None):
    picture = Image.new("RGB", (40, 30), (0, 0, 0))
    picture.paste((255, 255, 255), (0, 0, 10, 10))
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    if film_mm:
        exif.get_ifd(0x8769)[0xA405] = film_mm
    picture.save(path, exif=exif)


def test_a_turned_picture_comes_upright_as_viewers_show_it(tmp_path):
    """Orientation 6: a quarter turn clockwise, so the white corner goes to the right."""
    exif_picture(tmp_path / "a.png", orientation=6)
    picture = read_picture(tmp_path / "a.png")
    assert picture.shape == (40, 30, 3)
    assert picture[5, 25].tolist() == [255] * 3 and picture[5, 5].tolist() == [0] * 3


def test_records_read_the_stored_raster(tmp_path):
    exif_picture(tmp_path / "a.png", orientation=6)
    assert read_picture(tmp_path / "a.png", upright=False).shape == (30, 40, 3)


def test_exif_tells_the_focal_length_by_the_diagonal_of_film(tmp_path):
    """40 x 30 has a diagonal of 50 px, film 43.27 mm: 26 mm are 30.05 px."""
    exif_picture(tmp_path / "a.jpg", film_mm=26)
    assert film_focal_px(tmp_path / "a.jpg", 40, 30) == pytest.approx(30.046, abs=1e-3)


def test_without_the_exif_entry_nothing_is_guessed(tmp_path):
    exif_picture(tmp_path / "a.jpg")
    assert film_focal_px(tmp_path / "a.jpg", 40, 30) is None


def test_what_is_not_given_of_a_camera_is_the_middle_and_fx():
    camera = camera_for(640, 480, 500.0)
    assert (camera.fy, camera.cx, camera.cy) == (500, 319.5, 239.5)
    camera = camera_for(640, 480, 500.0, 510.0, 0.0, 1.0)
    assert (camera.fy, camera.cx, camera.cy) == (510, 0, 1)


def test_a_calibration_file_is_read(tmp_path):
    (tmp_path / "c.yaml").write_text(CALIBRATION)
    camera = read_camera(tmp_path / "c.yaml")
    assert (camera.width, camera.height) == (640, 480)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (525, 526, 319.5, 239.5)
    assert camera.distortion == "plumb_bob"
    assert camera.coefficients == (-0.2, 0.05, 0.001, -0.001, 0.0)


def test_an_echoed_message_is_read(tmp_path):
    (tmp_path / "c.yaml").write_text(MESSAGE)
    camera = read_camera(tmp_path / "c.yaml")
    assert (camera.width, camera.fx, camera.fy, camera.distortion) == (640, 525, 526, "none")


@pytest.mark.parametrize(
    "change", [("binning_x: 0", "binning_x: 2"), ("height: 0, width: 0", "height: 9, width: 9")]
)
def test_a_message_of_a_part_of_the_sensor_is_refused(tmp_path, change):
    (tmp_path / "c.yaml").write_text(MESSAGE.replace(*change))
    with pytest.raises(CameraError, match="region of interest or binning"):
        read_camera(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    "content", ["", "[1, 2]", "a: b", "{", "width: 3", "k: 5\nwidth: 3\nheight: 2"]
)
def test_what_is_no_camera_file_is_told_with_its_name(tmp_path, content):
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(CameraError, match="c.yaml is no camera_info file"):
        read_camera(tmp_path / "c.yaml")


def test_a_missing_camera_file_is_told(tmp_path):
    with pytest.raises(CameraError, match="c.yaml is no camera_info file.*No such file"):
        read_camera(tmp_path / "c.yaml")


def test_an_uncalibrated_camera_file_is_told_with_its_name(tmp_path):
    (tmp_path / "c.yaml").write_text(CALIBRATION.replace("[525.0", "[0.0"))
    with pytest.raises(CameraError, match="c.yaml: the focal length is fx = 0"):
        read_camera(tmp_path / "c.yaml")
