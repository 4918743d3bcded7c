# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/Image or CompressedImage -> RGB array: byte order here, colours by a library; and
depth images -> metres.

The library is cv_bridge where the distribution brings one that works, else rosbags-image.
Knows nothing about cameras.
"""

import functools
import os
import struct
import sys
from io import BytesIO
from types import SimpleNamespace

import numpy as np

from depthlm_ros.data.files import as_rgb, read_measured, read_raster
from depthlm_ros.errors import ImageError, MissingDependency, first_line
from depthlm_ros.msgs.rvl import rvl_raster

# encoding -> (bytes of a value, values of a pixel, its name in both libraries).
ENCODINGS = {
    "rgb8": (1, 3, "rgb8"),
    "bgr8": (1, 3, "bgr8"),
    "rgba8": (1, 4, "rgba8"),
    "bgra8": (1, 4, "bgra8"),
    "mono8": (1, 1, "mono8"),
    "8UC1": (1, 1, "mono8"),
    "8UC3": (1, 3, "bgr8"),  # OpenCV's order, which is what such publishers have
    "rgb16": (2, 3, "rgb16"),
    "bgr16": (2, 3, "bgr16"),
    "rgba16": (2, 4, "rgba16"),
    "bgra16": (2, 4, "bgra16"),
    "mono16": (2, 1, "mono16"),
    "yuv422": (1, 2, "yuv422"),
    "uyvy": (1, 2, "yuv422"),
    "yuv422_yuy2": (1, 2, "yuv422_yuy2"),
    "yuyv": (1, 2, "yuv422_yuy2"),
    "nv12": (1, 1, "nv12"),
    "nv21": (1, 1, "nv21"),
    **{
        f"bayer_{order}{bits}": (bits // 8, 1, f"bayer_{order}{bits}")
        for order in ("rggb", "bggr", "gbrg", "grbg")
        for bits in (8, 16)
    },
}

# Numbers without a colour: depth in millimetres or metres, labels, disparities.
NO_IMAGE = ("16UC1", "16SC1", "32SC1", "32FC1", "64FC1")
# Of depth images (REP-118): values and how many are a metre; 0 and what is not finite is unknown.
DEPTHS = {"16UC1": ("u2", 1000), "mono16": ("u2", 1000), "32FC1": ("f4", 1)}
DEPTH_ALONE = "16UC1", "32FC1"  # mono16 may be an image too
_DEPTH_HEADER = struct.Struct("<iff")  # of compressedDepth: format, quantisation a and b
PLANAR = ("nv12", "nv21")  # a plane of luma, and below it half as high one of colours

# Their cv_bridge is compiled against NumPy 1; under NumPy 2 it can crash the process.
NUMPY_1_DISTRIBUTIONS = ("humble", "jazzy", "kilted")


def image_array(message) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an Image or CompressedImage message.

    Padded rows and either byte order. Of 16-bit values the high byte counts: full scale stays
    full scale, whatever the image holds. Alpha is ignored. A compressed image is what the first
    part of its format says, so that it gives the pixels of the raw one. Raises ImageError that
    names what came and what is allowed.
    """
    return _decompressed(message) if hasattr(message, "format") else _raw(message)


def depth_array(message) -> np.ndarray:
    """(H, W) float32 metres of a depth image, NaN where unknown: an Image (16UC1 millimetres,
    32FC1 metres), or a CompressedImage of compressed_depth_image_transport (PNG or RVL), of a
    PNG of 16 bits or of a TIFF. Raises ImageError that names what came and what is allowed.
    """
    metres = _decompressed_depth(message) if hasattr(message, "format") else _raw_depth(message)
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.nan).astype(np.float32)


def holds_depth(message) -> bool:
    """Whether depth_array, and not image_array, is for an Image or CompressedImage."""
    if hasattr(message, "format"):
        encoding = message.format.partition(";")[0].strip()
        return "compressedDepth" in message.format or encoding in DEPTH_ALONE
    return message.encoding in DEPTH_ALONE


def _raw_depth(message) -> np.ndarray:
    if message.encoding not in DEPTHS:
        raise ImageError(
            f"a depth image in '{_short(message.encoding)}' is not understood, allowed:"
            f" {', '.join(DEPTHS)}"
        )
    values, per_metre = DEPTHS[message.encoding]
    size = np.dtype(values).itemsize
    row_bytes, needed = message.width * size, message.step * message.height
    if not row_bytes or message.step < row_bytes or len(message.data) < needed:
        raise ImageError(
            f"a {message.width} x {message.height} depth image in '{message.encoding}' has a step"
            f" of {message.step} and {len(message.data)} bytes of data"
        )
    data = np.frombuffer(message.data, np.uint8)[:needed].reshape(message.height, message.step)
    order = ">" if message.is_bigendian else "<"
    rows = np.ascontiguousarray(data[:, :row_bytes]).view(f"{order}{values}")
    return rows.astype(np.float32) / np.float32(per_metre)


