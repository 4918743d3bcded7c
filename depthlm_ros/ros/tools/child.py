# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A Python module run as a process of its own, and always stopped.

Knows nothing about ROS but that SIGINT is how its processes end.
"""

import contextlib
import os
import signal
import subprocess
import sys


@contextlib.contextmanager
def undisturbed():
    """Hold SIGINT and SIGTERM back until the end; between a fork and its bookkeeping they would
    leave a process that nobody stops. For the main thread."""
    came = []
    numbers = signal.SIGINT, signal.SIGTERM
    before = [signal.signal(number, lambda number, _: came.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        for number in came:
            os.kill(os.getpid(), number)


class Child:
    """python -m module arguments..., in a session of its own, its output in a file.

    environment: variables on top of this process's own. A context manager that stops it.
    """

    def __init__(self, module, arguments=(), environment=None, log="child.log"):
        self.log = log
        with open(log, "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl+C in the terminal is passed on by stop() alone
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self):
        """Its exit status, None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """What it wrote so far."""
        with open(self.log, errors="replace") as file:
            return file.read()

    def stop(self, timeout=8.0) -> int:
        """SIGINT, then SIGKILL after `timeout` seconds; the exit status."""
        if self.status is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            return self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
