# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Image files and camera files: converted rightly or refused by name."""

import struct

import numpy as np
import pytest
from PIL import Image
from testing.mutations import mutated

from depthlm_ros.camera import Camera
from depthlm_ros.data.files import (
    camera_for,
    read_camera,
    read_image,
    read_measured,
    read_photo,
    read_raster,
)
from depthlm_ros.errors import CameraError, ImageError

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # of files broken on purpose

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


def test_an_rgb_image_comes_as_it_is(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


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
    image = read_image(tmp_path / "a.png")
    assert (image.shape, image.dtype) == ((2, 3, 3), np.uint8)
    assert (image == rgb).all()


def test_a_palette_is_looked_up(tmp_path):
    palette = Image.new("RGB", (3, 2), RED).quantize(4)
    palette.save(tmp_path / "a.png")
    assert palette.mode == "P"
    assert (read_image(tmp_path / "a.png") == RED).all()


def test_transparent_images_are_refused(tmp_path):
    Image.new("RGBA", (3, 2), (*RED, 128)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png"):
        read_image(tmp_path / "a.png")


def test_float_images_are_refused_by_name(tmp_path):
    Image.fromarray(np.ones((2, 3), np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(ImageError, match="'F'"):
        read_image(tmp_path / "a.tiff")


@pytest.mark.parametrize("content", [None, b"", b"no image", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_what_is_no_image_is_told_with_its_name(tmp_path, content):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.png"):
        read_image(tmp_path / "a.png")


def test_a_truncated_image_is_refused_and_not_half_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"a\.jpg"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"\0\0\0\x20ftypisom", "video.*ffmpeg"),
        (b"\0\0\0\x14ftypqt  ", "video"),
        (b"RIFF\0\0\0\0AVI LIST", "video"),
        (b"\x1aE\xdf\xa3" + bytes(20), "video"),
        (b"\0\0\0\x1cftypavif", "JPEG, PNG"),
    ],
)
def test_a_video_is_named_as_such(tmp_path, content, named):
    (tmp_path / "a.jpg").write_bytes(content + bytes(100))
    with pytest.raises(ImageError, match=rf"a\.jpg .*{named}"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("path", "named"),
    [("https://a.example/b.png", "download"), ("-", "/dev/stdin"), ("/", "name an image file")],
)
def test_what_is_no_path_is_told_with_what_to_do(path, named):
    with pytest.raises(ImageError, match=named):
        read_image(path)


@pytest.mark.parametrize("form", ["gif", "png", "webp", "tif"])
def test_of_several_images_the_first_is_read_and_all_are_counted(tmp_path, form):
    first, *others = (Image.new("RGB", (8, 6), (c, c, c)) for c in (255, 0, 90))
    first.save(tmp_path / f"a.{form}", save_all=True, append_images=others)
    photo = read_photo(tmp_path / f"a.{form}")
    assert photo.count == 3 and (photo.raster == 255).all()


def test_previews_that_a_phone_keeps_beside_an_image_are_not_counted(tmp_path):
    first, preview = (Image.new("RGB", (8, 6), (c, c, c)) for c in (255, 0))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[preview])
    assert read_photo(tmp_path / "a.jpg").count == 1


def exif_image(path, orientation=None, film_mm=None):
    image = Image.new("RGB", (40, 30), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 10, 10))
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    if film_mm:
        exif[0x8769] = {0xA405: film_mm}
    image.save(path, exif=exif)


def test_a_turned_image_comes_upright_as_viewers_show_it(tmp_path):
    """Orientation 6: a quarter turn clockwise, so the white corner goes to the right."""
    exif_image(tmp_path / "a.png", orientation=6)
    image = read_image(tmp_path / "a.png")
    assert image.shape == (40, 30, 3)
    assert image[5, 25].tolist() == [255] * 3 and image[5, 5].tolist() == [0] * 3


def test_records_read_the_stored_raster(tmp_path):
    exif_image(tmp_path / "a.png", orientation=6)
    assert read_image(tmp_path / "a.png", upright=False).shape == (30, 40, 3)


def test_exif_tells_the_focal_length_by_the_diagonal_of_film(tmp_path):
    """40 x 30 has a diagonal of 50 px, film 43.27 mm: 26 mm are 30.05 px."""
    exif_image(tmp_path / "a.jpg", film_mm=26)
    assert read_photo(tmp_path / "a.jpg").focal_px == pytest.approx(30.046, abs=1e-3)


def test_without_the_exif_entry_nothing_is_guessed(tmp_path):
    exif_image(tmp_path / "a.jpg")
    assert read_photo(tmp_path / "a.jpg").focal_px is None


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
    with pytest.raises(CameraError, match=r"c\.yaml"):
        read_camera(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    "content", ["", "[1, 2]", "a: b", "{", "width: 3", "k: 5\nwidth: 3\nheight: 2"]
)
def test_what_is_no_camera_file_is_told_with_its_name(tmp_path, content):
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(CameraError, match=r"c\.yaml"):
        read_camera(tmp_path / "c.yaml")


def test_a_missing_camera_file_is_told(tmp_path):
    with pytest.raises(CameraError, match=r"c\.yaml"):
        read_camera(tmp_path / "c.yaml")


def test_an_uncalibrated_camera_file_is_told_with_its_name(tmp_path):
    (tmp_path / "c.yaml").write_text(CALIBRATION.replace("[525.0", "[0.0"))
    with pytest.raises(CameraError, match=r"c\.yaml: .*fx = 0"):
        read_camera(tmp_path / "c.yaml")


# EXIF as cameras, phones and editors write it, broken in one tag: kind, count and bytes of the
# x-resolution (0x11A), and of the focal length (0xA405).
SOUND = (5, 1, struct.pack("<II", 72, 1))
FILM_26 = (3, 1, struct.pack("<HH", 26, 0))

NO_ROOM = (5, 100_000, b"\1\2\3\4")


def broken_exif(odd=SOUND, film=FILM_26):
    """A TIFF block: orientation 6, one odd tag, and the film-equivalent focal length."""
    kind, count, data = odd
    at = 8 + 2 + 36 + 4
    value = struct.pack("<I", at) if len(data) > 4 else data.ljust(4, b"\0")
    inner = at + len(data) + len(data) % 2
    directory = struct.pack("<H", 3) + struct.pack("<HHIHH", 0x112, 3, 1, 6, 0)
    directory += struct.pack("<HHI", 0x11A, kind, count) + value
    directory += struct.pack("<HHIII", 0x8769, 4, 1, inner, 0)
    block = b"Exif\0\0II*\0" + struct.pack("<I", 8) + directory + data + b"\0" * (len(data) % 2)
    return block + struct.pack("<HHHI", 1, 0xA405, *film[:2]) + film[2] + struct.pack("<I", 0)


@pytest.mark.parametrize(
    "odd",
    [
        (5, 2, struct.pack("<IIII", 72, 1, 72, 1)),
        (10, 1, struct.pack("<ii", -1, 0)),
        (2, 3, b"72\0"),
        (5, 1, bytes(8)),
        (7, 9, b"\xff" * 9),
        (99, 1, b"\1\2\3\4"),
        NO_ROOM,
    ],
    ids=["two", "negative", "text", "zero", "bytes", "no kind", "no room"],
)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_tag_that_nobody_needs_breaks_no_image(tmp_path, odd, form):
    path = tmp_path / "a"
    Image.new("RGB", (40, 30), RED).save(path, form, exif=broken_exif(odd))
    assert read_image(path).shape == (40, 30, 3)
    assert read_image(path, upright=False).shape == (30, 40, 3)
    focal_px = read_photo(path).focal_px
    stops = odd == NO_ROOM and focal_px is None  # there Pillow 10 gives up the tags that follow
    assert stops or focal_px == pytest.approx(30.046, abs=1e-3)


@pytest.mark.parametrize(
    ("film", "focal_px"),
    [
        ((3, 2, struct.pack("<HH", 26, 26)), 30.046),
        ((3, 2, struct.pack("<HH", 26, 52)), None),
        ((3, 1, struct.pack("<HH", 0, 0)), None),
        ((2, 4, b"26\0\0"), None),
        ((11, 1, struct.pack("<f", float("nan"))), None),
        ((11, 1, struct.pack("<f", -26.0)), None),
    ],
    ids=["twice", "two", "zero", "text", "nan", "negative"],
)
def test_a_malformed_focal_length_is_not_known(tmp_path, film, focal_px):
    Image.new("RGB", (40, 30), RED).save(tmp_path / "a.jpg", exif=broken_exif(film=film))
    found = read_photo(tmp_path / "a.jpg").focal_px
    assert found == (None if focal_px is None else pytest.approx(focal_px, abs=1e-3))
    assert read_image(tmp_path / "a.jpg").shape == (40, 30, 3)


@pytest.mark.parametrize(
    ("tags", "count"),
    [
        ({}, 0),
        ({0xA404: 2.0}, 1),
        ({0xA404: 1.0, 0xA002: 40, 0xA003: 30}, 0),
        ({0xA002: 30, 0xA003: 40}, 0),
        ({0xA002: 40, 0xA003: 40}, 1),
        ({0xA404: 3.0, 0xA002: 80, 0xA003: 10}, 2),
    ],
)
def test_exif_that_contradicts_its_focal_length_is_named(tmp_path, tags, count):
    exif = Image.Exif()
    exif[0x8769] = tags
    Image.new("RGB", (40, 30), RED).save(tmp_path / "a.jpg", exif=exif)
    assert len(read_photo(tmp_path / "a.jpg").contradictions) == count


def test_a_tiff_is_turned_for_people_and_not_for_cameras(tmp_path):
    exif_image(tmp_path / "a.tiff", orientation=6)
    assert read_image(tmp_path / "a.tiff").shape == (40, 30, 3)
    assert read_image(tmp_path / "a.tiff", upright=False).shape == (30, 40, 3)
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.tiff")[5, 25], read_image(tmp_path / "a.tiff", False)[5, 5]
    )
    assert read_photo(tmp_path / "a.tiff").is_turned


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_grey_tiff_that_is_turned_is_read_as_stored(dtype, tmp_path):
    stored = (np.arange(30 * 40).reshape(30, 40) % 200 + 1).astype(dtype)
    Image.fromarray(stored).save(tmp_path / "a.tiff", tiffinfo={274: 6})
    read = read_raster if dtype == np.uint8 else read_measured
    np.testing.assert_array_equal(read(tmp_path / "a.tiff"), stored)


