# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The linters of ROS, as `colcon test` runs them, where they are installed.

Their settings for this code base are in setup.cfg and here. ament_copyright is not among them: it
knows licences by their long headers, and not a line of SPDX (test_layers.py checks that).
"""

import re
from glob import glob
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ["depthlm_ros", "launch", "training", "test", "setup.py"]
# A summary may go on in a second line and need not be a command; quotes close on the last line.
DOCSTRINGS = [
    "D202",
    "D205",
    "D209",
    "D210",
    "D213",
    "D400",
    "D401",
    "D402",
    "D403",
    "D406",
    "D407",
    "D413",
    "D415",
]
REASON = "comes with a ROS 2 installation"


def linter(name):
    """main() of a linter."""
    return pytest.importorskip(f"{name}.main", reason=REASON)


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_flake8():
    checked = linter("ament_flake8").main_with_errors(argv=["--config", "setup.cfg", *CODE])
    assert checked[0] == 0, "\n".join(checked[1])


def test_pep257():
    assert linter("ament_pep257").main(argv=["--add-ignore", *DOCSTRINGS, "--", *CODE]) == 0


def test_xmllint():
    files = ["package.xml", *glob("config/*.xml")]
    assert linter("ament_xmllint").main(argv=files) == 0


def test_every_linter_that_is_run_here_is_declared():
    declared = re.findall(r"<test_depend>(ament_\w+)<", (ROOT / "package.xml").read_text())
    run = re.findall(r"linter\(\"(ament_\w+)\"\)", Path(__file__).read_text())
    assert sorted(declared) == sorted(run) and len(run) == 3
