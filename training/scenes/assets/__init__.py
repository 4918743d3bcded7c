# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Furniture of true size from packages that carry it, in one compact file set.

Knows nothing about rooms or images of them.
"""
