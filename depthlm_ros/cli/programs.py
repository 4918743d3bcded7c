# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The programs depthlm_node and depthlm_demo_camera: Ctrl+C ends them in one line from the start.

What they run needs about half a second to be imported, in which an interrupt would end in a
traceback out of whatever library is being read. scripts/ hold SIGINT back until this module runs.
"""

import os
import signal
import sys
from importlib import import_module

from depthlm_ros.errors import MissingDependency

PROGRAMS = {
    "depthlm_node": "depthlm_ros.ros.node",
    "depthlm_demo_camera": "depthlm_ros.ros.tools.demo_camera",
}


def main() -> int:
    """Run the program that is named by the first word: its exit status, 2 where ROS 2 is missing,
    130 if it was interrupted before it ran."""
    program = sys.argv.pop(1)
    sys.argv[0] = program

    def interrupted(*_):
        # Not by an exception: while a C++ module is imported it would come out as another one.
        os.write(2, f"{program}: interrupted\n".encode())
        os._exit(130)

    signal.signal(signal.SIGINT, interrupted)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        run = import_module(PROGRAMS[program]).main
    except MissingDependency as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return run()  # takes SIGINT over


if __name__ == "__main__":
    sys.exit(main())
