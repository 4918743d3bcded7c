# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What every recipe shares: run folder, resume, guard, manifest, export."""
