# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What several test files need."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# Small matrices: a second thread gains nothing, and on a busy machine it makes them 60x slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that puts the tests into the background makes them and their children deaf to SIGINT.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Weights that a test draws are the same whichever tests ran before it in its process."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def ibims1():
    """The folder of the iBims-1 extract, which the project may read and not ship."""
    shared = Path(os.environ.get("DEPTHLM_SHARED", ROOT.parent / "shared"))
    folder = shared / "data" / "ibims1"
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/data/ibims1 (or DEPTHLM_SHARED): there is no {folder}")
    return folder


@pytest.fixture
def image_file(tmp_path):
    """The path of an image of 64 x 48 pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


@pytest.fixture
def run(capsys):
    """A function (arguments of the command line) -> (exit code, stdout, stderr)."""
    from depthlm_ros.cli import main

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    return run
