# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Depth images and clouds of any layout -> metres and points; what is no such thing is refused."""

import struct
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from testing.robot import cloud_message, depth_message, rvl_of

from depthlm_ros.bags.messages import header_message
from depthlm_ros.errors import Code, ImageError, InputError
from depthlm_ros.msgs.encodings import depth_array, holds_depth, image_array
from depthlm_ros.msgs.fields import measured_points

METRES = np.array([[0.5, 1.25, 2.0], [3.0, 40.0, 0.0]], np.float32)
HEADER = header_message(0, "eye")


def known(metres):
    return np.where(metres > 0, metres, np.nan)


@pytest.mark.parametrize(
    "encoding",
    ["16UC1", "32FC1", "16UC1; compressedDepth png", "16UC1; compressedDepth rvl"],
)
def test_a_depth_image_is_metres_and_nan_where_unknown(encoding):
    message = depth_message(HEADER, METRES, encoding)
    assert holds_depth(message)
    found = depth_array(message)
    assert found.dtype == np.float32
    assert np.array_equal(found, known(METRES).astype(np.float32), equal_nan=True)


def test_rows_are_padded_and_either_byte_order_is_read():
    raw = np.zeros((2, 5), ">u2")
    raw[:, :3] = METRES * 1000
    message = SimpleNamespace(
        encoding="16UC1", width=3, height=2, step=10, is_bigendian=1, data=raw.tobytes()
    )
    assert np.array_equal(depth_array(message), known(METRES), equal_nan=True)


def test_not_finite_and_negative_metres_are_unknown():
    odd = np.array([[np.inf, -1.0, np.nan, 2.0]], np.float32)
    found = depth_array(depth_message(HEADER, odd, "32FC1"))
    assert np.isnan(found[0, :3]).all() and found[0, 3] == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"encoding": "rgb8"},
        {"encoding": "64FC1"},
        {"step": 2},
        {"data": b"1234"},
        {"width": 0},
    ],
)
def test_what_is_no_depth_image_is_refused(changes):
    whole = vars(
        SimpleNamespace(
            encoding="16UC1", width=3, height=2, step=6, is_bigendian=0, data=bytes(12)
        )
    )
    with pytest.raises(ImageError) as error:
        depth_array(SimpleNamespace(**{**whole, **changes}))
    assert error.value.code == Code.BAD_IMAGE


@pytest.mark.parametrize(
    "form, data",
    [
        ("16UC1; compressedDepth rvl", bytes(13)),
        ("16UC1; compressedDepth rvl", bytes(40)),
        ("16UC1; compressedDepth rvl", bytes(12) + struct.pack("<II", 1 << 16, 1 << 16)),
        ("16UC1; compressedDepth rvl", bytes(12) + struct.pack("<III", 4, 2, 0xFFFFFFFF)),
        ("32FC1; compressedDepth png", bytes(5)),
        ("16UC1; compressedDepth png", bytes(40)),
        ("jpeg", bytes(40)),
    ],
)
def test_compressed_depth_that_is_not_understood_is_refused(form, data):
    with pytest.raises(ImageError):
        depth_array(SimpleNamespace(format=form, data=data))


def rvl_message(encoding, raster, a=0.0, b=0.0):
    data = struct.pack("<iff", 0, a, b) + rvl_of(raster)
    return SimpleNamespace(format=f"{encoding}; compressedDepth rvl", data=data)


def test_rvl_is_read_as_its_paper_says():
    """0 0 5 5: two zeros, two others, + 5 (10 = 2 + 8 * 1), + 0; the last word filled up."""
    data = bytes(12) + struct.pack("<II", 4, 1) + bytes.fromhex("0000a122")
    message = SimpleNamespace(format="16UC1; compressedDepth rvl", data=data)
    found = depth_array(message)
    assert np.array_equal(found * 1000, [[np.nan, np.nan, 5, 5]], equal_nan=True)
    assert rvl_message("16UC1", np.array([[0, 0, 5, 5]])).data == data


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_rvl_gives_the_millimetres_that_were_packed(share):
    rng = np.random.default_rng(1)
    raw = rng.integers(1, 2**16, (48, 64)) * (rng.random((48, 64)) < share)
    raw[10:20] = np.arange(64) * (share > 0)  # long runs too
    message = rvl_message("16UC1", raw)
    assert holds_depth(message)
    assert np.array_equal(depth_array(message), known(raw / 1000).astype(np.float32), True)


def test_rvl_of_floats_is_quantised_inverse_depth():
    a, b = 100 * 101.0, 1 - 100 * 101.0 / 10
    metres = np.array([[1.0, 2.5], [0.0, 4.0]])
    raw = np.where(metres > 0, np.floor(a / np.maximum(metres, 0.1) + b), 0).astype(int)
    found = depth_array(rvl_message("32FC1", raw, a, b))
    assert np.isnan(found[1, 0]) and np.nanmax(np.abs(found / known(metres) - 1)) < 1e-3


@pytest.mark.parametrize("bytes_less", [4, 400])
def test_rvl_that_is_cut_off_is_refused(bytes_less):
    message = rvl_message("16UC1", np.random.default_rng(0).integers(0, 999, (30, 40)))
    message.data = message.data[:-bytes_less]
    with pytest.raises(ImageError, match="pixels"):
        depth_array(message)


def test_depth_and_colours_are_told_apart():
    with pytest.raises(ImageError):
        image_array(depth_message(HEADER, METRES, "16UC1; compressedDepth png"))
    assert not holds_depth(SimpleNamespace(format="bgr8; jpeg compressed bgr8"))
    assert not holds_depth(SimpleNamespace(encoding="mono16"))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("doubles", [False, True])
def test_a_cloud_gives_its_points_without_nan(big, doubles):
    points = np.array([[1, 2, 3], [np.nan, 0, 0], [-4, 5.5, 6]], np.float64)
    found = measured_points(cloud_message(HEADER, points, big, doubles))
    assert np.array_equal(found, points[[0, 2]])


def test_a_cloud_without_z_or_with_less_data_than_it_says_is_refused():
    cloud = cloud_message(HEADER, np.ones((4, 3)))
    cloud.data = cloud.data[:-20]
    with pytest.raises(InputError):
        measured_points(cloud)
    cloud.fields = cloud.fields[:-1]
    with pytest.raises(InputError, match="intensity"):
        measured_points(cloud)


def test_a_cloud_without_points_has_none_and_one_with_too_small_points_is_refused():
    empty = cloud_message(HEADER, np.ones((0, 3)))
    empty.height = 0
    assert measured_points(empty).shape == (0, 3)
    small = cloud_message(HEADER, np.ones((4, 3)))
    small.point_step = 8
    with pytest.raises(InputError, match="point_step"):
        measured_points(small)


def test_a_tiff_of_floats_holds_metres():
    data = BytesIO()
    Image.fromarray(np.array([[2.5, np.nan], [0.0, 7.25]], np.float32)).save(data, "TIFF")
    message = SimpleNamespace(format="32FC1; tiff compressed ", data=data.getvalue())
    assert holds_depth(message)
    np.testing.assert_array_equal(depth_array(message), [[2.5, np.nan], [np.nan, 7.25]])
