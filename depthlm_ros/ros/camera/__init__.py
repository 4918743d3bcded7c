# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What comes in: images and camera_info of one or several cameras, paired."""
