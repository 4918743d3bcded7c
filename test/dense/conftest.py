# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Tiny models for these tests."""

from testing.fixtures import asked, checkpoints, copy_of, engines, view_of

__all__ = ["asked", "checkpoints", "copy_of", "engines", "view_of"]
