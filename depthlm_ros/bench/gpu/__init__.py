# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What only a GPU can tell: is it right there (right.py), how fast is it (speed.py), what does it
wait for (waits.py). run.py carries it out as plan.py says."""
