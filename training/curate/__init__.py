# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Public data sets and recordings -> records to train on."""
