# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Group-relative policy optimisation: rewards, rollouts, trl's trainer."""
