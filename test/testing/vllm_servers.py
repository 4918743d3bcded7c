# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Real vLLM on a CPU, started as users start it, by `depthlm serve`, from `.venv-vllm`.

`make test-vllm` makes that environment; where it is not, the tests that need it are skipped.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(os.environ.get("DEPTHLM_VLLM", ROOT / ".venv-vllm" / "bin" / "python"))
START_S = 600
MISSING = f"needs vLLM in {PYTHON.parent.parent}: make test-vllm installs it"
# Small machines: one thread a server, few questions at a time.
VARIABLES = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
ARGUMENTS = "--max-num-seqs 64"


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Served:
    """A server process, ready once wait() returns. core: to pin it to, None for any."""

    def __init__(self, log, port=None, arguments="", options=(), core=None):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        command = [sys.executable, "-m", "depthlm_ros", "serve", "tiny", "--port", str(self.port)]
        command += ["--python", str(PYTHON), *options, f"--vllm={ARGUMENTS} {arguments}"]
        pinned = [] if core is None else ["taskset", "-c", str(core)]
        with open(log, "ab") as file:
            self.process = subprocess.Popen(
                [*pinned, *command],
                stdout=file,
                stderr=file,
                env={**os.environ, **VARIABLES},
                cwd=ROOT,
                start_new_session=True,
            )

    def wait(self):
        """Until it answers; RuntimeError with the end of its log where it does not."""
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        self.stop(signal.SIGKILL)
        raise RuntimeError(f"vLLM did not start:\n{Path(self._log).read_text()[-3000:]}")

    def command_lines(self):
        """Those of its processes, as every user of the machine can read them."""
        command = ["ps", "-ww", "-o", "args=", "-g", str(self.process.pid)]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout

    def send(self, what):
        """A signal to all of its processes."""
        try:
            os.killpg(self.process.pid, what)
        except ProcessLookupError:
            pass

    def stop(self, how=signal.SIGTERM):
        """End it, and wait for that."""
        self.send(how)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        self.send(signal.SIGKILL)
        self.process.wait()
