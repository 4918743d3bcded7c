# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The distance of every pixel in one pass: a head on the features of a vision-language model."""
