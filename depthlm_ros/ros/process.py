# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A process of ours among ROS's: how it starts rclpy, where it logs, and how a signal ends it."""

import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import rclpy
from rclpy.context import Context
from rclpy.exceptions import ParameterException
from rclpy.signals import SignalHandlerOptions

from depthlm_ros.errors import InputError, first_line
from depthlm_ros.ros.dds import choose_profile

PATIENCE_S = 1.0  # signals that come at once are delivered in any order
NO_LOG_FILES = ["--ros-args", "--disable-external-lib-logs", "--"]


class Stop:
    """Whether SIGINT or SIGTERM has asked the process to end; made in the main thread.

    A signal raises nothing: inside rclpy's C++ an exception would come out as another one, or be
    lost. The first signal sets `requested`; further SIGINTs are ignored to the end of the process,
    since a terminal sends one to the whole process group and launch, which is in it too, passes it
    on. A SIGTERM more than PATIENCE_S after the first signal ends the process at once.
    """

    def __init__(self) -> None:
        self.requested = False
        self._since = 0.0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._come)

    def _come(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.requested:
            self.requested, self._since = True, now
            # Handlers are gone before the interpreter has ended, and then SIGINT would kill it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        elif number == signal.SIGTERM and now > self._since + PATIENCE_S:
            os._exit(128 + number)


def start_ros(args: Sequence[str] | None = None, context: Context | None = None) -> None:
    """rclpy.init() without its signal handlers, which would cut off the answers under way, and
    with shared memory that images fit into (dds.py).

    Where no log file can be written (HOME is missing or read-only), logs go to the folder of
    temporary files, and a line on stderr says so. InputError if the user chose such a folder by
    ROS_LOG_DIR, or for anything else that keeps ROS from starting.
    """
    choose_profile()
    args = [*(sys.argv if args is None else args), *_log_arguments()]
    with starting_ros():
        rclpy.init(args=args, context=context, signal_handler_options=SignalHandlerOptions.NO)


@contextmanager
def starting_ros() -> Iterator[None]:
    """InputError for what rcl or the middleware refuses while a context or a node is made."""
    try:
        yield
    except ParameterException as error:  # of those that every node has: use_sim_time:=ture
        raise InputError(f"a parameter cannot be used: {error}") from error
    except RuntimeError as error:  # rcl's errors have no public name
        reason = re.sub(r", at \S+:\d+", "", first_line(error))
        names = sorted(
            name for name in os.environ if re.match("ROS_|RMW_|FASTDDS_|FASTRTPS_", name)
        )
        given = ", ".join(f"{name}={os.environ[name]}" for name in names) or "none"
        raise InputError(
            f"ROS cannot start: {reason}. Look at the arguments behind --ros-args and at ROS's"
            f" environment variables, here {given}"
        ) from error


def _log_arguments() -> list[str]:
    """What rclpy must be told so that its logging starts; may set ROS_LOG_DIR."""
    chosen = os.environ.get("ROS_LOG_DIR")
    if chosen:
        trouble = _cannot_write(Path(chosen))
        if trouble:
            raise InputError(
                f"ROS_LOG_DIR is {chosen}, where no log can be written ({trouble}): name another"
                " folder"
            )
        return []
    trouble = _cannot_write(_usual_log_folder())
    if not trouble:
        return []
    folder = _temporary_folder()
    where = "no log files are written"
    if folder is not None:
        os.environ["ROS_LOG_DIR"] = str(folder)
        where = f"logs go to {folder}"
    print(f"{where}, since {trouble}; choose a folder by ROS_LOG_DIR", file=sys.stderr)
    return [] if folder else NO_LOG_FILES


def _usual_log_folder() -> Path | None:
    """Where rcl logs if ROS_LOG_DIR is not set; None without a home."""
    home = os.environ.get("HOME")
    ros_home = os.environ.get("ROS_HOME") or (home and os.path.join(home, ".ros"))
    return Path(ros_home, "log") if ros_home else None


def _temporary_folder() -> Path | None:
    """One for each user, so that nobody finds that of another; None if it cannot be written."""
    try:
        folder = Path(tempfile.gettempdir(), f"ros_log_{os.getuid()}")
    except FileNotFoundError:  # no place at all
        return None
    return None if _cannot_write(folder) else folder


def _cannot_write(folder: Path | None) -> str:
    """Why no file can be written into a folder, which is made; empty if one can."""
    if folder is None:
        return "HOME is not set"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{folder} cannot be made: {error.strerror}"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder} cannot be written"


@contextmanager
def interrupt_after() -> Iterator[Callable[[], bool]]:
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
