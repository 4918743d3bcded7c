# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""When SIGINT ends what is under way: programs that run on, and a wait among rclpy's callbacks."""

import signal
import threading
from contextlib import contextmanager


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
