# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Programs around the node: client, demo, camera, benchmark."""
