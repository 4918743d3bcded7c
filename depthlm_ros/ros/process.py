# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The command line of a program that has parameters of ROS instead of options of its own.

Knows nothing about what the parameters are.

When SIGINT ends what is under way: programs that run on, and a wait among rclpy's callbacks.
"""

import argparse
import signal
import sys
import threading
from contextlib import contextmanager

from rclpy.utilities import remove_ros_args


def interrupt_once() -> None:
    """Raise KeyboardInterrupt at the first SIGINT and ignore the others; before rclpy.init, whose
    own handler calls this one. For the main thread.

    A terminal sends SIGINT to the whole process group, and launch, which is in it too, passes it
    on: the second one would break off an orderly end.
    """
    signal.signal(signal.SIGINT, _first)


def _first(number, frame):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def interrupt_after():
    """Raise KeyboardInterrupt at the end of the block; yields whether() SIGINT has come.

    rclpy makes messages from within C++, where an exception comes out as a TypeError. Nothing
    changes in another thread than the main one, or where SIGINT is ignored.
    """
    before, came = signal.getsignal(signal.SIGINT), threading.Event()
    ours = threading.current_thread() is threading.main_thread() and callable(before)
    if ours:
        signal.signal(signal.SIGINT, lambda *_: came.set())
    try:
        yield came.is_set
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)
    if came.is_set():
        raise KeyboardInterrupt


def check_arguments(program, about, args=None) -> None:
    """Nothing for ROS's own arguments; exits with the help for --help, with 2 for any other.

    args: without the program's name; None: those of this process.
    """
    parser = argparse.ArgumentParser(
        program,
        usage=f"{program} [--help] [--ros-args -p NAME:=VALUE ... -r FROM:=TO ...]",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    try:
        given = remove_ros_args(sys.argv[1:] if args is None else args)
    except RuntimeError as error:  # what rcl raises has no public name
        parser.error(str(error))
    _, unknown = parser.parse_known_args(given)
    if unknown:
        parser.error(
            f"unknown: {' '.join(unknown)}. Parameters and remappings stand behind --ros-args"
        )
