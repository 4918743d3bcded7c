# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The programs depthlm_node and depthlm_demo_camera: Ctrl+C ends them in one line from the start.

What they run needs about half a second to be imported, in which an interrupt would end in a
traceback out of whatever library is being read.
"""

import os
import signal
import sys
from importlib import import_module

from depthlm_ros.errors import MissingDependency


def depthlm_node() -> int:
    """Run the node; see ros/node.py for the exit status."""
    return _run("depthlm_node", "depthlm_ros.ros.node")


def depthlm_demo_camera() -> int:
    """Run the camera that shows one image; see ros/tools/demo_camera.py."""
    return _run("depthlm_demo_camera", "depthlm_ros.ros.tools.demo_camera")


def _run(program: str, module: str) -> int:
    """The exit status of module.main(), 2 where ROS 2 is missing; 130 if interrupted before."""

    def interrupted(*_):
        # Not by an exception: while a C++ module is imported it would come out as another one.
        os.write(2, f"{program}: interrupted\n".encode())
        os._exit(130)

    signal.signal(signal.SIGINT, interrupted)
    try:
        main = import_module(module).main
    except MissingDependency as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return main()  # takes SIGINT over
