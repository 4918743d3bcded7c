# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The ROS 2 side: the only place that imports rclpy and message classes."""

from depthlm_ros.errors import MissingDependency

try:
    import rclpy  # noqa: F401
except ImportError as error:
    raise MissingDependency(
        f"ROS 2 is not in this environment ({error}): source /opt/ros/DISTRO/setup.bash where it"
        " is installed, or run `make setup` and use the commands in .venv/bin"
    ) from error
