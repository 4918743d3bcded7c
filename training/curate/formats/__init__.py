# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What files of data sets hold, apart from what any one set does with it."""
