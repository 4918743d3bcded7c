# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Image messages become RGB arrays with the right numbers, or are refused by name."""

import sys
from array import array
from functools import partial
from io import BytesIO
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image as ImageFile

try:
    from sensor_msgs.msg import CompressedImage, Image
except ImportError:  # without ROS what has the same fields
    Image = partial(
        SimpleNamespace, width=0, height=0, encoding="", is_bigendian=0, step=0, data=b""
    )
    CompressedImage = partial(SimpleNamespace, format="", data=b"")

from depthlm_ros.camera import DISTORTION_MODELS
from depthlm_ros.errors import ImageError
from depthlm_ros.msgs import encodings

RGB = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]], [[0, 255, 128], [9, 9, 9]]])


def message(encoding, values, step=0, big=False):
    """An Image of values (H, W[, C]); step pads the rows with 0xAA."""
    values = np.ascontiguousarray(values)
    height, width = values.shape[:2]
    rows = values.reshape(height, -1).view(np.uint8)
    step = step or rows.shape[1]
    padded = np.full((height, step), 0xAA, np.uint8)
    padded[:, : rows.shape[1]] = rows
    image = Image(height=height, width=width, encoding=encoding, step=step)
    image.is_bigendian = int(big)
    image.data = array("B", padded.tobytes())
    return image


@pytest.mark.parametrize(
    "encoding, order",
    [("rgb8", [0, 1, 2]), ("bgr8", [2, 1, 0]), ("rgba8", [0, 1, 2, 3]), ("bgra8", [2, 1, 0, 3])],
)
def test_colours_come_out_as_rgb(encoding, order):
    alpha = np.full((3, 2, 1), 77)
    stored = np.concatenate([RGB, alpha], axis=2)[..., order].astype(np.uint8)
    image = encodings.image_array(message(encoding, stored))
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert np.array_equal(image, RGB)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_becomes_three_equal_channels(encoding):
    image = encodings.image_array(message(encoding, np.array([[3, 250]], np.uint8)))
    assert image.tolist() == [[[3, 3, 3], [250, 250, 250]]]


@pytest.mark.parametrize("big", [False, True])
def test_sixteen_bits_keep_their_high_byte_in_either_byte_order(big):
    values = np.array([[0x0000, 0x12FF], [0xFE01, 0xFFFF]], ">u2" if big else "<u2")
    image = encodings.image_array(message("mono16", values, big=big))
    assert image[..., 0].tolist() == [[0x00, 0x12], [0xFE, 0xFF]]
    assert (image == image[..., :1]).all()


def test_sixteen_bit_colours_keep_channel_order():
    values = (RGB * 256 + 7).astype("<u2")[..., ::-1]
    assert np.array_equal(encodings.image_array(message("bgr16", values)), RGB)


@pytest.mark.parametrize("encoding", ["rgb8", "mono16"])
def test_padding_at_the_end_of_rows_is_left_out(encoding):
    values = RGB.astype(np.uint8) if encoding == "rgb8" else RGB[..., 0].astype("<u2") * 256
    padded = encodings.image_array(message(encoding, values, step=11 if encoding == "rgb8" else 6))
    assert np.array_equal(padded, encodings.image_array(message(encoding, values)))
    assert padded[..., 0].tolist() == RGB[..., 0].tolist()


@pytest.mark.parametrize("encoding, luma", [("yuv422", 1), ("uyvy", 1), ("yuv422_yuy2", 0)])
def test_yuv_without_colour_is_grey_and_its_luma_is_found(encoding, luma):
    values = np.full((2, 4, 2), 128, np.uint8)
    values[..., luma] = [16, 235, 126, 126]  # video range: black, white, middle
    image = encodings.image_array(message(encoding, values)).astype(int)
    assert np.abs(image[0, :, 0] - [0, 255, 128, 128]).max() <= 1
    assert np.abs(image - image[..., :1]).max() <= 1


@pytest.mark.parametrize(
    "order, sites", [("rggb", "rggb"), ("bggr", "bggr"), ("gbrg", "gbrg"), ("grbg", "grbg")]
)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_bayer_mosaic_of_one_colour_gives_that_colour(order, sites, bits):
    colour = {"r": 200, "g": 100, "b": 50}
    tile = np.array([colour[c] for c in sites]).reshape(2, 2) * (257 if bits == 16 else 1)
    mosaic = np.tile(tile, (4, 4)).astype(f"<u{bits // 8}")
    image = encodings.image_array(message(f"bayer_{order}{bits}", mosaic))
    assert (image[2:-2, 2:-2] == [200, 100, 50]).all()


