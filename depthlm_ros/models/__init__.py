# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A checkpoint as tensors: loading, images, prompts, positions, memory.

Used by engines, dense heads and training; needs torch and transformers.
"""
