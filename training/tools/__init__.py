# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Commands around training: average, grow, replicate, bench_data."""