def _decompressed_depth(message) -> np.ndarray:
    """The transport compressedDepth stores floats as quantised inverse depth, a / (value - b);
    other files hold them as they are."""
    encoding, _, how = (part.strip() for part in message.format.partition(";"))
    data, name = bytes(message.data), f"the content of a '{_short(message.format)}' message"
    if encoding not in DEPTHS:
        raise ImageError(
            f"'{_short(message.format)}' is not understood: record the raw depth image, or with"
            " the transport compressedDepth"
        )
    a, b = 0.0, 0.0
    if "compressedDepth" in how:
        if len(data) < _DEPTH_HEADER.size:
            raise ImageError(f"{name} has {len(data)} bytes, fewer than its header")
        _, a, b = _DEPTH_HEADER.unpack(data[: _DEPTH_HEADER.size])
        data = data[_DEPTH_HEADER.size :]
    is_rvl = how.endswith("rvl")
    raster = rvl_raster(data, name) if is_rvl else read_measured(BytesIO(data), name)
    raw = raster.astype(np.float32)
    if encoding != "32FC1" or "compressedDepth" not in how:
        return raw / np.float32(DEPTHS[encoding][1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(raw > 0, a / (raw - b), np.nan)


def _decompressed(message) -> np.ndarray:
    """The stored raster: camera_info knows nothing of an orientation in EXIF."""
    encoding = message.format.partition(";")[0].strip()
    if "compressedDepth" in message.format or encoding in NO_IMAGE:
        raise ImageError(f"'{_short(message.format)}' holds depth or numbers and no colours")
    name = f"the content of a '{_short(message.format)}' message"
    raster = read_raster(BytesIO(message.data), name)
    if encoding.startswith("bayer_") and raster.ndim == 2:
        order = encoding.rstrip("0123456789")
        return _to_rgb(raster, f"{order}{8 * raster.itemsize}")
    return as_rgb(raster)


def _raw(message) -> np.ndarray:
    if message.encoding in NO_IMAGE:
        raise ImageError(
            f"'{message.encoding}' holds depth or numbers and no colours: subscribe the colour"
            " image (16-bit grey is 'mono16')"
        )
    if message.encoding not in ENCODINGS:
        allowed = ", ".join(ENCODINGS)
        raise ImageError(
            f"encoding '{_short(message.encoding)}' is not understood, allowed: {allowed}"
        )
    return _to_rgb(_rows(message), ENCODINGS[message.encoding][2], message.width, message.height)


def _to_rgb(rows: np.ndarray, encoding: str, width: int = 0, height: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 RGB of rows in one of the libraries' encodings."""
    if encoding in PLANAR:
        return _from_planes(rows, encoding)
    plain = SimpleNamespace(
        height=height or rows.shape[0],
        width=width or rows.shape[1],
        encoding=encoding,
        is_bigendian=int(sys.byteorder == "big"),
        step=rows.shape[1] * rows.itemsize,
        data=rows,
    )
    if rows.itemsize == 1:
        return _in_colours(plain, "rgb8")
    return (_in_colours(plain, "rgb16") >> 8).astype(np.uint8)


def _from_planes(rows: np.ndarray, encoding: str) -> np.ndarray:
    import cv2

    code = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}[encoding]
    return np.ascontiguousarray(cv2.cvtColor(rows, code))


def _rows(message) -> np.ndarray:
    """(H, values of a row), uint8 or uint16 in this machine's byte order, without padding."""
    size, channels, name = ENCODINGS[message.encoding]
    form = f"a {message.width} x {message.height} image in '{message.encoding}'"
    if not message.width or not message.height:
        raise ImageError(f"{form} is empty")
    height = message.height
    if name.startswith("yuv422") and message.width % 2:  # which OpenCV 4.5 reads somehow
        raise ImageError(f"{form} has an odd width, but its pixels share colours in pairs")
    if name in PLANAR:
        if message.width % 2 or message.height % 2:
            raise ImageError(f"{form} has an odd size, which its colour plane cannot have")
        height += height // 2
    row_bytes = message.width * channels * size
    needed = message.step * height
    if message.step < row_bytes or len(message.data) < needed:
        raise ImageError(
            f"{form} needs a step of {row_bytes} bytes or more and {height} steps of data,"
            f" got a step of {message.step} and {len(message.data)} bytes"
        )
    data = np.frombuffer(message.data, np.uint8)[:needed].reshape(height, message.step)
    rows = np.ascontiguousarray(data[:, :row_bytes]).view(f"u{size}")
    foreign = bool(message.is_bigendian) != (sys.byteorder == "big")
    return rows.byteswap() if foreign and size > 1 else rows


def _in_colours(plain, target) -> np.ndarray:
    decode = decoder()
    try:
        return np.ascontiguousarray(decode(plain, target))
    except Exception as error:  # OpenCV and the libraries raise classes of their own
        raise ImageError(
            f"a {plain.width} x {plain.height} image in '{plain.encoding}' cannot be decoded:"
            f" {_reason(error)}"
        ) from error


def _reason(error) -> str:
    """In words; an assertion of OpenCV names lines of its source and no cause."""
    if "Assertion failed" in str(error):
        return "its size or content does not fit the encoding"
    return first_line(error)


@functools.cache
def decoder():
    """A function (message, target encoding) -> array, of the first library that works."""
    for find in (_cv_bridge, _rosbags_image):
        decode = find()
        if decode is not None:
            return decode
    raise MissingDependency(
        "images cannot be decoded without cv_bridge or rosbags-image:"
        " pip install 'rosbags-image[opencv-headless]'"
    )


def _short(text: str) -> str:
    """As much of a string of a message as an error can show."""
    return text if len(text) <= 60 else text[:57] + "..."


def _cv_bridge():
    numpy_major = int(np.__version__.partition(".")[0])
    if numpy_major >= 2 and os.environ.get("ROS_DISTRO") in NUMPY_1_DISTRIBUTIONS:
        return None
    probe = SimpleNamespace(
        height=2, width=2, encoding="bayer_rggb8", is_bigendian=0, step=2, data=bytes(4)
    )
    try:
        from cv_bridge import CvBridge

        decode = CvBridge().imgmsg_to_cv2
        decode(probe, "rgb8")
    except Exception:  # noqa: BLE001, it fails in many ways beside a foreign NumPy or OpenCV
        return None
    return decode


def _rosbags_image():
    try:
        from rosbags.image import image_to_cvimage
    except ImportError:
        return None
    return image_to_cvimage