@pytest.mark.parametrize(
    "image, words",
    [
        (Image(height=1, width=1, step=4, encoding="32FC1"), ["'32FC1'", "mono16"]),
        (Image(height=1, width=1, step=2, encoding="16UC1"), ["'16UC1'", "mono16"]),
        (Image(height=1, width=1, step=4, encoding="hsv"), ["'hsv'", "rgb8", "bayer_rggb8"]),
        (Image(height=1, width=1, step=3, encoding=""), ["''", "rgb8"]),
        (Image(encoding="rgb8"), ["0 x 0"]),
        (Image(height=2, width=2, step=5, encoding="rgb8"), [" 6", " 5"]),
        (Image(height=2, width=2, step=6, encoding="rgb8"), ["2 x 2", "0 bytes"]),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(image, words):
    with pytest.raises(ImageError) as caught:
        encodings.image_array(image)
    assert all(word in str(caught.value) for word in words)


def test_half_a_yuv_pair_is_refused_and_not_a_crash_of_the_library():
    with pytest.raises(ImageError, match="3 x 2 .*yuv422"):
        encodings.image_array(message("yuv422", np.zeros((2, 3, 2), np.uint8)))


@pytest.fixture
def fresh_decoder():
    encodings.decoder.cache_clear()
    yield
    encodings.decoder.cache_clear()


def _bridge(monkeypatch, convert):
    module = ModuleType("cv_bridge")
    module.CvBridge = type("CvBridge", (), {"imgmsg_to_cv2": staticmethod(convert)})
    monkeypatch.setitem(sys.modules, "cv_bridge", module)
    monkeypatch.setattr(np, "__version__", "1.26.4")


def test_a_working_cv_bridge_is_preferred(monkeypatch, fresh_decoder):
    asked = []

    def convert(message, target):
        asked.append((message.encoding, target))
        return np.full((message.height, message.width, 3), 5, np.uint8)

    _bridge(monkeypatch, convert)
    assert (encodings.image_array(message("uyvy", np.zeros((2, 2, 2), np.uint8))) == 5).all()
    assert asked[-1] == ("yuv422", "rgb8")


def test_a_cv_bridge_that_fails_gives_way_to_rosbags(monkeypatch, fresh_decoder):
    def convert(message, target):
        raise AttributeError("_ARRAY_API not found")

    _bridge(monkeypatch, convert)
    assert encodings.decoder().__module__ == "rosbags.image.image"
    assert encodings.image_array(message("mono8", np.array([[9]], np.uint8))).tolist() == [
        [[9] * 3]
    ]


def test_a_cv_bridge_built_for_numpy_1_is_not_even_loaded_under_numpy_2(
    monkeypatch, fresh_decoder
):
    _bridge(monkeypatch, lambda message, target: pytest.fail("it was loaded"))
    monkeypatch.setattr(np, "__version__", "2.3.4")
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    assert encodings.decoder().__module__ == "rosbags.image.image"


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_compressed_image_is_the_stored_raster_as_rgb(form):
    stored = ImageFile.fromarray(np.full((2, 3, 3), (200, 30, 90), np.uint8))
    exif = ImageFile.Exif()
    exif[0x0112] = 6  # a quarter turn, which camera_info knows nothing of
    file = BytesIO()
    stored.save(file, form, exif=exif)
    compressed = CompressedImage(format=f"bgr8; {form} compressed bgr8")
    compressed.data = array("B", file.getvalue())
    image = encodings.image_array(compressed)
    assert image.shape == (2, 3, 3)
    assert np.abs(image.astype(int) - (200, 30, 90)).max() <= 3


@pytest.mark.parametrize(
    "form",
    ["jpeg", "16UC1; compressedDepth"],
)
def test_what_is_no_compressed_image_is_refused_by_its_format(form):
    compressed = CompressedImage(format=form, data=array("B", b"not an image"))
    with pytest.raises(ImageError) as caught:
        encodings.image_array(compressed)
    assert f"'{form}'" in str(caught.value)


def compressed(raster, form, encoding, **options):
    """A CompressedImage of a raster as image_transport writes it."""
    file = BytesIO()
    ImageFile.fromarray(raster).save(file, form, **options)
    return CompressedImage(format=encoding, data=array("B", file.getvalue()))


MOSAIC = np.random.default_rng(3).integers(0, 256, (8, 10), np.uint8)


@pytest.mark.parametrize("order", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_compressed_mosaic_gives_the_pixels_of_the_raw_one(order):
    raw = encodings.image_array(message(f"bayer_{order}8", MOSAIC))
    packed = compressed(MOSAIC, "png", f"bayer_{order}8; png compressed ")
    np.testing.assert_array_equal(encodings.image_array(packed), raw)
    assert not (raw == raw[..., :1]).all()


def test_a_sixteen_bit_mosaic_gives_the_pixels_of_the_raw_one():
    mosaic = MOSAIC.astype(np.uint16) * 257 + 5
    raw = encodings.image_array(message("bayer_rggb16", mosaic.astype("<u2")))
    packed = compressed(mosaic, "png", "bayer_rggb16; png compressed ")
    np.testing.assert_array_equal(encodings.image_array(packed), raw)


def test_a_jpeg_of_a_mosaic_that_was_made_colour_before_stays_so():
    colours = np.full((8, 8, 3), (200, 30, 90), np.uint8)
    packed = compressed(colours, "jpeg", "bayer_rggb8; jpeg compressed bgr8")
    assert np.abs(encodings.image_array(packed).astype(int) - (200, 30, 90)).max() <= 3


def test_alpha_is_ignored_raw_and_compressed():
    stored = np.concatenate([RGB, np.zeros((3, 2, 1))], axis=2).astype(np.uint8)
    np.testing.assert_array_equal(encodings.image_array(message("rgba8", stored)), RGB)
    packed = compressed(stored, "png", "rgba8; png compressed ")
    np.testing.assert_array_equal(encodings.image_array(packed), RGB)


@pytest.mark.parametrize("form", ["tiff", "webp", "png", "jpeg"])
def test_no_format_is_turned_by_its_metadata(form):
    exif = ImageFile.Exif()
    exif[0x0112] = 6
    packed = compressed(np.full((4, 6, 3), 9, np.uint8), form, "rgb8; compressed", exif=exif)
    assert encodings.image_array(packed).shape == (4, 6, 3)


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1", "16SC1", "64FC1"])
def test_numbers_without_colours_are_refused_raw_and_compressed(encoding):
    raw = Image(height=1, width=1, step=8, encoding=encoding, data=array("B", bytes(8)))
    with pytest.raises(ImageError, match=encoding):
        encodings.image_array(raw)
    values = np.full((2, 2), 1500, np.uint16)
    with pytest.raises(ImageError, match=encoding):
        encodings.image_array(compressed(values, "png", f"{encoding}; png compressed "))


def test_grey_of_sixteen_bits_stays_an_image():
    values = np.array([[0x12FF, 0xFE01]], np.uint16)
    packed = compressed(values, "png", "mono16; png compressed ")
    assert encodings.image_array(packed)[..., 0].tolist() == [[0x12, 0xFE]]


def test_three_bytes_without_a_name_are_blue_green_red():
    image = encodings.image_array(message("8UC3", RGB[..., ::-1].astype(np.uint8)))
    np.testing.assert_array_equal(image, RGB)


@pytest.mark.parametrize(("encoding", "first"), [("nv12", "u"), ("nv21", "v")])
def test_planes_of_luma_and_colour_are_joined(encoding, first):
    """Full red in BT.601 video range is Y 81, U 90, V 240; rows are padded."""
    luma, chroma = np.full((4, 6), 81, np.uint8), np.empty((2, 6), np.uint8)
    u, v = (0, 1) if first == "u" else (1, 0)
    chroma[:, u::2], chroma[:, v::2] = 90, 240
    image = message(encoding, np.concatenate([luma, chroma]), step=9)
    image.height = 4
    found = encodings.image_array(image).astype(int)
    assert found.shape == (4, 6, 3)
    assert np.abs(found - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize(("width", "height", "data"), [(5, 4, 30), (6, 3, 27), (6, 4, 35)])
def test_planes_that_cannot_be_are_refused(width, height, data):
    image = Image(height=height, width=width, step=width, encoding="nv12")
    image.data = array("B", bytes(data))
    with pytest.raises(ImageError):
        encodings.image_array(image)


def test_an_endless_name_is_not_repeated_whole():
    with pytest.raises(ImageError) as caught:
        encodings.image_array(Image(height=1, width=1, step=1, encoding="x" * 100_000))
    assert len(str(caught.value)) < 1000


def test_the_documents_name_every_encoding_and_every_lens():
    page = (Path(__file__).parents[2] / "docs/inputs.md").read_text()
    known = (*encodings.ENCODINGS, *encodings.NO_IMAGE, *DISTORTION_MODELS)
    assert [name for name in known if name != "none" and f"`{name}`" not in page] == []
