# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""python3 -m depthlm_ros"""

import sys

from depthlm_ros.cli import main

if __name__ == "__main__":
    sys.exit(main())
