# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What is told of an answered image: one list of topics, for the node and for recordings.

A content is a dict of a message's fields but for its header; it is made when its function is
called, so that nothing is computed that nobody wants.
"""

import functools
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from depthlm_ros.msgs.fields import (
    cloud_content,
    depth_content,
    depth_stddev_content,
    image_content,
    info_content,
)
from depthlm_ros.ranges import Ranges
from depthlm_ros.scan import Scan, grid_camera, trusted
from depthlm_ros.view import Frame
from depthlm_ros.viz.overlay import overlay

KINDS = {
    "points": "sensor_msgs/msg/PointCloud2",
    "depth/image": "sensor_msgs/msg/Image",
    "depth/stddev": "sensor_msgs/msg/Image",
    "depth/camera_info": "sensor_msgs/msg/CameraInfo",
    "overlay": "sensor_msgs/msg/Image",
    "overlay/compressed": "sensor_msgs/msg/CompressedImage",
}
JPEG_QUALITY = 90

Contents = dict[str, Callable[[], dict[str, Any]]]


def overlay_contents(frame: Frame, ranges: Ranges, max_width: int = 0) -> Contents:
    """Topic -> function that makes its content, of whatever was asked about a frame.

    max_width: pixels; a wider overlay is made smaller; 0: never.
    """

    @functools.cache
    def drawn():
        return _drawn(frame.image, ranges, max_width)

    return {
        "overlay": lambda: image_content(drawn()),
        "overlay/compressed": lambda: _jpeg_content(drawn()),
    }


def grid_contents(
    frame: Frame, scan: Scan, max_width: int = 0, max_stddev: float = 0.0, max_edge: float = 0.0
) -> Contents:
    """The same of a grid over the whole frame: all topics of KINDS.

    max_stddev, max_edge: which points the cloud leaves out, see scan.trusted.
    """
    camera = grid_camera(frame.camera, scan.columns, scan.rows)
    return {
        "points": lambda: cloud_content(trusted(scan, max_stddev, max_edge)),
        "depth/image": lambda: depth_content(scan),
        "depth/stddev": lambda: depth_stddev_content(scan),
        "depth/camera_info": lambda: info_content(camera),
        **overlay_contents(frame, scan.ranges, max_width),
    }


def _drawn(image, ranges, max_width) -> np.ndarray:
    height, width = image.shape[:2]
    pixels = ranges.asked
    if 0 < max_width < width:
        scale = max_width / width
        size = max_width, max(round(height * scale), 1)
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
        pixels = (np.asarray(pixels) + 0.5) * scale - 0.5  # pixel centres
    return overlay(image, pixels, ranges.distance_m, ranges.uncertain)


def _jpeg_content(image) -> dict[str, Any]:
    file = BytesIO()
    Image.fromarray(image).save(file, "jpeg", quality=JPEG_QUALITY)
    return {"format": "jpeg", "data": np.frombuffer(file.getvalue(), np.uint8)}
