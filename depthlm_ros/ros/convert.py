# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The house's own values -> rclpy messages.

Knows nothing about nodes, topics or models; msgs/fields.py knows what the fields hold.
"""

from array import array

import numpy as np
from builtin_interfaces.msg import Duration
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from depthlm_ros.camera import Camera
from depthlm_ros.msgs.fields import (
    CLOUD_FIELDS,
    FLOAT32,
    cloud_content,
    flat_bytes,
    image_content,
    info_content,
)


def camera_info_message(header, camera: Camera) -> CameraInfo:
    """The CameraInfo of a camera, with R the identity and P = K."""
    return filled_message(CameraInfo, header, info_content(camera))


def image_message(header, image) -> Image:
    """Image message (rgb8) of an array (H, W, 3) uint8 RGB."""
    return filled_message(Image, header, image_content(image))


def cloud_message(header, scan) -> PointCloud2:
    """Organised cloud (height = rows, width = columns) of a Scan; NaN where unknown."""
    return filled_message(PointCloud2, header, cloud_content(scan))


def point_fields() -> list:
    """The PointFields of a cloud."""
    return [
        PointField(name=name, offset=4 * i, datatype=FLOAT32, count=1)
        for i, name in enumerate(CLOUD_FIELDS)
    ]


def filled_message(kind, header, content):
    """A message of a class with a header and the content of its other fields (msgs/fields.py)."""
    message = kind(header=header)
    if kind is PointCloud2:
        message.fields = point_fields()
    for name, value in content.items():
        setattr(message, name, _bytes(value) if name == "data" else value)
    return message


def fill_answers(answers, ranges, frame_id, points=None) -> None:
    """Write Ranges into a PixelDistances message, in the order asked.

    points (N, 3): in frame_id [m]; None: those of ranges, in the optical frame that it names.
    """
    points = ranges.points if points is None else points
    answers.frame_id = frame_id
    answers.status = _bytes(ranges.status)
    answers.uncertain = ranges.uncertain.tolist()
    for name, values in (
        ("distance", ranges.distance_m),
        ("lower", ranges.lower_m),
        ("upper", ranges.upper_m),
        ("stddev", ranges.stddev_m),
        ("x", points[:, 0]),
        ("y", points[:, 1]),
        ("z", points[:, 2]),
        ("asked_u", ranges.asked[:, 0]),
        ("asked_v", ranges.asked[:, 1]),
    ):
        setattr(answers, name, _floats(values))


def fill_box_answers(response, found, frame_id, points=None) -> None:
    """Write BoxRanges into a QueryRegions response, in the order asked; points as above."""
    fill_answers(response.answers, found.ranges, frame_id, points)
    response.spread = _floats(found.spread_m)
    response.answered = found.answered.tolist()
    response.inliers = found.inliers.tolist()


def duration_message(seconds: float) -> Duration:
    """Duration of non-negative seconds, below 2**31."""
    nanoseconds = int(seconds * 1e9)
    return Duration(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def _bytes(values) -> array:
    """The fast way into a uint8[] field on every distribution (others go value by value)."""
    data = array("B")
    data.frombytes(flat_bytes(values))
    return data


def _floats(values) -> array:
    data = array("f")
    data.frombytes(np.ascontiguousarray(values, dtype=np.float32).tobytes())
    return data
