# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rooms of real furniture: triangle meshes, textures, light by ray casting (needs embreex)."""
