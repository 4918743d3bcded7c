# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Messages <-> the house's own values: Image and CameraInfo -> Frame, answers -> messages.

Knows nothing about nodes, topics or models. Headers are copied, never made up.
"""

import sys
from array import array

import numpy as np
from builtin_interfaces.msg import Duration
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from depthlm_ros.camera import Camera
from depthlm_ros.errors import CameraError
from depthlm_ros.ros.decode import image_array
from depthlm_ros.view import Frame

# x y z rgb first, as every consumer expects; the colour's four bytes are 0x00RRGGBB.
CLOUD_FIELDS = ("x", "y", "z", "rgb", "distance", "stddev")


def frame_from(image, info, rectified=False) -> Frame:
    """Frame of an Image message and the CameraInfo that holds for it."""
    stamp = image.header.stamp
    return Frame(
        image=image_array(image),
        camera=camera_from(info, image.width, image.height, rectified),
        stamp_ns=stamp.sec * 1_000_000_000 + stamp.nanosec,
        frame_id=image.header.frame_id,
    )


def camera_from(info, width, height, rectified=False) -> Camera:
    """Camera of a picture of width x height pixels, from the CameraInfo of its camera.

    CameraInfo describes the whole sensor; region of interest and binning (0 means 1) lead to
    the picture, as in image_geometry. rectified: P holds and D does not, else K and D.
    Raises CameraError if the intrinsics are missing or contradict the picture's size.
    """
    if picture_size(info) != (width, height):
        raise CameraError(
            f"the picture is {width} x {height} but camera_info describes {_described(info)}:"
            " publish the camera_info of this picture"
        )
    try:
        whole = _whole(info, rectified)
    except CameraError as error:
        raise CameraError(f"camera_info, {'P' if rectified else 'K and D'}: {error}") from error
    bin_x, bin_y = _binning(info)
    return whole.cropped(*_region(info)).scaled(1 / bin_x, 1 / bin_y, width, height)


def picture_size(info) -> tuple:
    """(width, height) of the pictures that a CameraInfo describes."""
    _, _, width, height = _region(info)
    bin_x, bin_y = _binning(info)
    return width // bin_x, height // bin_y


def _whole(info, rectified) -> Camera:
    if rectified:
        fx, _, cx, _, _, fy, cy = info.p[:7]
        return Camera(info.width, info.height, fx, fy, cx, cy)
    fx, _, cx, _, fy, cy = info.k[:6]
    model = info.distortion_model if any(info.d) else "none"
    return Camera(info.width, info.height, fx, fy, cx, cy, model, tuple(info.d))


def _region(info):
    """(left, top, width, height) of the part of the sensor that is seen; all zero means all."""
    roi = info.roi
    if not roi.width and not roi.height:
        return 0, 0, info.width, info.height
    return roi.x_offset, roi.y_offset, roi.width, roi.height


def _binning(info):
    return max(info.binning_x, 1), max(info.binning_y, 1)


def _described(info) -> str:
    left, top, width, height = _region(info)
    text = f"{info.width} x {info.height}"
    if (width, height) != (info.width, info.height):
        text += f", of it the region {width} x {height} at ({left}, {top})"
    binning = _binning(info)
    return text + (f", binned by {binning[0]} x {binning[1]}" if max(binning) > 1 else "")


def camera_info_message(header, camera: Camera) -> CameraInfo:
    """The CameraInfo of a camera, with R the identity and P = K."""
    info = CameraInfo(header=header, width=camera.width, height=camera.height)
    fx, fy, cx, cy = (float(v) for v in (camera.fx, camera.fy, camera.cx, camera.cy))
    info.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    plain = camera.distortion == "none"
    info.distortion_model = "plumb_bob" if plain else camera.distortion
    info.d = [0.0] * 5 if plain else [float(c) for c in camera.coefficients]
    return info


def image_message(header, image) -> Image:
    """Image message (rgb8) of an array (H, W, 3) uint8 RGB."""
    height, width = image.shape[:2]
    message = Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width)
    message.is_bigendian = int(sys.byteorder == "big")
    message.data = _bytes(image)
    return message


def fill_answers(answers, ranges) -> None:
    """Write Ranges into a PixelDistances message, row by row in the order asked."""
    answers.status = _bytes(ranges.status)
    for name, values in (
        ("distance", ranges.distance_m),
        ("lower", ranges.lower_m),
        ("upper", ranges.upper_m),
        ("stddev", ranges.stddev_m),
        ("x", ranges.points[:, 0]),
        ("y", ranges.points[:, 1]),
        ("z", ranges.points[:, 2]),
        ("asked_u", ranges.asked[:, 0]),
        ("asked_v", ranges.asked[:, 1]),
    ):
        setattr(answers, name, _floats(values))


def cloud_message(header, scan) -> PointCloud2:
    """Organised cloud (height = rows, width = columns) of a Scan; NaN where unknown."""
    fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate(CLOUD_FIELDS)
    ]
    values = _cloud_values(scan)
    cloud = PointCloud2(header=header, height=scan.rows, width=scan.columns, fields=fields)
    cloud.point_step = values.shape[1] * values.itemsize
    cloud.row_step = cloud.point_step * scan.columns
    cloud.is_bigendian = sys.byteorder == "big"
    cloud.is_dense = bool(np.isfinite(values[:, :3]).all())
    cloud.data = _bytes(values)
    return cloud


def _cloud_values(scan) -> np.ndarray:
    """(rows * columns, 6) float32 in the order of CLOUD_FIELDS."""
    values = np.empty((scan.rows * scan.columns, len(CLOUD_FIELDS)), np.float32)
    values[:, :3] = scan.points.reshape(-1, 3)
    red, green, blue = scan.colours.reshape(-1, 3).astype(np.uint32).T
    values[:, 3] = (red << 16 | green << 8 | blue).view(np.float32)
    values[:, 4] = scan.ranges.distance_m
    values[:, 5] = scan.ranges.stddev_m
    return values


def duration_message(seconds: float) -> Duration:
    """Duration of non-negative seconds."""
    nanoseconds = int(seconds * 1e9)
    return Duration(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def _bytes(values) -> array:
    """The fast way into a uint8[] field on every distribution (others go value by value)."""
    data = array("B")
    data.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
    return data


def _floats(values) -> array:
    data = array("f")
    data.frombytes(np.ascontiguousarray(values, dtype=np.float32).tobytes())
    return data
