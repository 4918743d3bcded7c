# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Names of nodes, topics and namespaces as ROS 2 allows them, without rclpy."""

WORD = r"(?!\w*__)[A-Za-z_][A-Za-z0-9_]*"
PATH = rf"{WORD}(/{WORD})*"
RULE = "words of letters, digits and single underscores, no digit first, a slash between two"
