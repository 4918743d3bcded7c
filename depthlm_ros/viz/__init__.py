# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Answers to look at: overlays, distance colours, point cloud files and images, contact sheets."""
