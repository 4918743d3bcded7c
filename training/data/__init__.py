# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Examples and rows: images with known distances -> batches to train on."""
