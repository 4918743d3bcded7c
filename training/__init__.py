# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Training and what it learns from; the package depthlm_ros never imports it."""

import os

# Views of training are of many sizes, again and again, and oneDNN builds its kernels anew for each
# that it does not keep: a quarter of a step of training.dense on two cores. A node keeps few, see
# depthlm_ros/models/torch_compat.py.
for _limit in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_limit, "100000")
