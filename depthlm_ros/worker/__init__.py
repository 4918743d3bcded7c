# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The thread that owns a model, the requests that wait for it, and statistics; without ROS."""
