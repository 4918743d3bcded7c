# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Photographs to learn from, cut out of panoramas."""
