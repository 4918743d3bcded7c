# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The readers: one data set, one module."""

from training.curate.sample import DataSet

SETS: dict[str, type[DataSet]] = {}
