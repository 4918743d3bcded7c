# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How good answers are: metrics, reports, uncertainty, resumed runs, published figures."""
