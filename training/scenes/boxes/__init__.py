# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A procedural world with true sizes: solids, surfaces, things, places."""
