# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How far away is that pixel? A vision-language model answers, with or without ROS."""
