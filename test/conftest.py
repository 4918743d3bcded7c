# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What several test files need."""

import os
from pathlib import Path

import pytest

# Small matrices: a second thread gains nothing, and on a busy machine it makes them 60x slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def ibims1():
    """The folder of the iBims-1 extract, which the project may read and not ship."""
    shared = Path(os.environ.get("DEPTHLM_SHARED", ROOT.parent / "shared"))
    folder = shared / "data" / "ibims1"
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/data/ibims1 (or DEPTHLM_SHARED): there is no {folder}")
    return folder