def test_a_heic_photo_is_named_as_such(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(ImageError, match="HEIC"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.slow
def test_a_photo_of_108_megapixels_is_read(tmp_path):
    Image.new("1", (12_000, 9_000)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (9_000, 12_000, 3)


def test_a_photo_of_200_megapixels_is_refused_in_own_words(tmp_path):
    Image.new("1", (16_320, 12_240)).save(tmp_path / "b.png")
    with pytest.raises(ImageError, match=r"b\.png.*\d"):
        read_image(tmp_path / "b.png")


def test_grey_of_sixteen_bits_is_known_as_older_pillow_opens_it(tmp_path):
    """Pillow 10.2 opens it in mode I."""
    values = (np.arange(6).reshape(2, 3) * 256 + 99).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_raster(tmp_path / "a.png"), values)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 0], values >> 8)


ROS_1 = """
height: 480
width: 640
distortion_model: "plumb_bob"
D: [-0.2, 0.05, 0.001, -0.001, 0.0]
K: [525.0, 2.0, 319.5, 0.0, 526.0, 239.5, 0.0, 0.0, 1.0]
"""
OST = """# oST version 5.0 parameters


[image]

width
640

height
480

[narrow_stereo]

camera matrix
525.000000 2.000000 319.500000
0.000000 526.000000 239.500000
0.000000 0.000000 1.000000

distortion
-0.2 0.05 0.001 -0.001 0.000000

rectification
1.0 0.0 0.0
0.0 1.0 0.0
0.0 0.0 1.0
"""
OPENCV = """%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 525., 2., 319.5, 0., 526., 239.5, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -0.2, 0.05, 0.001, -0.001, 0. ]
"""


