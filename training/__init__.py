# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Training and what it learns from; the package depthlm_ros never imports it."""
