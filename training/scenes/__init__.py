# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The renderer: boxes, furnished rooms, and the models that these are built from."""
