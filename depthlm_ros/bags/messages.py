# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The house's own values -> messages of the library rosbags, as ros/convert.py makes rclpy's.

What the fields hold is known by depthlm_ros/msgs/fields.py.
"""

from io import BytesIO

import numpy as np
from PIL import Image

from depthlm_ros.bags.reader import STORE
from depthlm_ros.msgs.fields import (
    CLOUD_FIELDS,
    FLOAT32,
    cloud_content,
    depth_content,
    image_content,
    info_content,
)
from depthlm_ros.scan import grid_camera
from depthlm_ros.viz.overlay import overlay

_ROI = ("x_offset", "y_offset", "height", "width")


def streams(header, frame, scan, compressed=False):
    """(topic below the node's, message) of each stream of a scan of a frame; header as given.

    compressed: the overlay as JPEG, as large or small as the camera's own pictures.
    """
    stamp_ns = header.stamp.sec * 10**9 + header.stamp.nanosec
    header = header_message(stamp_ns, header.frame_id)
    camera = grid_camera(frame.camera, scan.columns, scan.rows)
    drawn = overlay(frame.image, scan.ranges.asked, scan.ranges.distance_m)
    yield "points", _cloud(header, scan)
    yield "depth/image", _made("sensor_msgs/msg/Image", header=header, **depth_content(scan))
    yield "depth/camera_info", info_message(header, camera)
    if compressed:
        yield "overlay/compressed", _jpeg(header, drawn)
    else:
        yield "overlay", image_message(header, drawn)


def image_message(header, image):
    """sensor_msgs/Image (rgb8) of an array (H, W, 3) uint8 RGB."""
    return _made("sensor_msgs/msg/Image", header=header, **image_content(image))


def info_message(header, camera):
    """sensor_msgs/CameraInfo of a Camera."""
    content = info_content(camera)
    content.update({name: np.array(content[name], np.float64) for name in "dkrp"})
    roi = _made("sensor_msgs/msg/RegionOfInterest", **dict.fromkeys(_ROI, 0), do_rectify=False)
    return _made(
        "sensor_msgs/msg/CameraInfo", header=header, **content, binning_x=0, binning_y=0, roi=roi
    )


def header_message(stamp_ns, frame_id):
    """std_msgs/Header of nanoseconds."""
    stamp = _made("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return _made("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def _cloud(header, scan):
    fields = [
        _made("sensor_msgs/msg/PointField", name=name, offset=4 * i, datatype=FLOAT32, count=1)
        for i, name in enumerate(CLOUD_FIELDS)
    ]
    content = cloud_content(scan)
    return _made("sensor_msgs/msg/PointCloud2", header=header, fields=fields, **content)


def _jpeg(header, image):
    file = BytesIO()
    Image.fromarray(image).save(file, "jpeg", quality=90)
    data = np.frombuffer(file.getvalue(), np.uint8)
    return _made("sensor_msgs/msg/CompressedImage", header=header, format="jpeg", data=data)


def _made(kind, **fields):
    return STORE.types[kind](**fields)