@pytest.mark.parametrize(
    "content",
    [
        ROS_1,
        OST,
        OPENCV,
        "\ufeff" + ROS_1,
        CALIBRATION.replace("[525.0, 0.0,", "[525.0, 2.0,"),
    ],
    ids=["ROS 1", "ost.txt", "OpenCV", "byte order mark", "calibration"],
)
def test_every_kind_of_camera_file_gives_the_same_camera(tmp_path, content):
    (tmp_path / "c.yaml").write_text(content, encoding="utf-8")
    assert read_camera(tmp_path / "c.yaml") == Camera(
        640, 480, 525, 526, 319.5, 239.5, "plumb_bob", (-0.2, 0.05, 0.001, -0.001, 0.0), 2.0
    )


@pytest.mark.parametrize(
    ("matrix", "named"),
    [
        ("[525.0, 0.0, 0.0, 0.0, 526.0, 0.0, 319.5, 239.5, 1.0]", "319.5, 239.5, 1.*transposed"),
        ("[525.0, 0.0, 319.5, 0.0, 526.0, 239.5]", "6 numbers"),
        ("[525.0, 526.0]", "2 numbers"),
    ],
)
def test_a_matrix_that_is_none_of_a_camera_is_refused(tmp_path, matrix, named):
    (tmp_path / "c.yaml").write_text(f"width: 640\nheight: 480\nk: {matrix}\n")
    with pytest.raises(CameraError, match=rf"c\.yaml: .*{named}"):
        read_camera(tmp_path / "c.yaml")


