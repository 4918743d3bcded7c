# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Fields and encodings of sensor_msgs <-> the package's own types, without rclpy."""
