# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The engine in this process: forced wording, shared images, the number as a distribution."""
