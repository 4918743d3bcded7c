# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""SIGINT ends a program once. A terminal sends it to the whole process group, and launch, which is
in it too, passes it on: the second one would break off an orderly end.
"""

import signal


def interrupt_once() -> None:
    """Raise KeyboardInterrupt at the first SIGINT and ignore the others; before rclpy.init, whose
    own handler calls this one. For the main thread."""
    signal.signal(signal.SIGINT, _first)


def _first(number, frame):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
