# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Fields of sensor_msgs messages <-> the house's own values, whoever makes the messages.

Knows field names and byte layouts; knows neither rclpy nor bags, whose message classes have the
same fields. Headers are copied, never made up.
"""

import sys

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import CameraError, InputError
from depthlm_ros.msgs.encodings import image_array
from depthlm_ros.view import Frame

# x y z rgb first, as every consumer expects; the colour's four bytes are 0x00RRGGBB.
CLOUD_FIELDS = ("x", "y", "z", "rgb", "distance", "stddev")
FLOAT32, FLOAT64 = 7, 8  # PointField.FLOAT32, FLOAT64


def frame_from(image, info, rectified=False, kind=Frame) -> Frame:
    """Frame of an Image or CompressedImage and the CameraInfo that holds for it.

    kind: the class of the Frame. Raises ImageError or CameraError.
    """
    decoded = image_array(image)
    height, width = decoded.shape[:2]
    stamp = image.header.stamp
    return kind(
        image=decoded,
        camera=camera_from(info, width, height, rectified),
        stamp_ns=stamp.sec * 1_000_000_000 + stamp.nanosec,
        frame_id=image.header.frame_id,
    )


def camera_from(info, width, height, rectified=False) -> Camera:
    """Camera of an image of width x height pixels, from the CameraInfo of its camera.

    CameraInfo describes the whole sensor; region of interest and binning (0 means 1) lead to
    the image, as in image_geometry. rectified: P holds and D does not, else K and D.
    Raises CameraError if the intrinsics are missing or contradict the image's size.
    """
    if image_size(info) != (width, height):
        raise CameraError(
            f"the image is {width} x {height} but camera_info describes {_described(info)}:"
            " publish the camera_info of this image"
        )
    try:
        whole = _whole(info, rectified)
    except CameraError as error:
        raise CameraError(f"camera_info, {'P' if rectified else 'K and D'}: {error}") from error
    bin_x, bin_y = _binning(info)
    return whole.cropped(*_region(info)).scaled(1 / bin_x, 1 / bin_y, width, height)


def sensor_camera(info, rectified=False) -> Camera:
    """Camera of the whole sensor at its binning: whether its intrinsics are doubtful does not
    depend on the region of interest, beside which its principal point may lie.

    Raises CameraError.
    """
    bin_x, bin_y = _binning(info)
    size = info.width // bin_x, info.height // bin_y
    return _whole(info, rectified).scaled(1 / bin_x, 1 / bin_y, *size)


def image_size(info) -> tuple:
    """(width, height) of the images that a CameraInfo describes."""
    _, _, width, height = _region(info)
    bin_x, bin_y = _binning(info)
    return width // bin_x, height // bin_y


def _whole(info, rectified) -> Camera:
    if rectified:
        fx, skew, cx, _, _, fy, cy = info.p[:7]
        return Camera(info.width, info.height, fx, fy, cx, cy, skew=skew)
    fx, skew, cx, _, fy, cy = info.k[:6]
    model = info.distortion_model or ("" if any(info.d) else "none")
    return Camera(info.width, info.height, fx, fy, cx, cy, model, tuple(info.d), skew)


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


def info_content(camera: Camera) -> dict:
    """The fields of a CameraInfo but for its header, with R the identity and P = K."""
    numbers = camera.fx, camera.fy, camera.cx, camera.cy, camera.skew
    fx, fy, cx, cy, skew = (float(v) for v in numbers)
    plain = camera.distortion == "none"
    return {
        "width": camera.width,
        "height": camera.height,
        "k": [fx, skew, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        "r": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        "p": [fx, skew, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
        "distortion_model": "plumb_bob" if plain else camera.distortion,
        "d": [0.0] * 5 if plain else [float(c) for c in camera.coefficients],
    }


def image_content(image) -> dict:
    """The fields of an Image (rgb8) but for its header, of an array (H, W, 3) uint8 RGB.

    data is a uint8 array, here and below.
    """
    height, width = image.shape[:2]
    return {
        "height": height,
        "width": width,
        "encoding": "rgb8",
        "is_bigendian": int(sys.byteorder == "big"),
        "step": 3 * width,
        "data": flat_bytes(image),
    }


def depth_content(scan) -> dict:
    """The fields of a depth Image (REP-118: 32FC1, z in metres, NaN where unknown) of a Scan.

    One pixel a cell of the grid; scan.grid_camera is the camera that took it.
    """
    return _float_content(scan, scan.ranges.z_m)


def depth_stddev_content(scan) -> dict:
    """The fields of an Image (32FC1) of the standard deviation of each z of depth_content()."""
    ranges = scan.ranges
    return _float_content(scan, ranges.stddev_m * ranges.z_m / ranges.distance_m)


def _float_content(scan, values) -> dict:
    return {
        "height": scan.rows,
        "width": scan.columns,
        "encoding": "32FC1",
        "is_bigendian": int(sys.byteorder == "big"),
        "step": 4 * scan.columns,
        "data": flat_bytes(values.astype(np.float32)),
    }


def cloud_content(scan) -> dict:
    """The fields of an organised PointCloud2 (height = rows, width = columns) of a Scan.

    All but header and fields, which are CLOUD_FIELDS, each a FLOAT32. NaN where unknown.
    """
    values = cloud_values(scan)
    return {
        "height": scan.rows,
        "width": scan.columns,
        "is_bigendian": sys.byteorder == "big",
        "point_step": values.shape[1] * values.itemsize,
        "row_step": values.shape[1] * values.itemsize * scan.columns,
        "data": flat_bytes(values),
        "is_dense": bool(np.isfinite(values[:, :3]).all()),
    }


def cloud_columns(cloud) -> dict:
    """Field -> (N,) float32 of a cloud of this layout."""
    values = np.frombuffer(cloud.data, np.float32).reshape(-1, len(CLOUD_FIELDS))
    return dict(zip(CLOUD_FIELDS, values.T, strict=True))


def cloud_points(cloud) -> tuple:
    """Points (rows, columns, 3) in metres and colours, uint8 RGB, of a cloud of this layout."""
    columns, shape = cloud_columns(cloud), (cloud.height, cloud.width, 3)
    points = np.stack([columns[axis] for axis in "xyz"], axis=1)
    packed = np.ascontiguousarray(columns["rgb"]).view(np.uint32)
    colours = np.stack([packed >> shift & 255 for shift in (16, 8, 0)], axis=1).astype(np.uint8)
    return points.reshape(shape), colours.reshape(shape)


def measured_points(cloud) -> np.ndarray:
    """(N, 3) float64 x, y, z of a PointCloud2 of any layout, without its NaN and infinities.

    Raises InputError for a cloud without these fields, or with less data than it says. Clouds
    without a point may have no fields.
    """
    if not cloud.width * cloud.height:
        return np.empty((0, 3))
    fields = {field.name: field for field in cloud.fields}
    kinds = {FLOAT32: "f4", FLOAT64: "f8"}
    if not all(axis in fields and fields[axis].datatype in kinds for axis in "xyz"):
        there = ", ".join(f"{f.name} ({f.datatype})" for f in cloud.fields) or "none"
        raise InputError(f"a cloud needs x, y and z as float32 or float64, got the fields {there}")
    order = ">" if cloud.is_bigendian else "<"
    ends = [fields[axis].offset + int(kinds[fields[axis].datatype][1]) for axis in "xyz"]
    if max(ends) > cloud.point_step:
        raise InputError(
            f"a cloud's points have {cloud.point_step} bytes (point_step), and its fields x, y and"
            f" z end at {max(ends)}"
        )
    layout = np.dtype(
        {
            "names": list("xyz"),
            "formats": [order + kinds[fields[axis].datatype] for axis in "xyz"],
            "offsets": [fields[axis].offset for axis in "xyz"],
            "itemsize": cloud.point_step,
        }
    )
    row_bytes, needed = cloud.width * cloud.point_step, cloud.row_step * cloud.height
    if cloud.row_step < row_bytes or len(cloud.data) < needed:
        raise InputError(
            f"a cloud of {cloud.width} x {cloud.height} points of {cloud.point_step} bytes has"
            f" rows of {cloud.row_step} and {len(cloud.data)} bytes"
        )
    rows = np.frombuffer(cloud.data, np.uint8)[:needed].reshape(cloud.height, -1)
    table = np.ascontiguousarray(rows[:, :row_bytes]).reshape(-1).view(layout)
    points = np.stack([table[axis].astype(np.float64) for axis in "xyz"], axis=1)
    return points[np.isfinite(points).all(axis=1)]


def flat_bytes(values) -> np.ndarray:
    """The bytes of an array, uint8, without a copy where it is contiguous."""
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


def cloud_values(scan) -> np.ndarray:
    """(rows * columns, 6) float32 in the order of CLOUD_FIELDS."""
    values = np.empty((scan.rows * scan.columns, len(CLOUD_FIELDS)), np.float32)
    values[:, :3] = scan.points.reshape(-1, 3)
    red, green, blue = scan.colours.reshape(-1, 3).astype(np.uint32).T
    values[:, 3] = (red << 16 | green << 8 | blue).view(np.float32)
    values[:, 4] = scan.ranges.distance_m
    values[:, 5] = scan.ranges.stddev_m
    return values
