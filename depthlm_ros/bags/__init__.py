# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Recordings (rosbag2): read, answered and written without ROS 2, by the library rosbags."""

from depthlm_ros.errors import MissingDependency

try:
    import rosbags  # noqa: F401
except ImportError as error:
    raise MissingDependency("recordings need the library rosbags: pip install rosbags") from error