def test_a_matrix_may_come_in_rows(tmp_path):
    rows = "[[525.0, 0.0, 319.5], [0.0, 526.0, 239.5], [0.0, 0.0, 1.0]]"
    (tmp_path / "c.yaml").write_text(f"width: 640\nheight: 480\nk: {rows}\n")
    assert read_camera(tmp_path / "c.yaml") == Camera(640, 480, 525, 526, 319.5, 239.5)


@pytest.mark.parametrize("d", ["d: [0.0, 0.0, 0.0, 0.0]", "d: []", "d: [0.0, 0.0, 0.0, 0.0, 0.0]"])
def test_an_ideal_fisheye_in_a_file_stays_one(tmp_path, d):
    echoed = MESSAGE.replace("plumb_bob", "equidistant").replace("d: [0.0, 0.0, 0.0, 0.0, 0.0]", d)
    (tmp_path / "c.yaml").write_text(echoed)
    camera = read_camera(tmp_path / "c.yaml")
    assert (camera.distortion, camera.coefficients) == ("equidistant", (0.0,) * 4)


# Mutations: nothing but this package's own errors leaves the readers.


def seeds(folder):
    """A small file of each kind, with metadata where the format has any."""
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (12, 16, 3), np.uint8))
    exif = broken_exif()
    for form in ("PNG", "JPEG", "TIFF", "WEBP"):
        options = {} if form == "TIFF" else {"exif": exif}
        noise.save(folder / form, form, **options)
    Image.fromarray(np.arange(192, dtype=np.uint16).reshape(12, 16)).save(folder / "GREY", "PNG")
    noise.quantize(8).save(folder / "GIF", "GIF")
    for name, text in (("yaml", CALIBRATION), ("ost", OST), ("opencv", OPENCV), ("echo", MESSAGE)):
        (folder / name).write_text(text)
    return sorted(folder.iterdir())


def attempt(read, path):
    try:
        read(path)
        return True
    except (ImageError, CameraError):
        return False


def mutate(folder, count):
    """How many of `count` mutated files could be read."""
    files = [(path.suffix or path.name, path.read_bytes()) for path in seeds(folder)]
    draw, path, readable = np.random.default_rng(5), folder / "mutated", 0
    for number in range(count):
        name, content = files[number % len(files)]
        path.write_bytes(mutated(content, draw))
        if name.isupper():
            readable += attempt(read_image, path)
            attempt(lambda p: read_image(p, upright=False), path)
            attempt(read_photo, path)
        else:
            readable += attempt(read_camera, path)
    return readable


def test_no_foreign_error_leaves_the_readers(tmp_path):
    assert 50 < mutate(tmp_path, 700) < 650


@pytest.mark.slow
def test_no_foreign_error_leaves_the_readers_of_many_files(tmp_path):
    assert 1000 < mutate(tmp_path, 15_000) < 14_000
