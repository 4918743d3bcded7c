# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The house's own values -> messages of the library rosbags, as ros/convert.py makes rclpy's.

What the fields hold is known by depthlm_ros/msgs.
"""

import numpy as np

from depthlm_ros.bags.reader import STORE
from depthlm_ros.msgs.fields import CLOUD_FIELDS, FLOAT32, image_content, info_content
from depthlm_ros.msgs.streams import KINDS, grid_contents


def streams(header, frame, scan, compressed=False):
    """(topic below the node's, message) of each stream of a scan of a frame; header as given.

    compressed: the overlay as JPEG, as large or small as the camera's own images.
    """
    stamp_ns = header.stamp.sec * 10**9 + header.stamp.nanosec
    header = header_message(stamp_ns, header.frame_id)
    left_out = "overlay" if compressed else "overlay/compressed"
    for name, content in grid_contents(frame, scan).items():
        if name != left_out:
            yield name, _filled(KINDS[name], header, content())


def image_message(header, image):
    """sensor_msgs/Image (rgb8) of an array (H, W, 3) uint8 RGB."""
    return _filled("sensor_msgs/msg/Image", header, image_content(image))


def info_message(header, camera):
    """sensor_msgs/CameraInfo of a Camera."""
    return _filled("sensor_msgs/msg/CameraInfo", header, info_content(camera))


def header_message(stamp_ns, frame_id):
    """std_msgs/Header of nanoseconds."""
    stamp = _made("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return _made("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def _filled(kind, header, content):
    """A message of this type with the content that its fields need."""
    if kind.endswith("/PointCloud2"):
        content["fields"] = [
            _made("sensor_msgs/msg/PointField", name=name, offset=4 * i, datatype=FLOAT32, count=1)
            for i, name in enumerate(CLOUD_FIELDS)
        ]
    if kind.endswith("/CameraInfo"):
        content |= {name: np.array(content[name], np.float64) for name in "dkrp"}
        roi = dict.fromkeys(("x_offset", "y_offset", "height", "width"), 0)
        content |= {"binning_x": 0, "binning_y": 0}
        content["roi"] = _made("sensor_msgs/msg/RegionOfInterest", **roi, do_rectify=False)
    return _made(kind, header=header, **content)


def _made(kind, **fields):
    return STORE.types[kind](**fields)
