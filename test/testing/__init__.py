# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What tests of several folders build: predictors and models of their own."""
