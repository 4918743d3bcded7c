# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""`make setup`: .venv, in which ROS 2, torch and this package run together.

With ROS 2 sourced, .venv sees that installation; without one, ROS 2 comes as wheels. .venv holds a
record of what was done, so that a second call is quick and silent. Standard library only, since
this runs before anything is installed. Knows the order of the steps and when one may be skipped;
interpreters.py finds the Python, packages.py calls pip, interfaces.py compiles.

PYTHON=...  the interpreter to use      TORCH=...  a wheel, a version, or the URL of an index
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import interfaces
import packages
from interpreters import Refused, choose, imports, require, run_probe

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
RECORD = VENV / "setup.json"
INTERFACES = ROOT / interfaces.NAME
METADATA = [ROOT / name for name in ("setup.py", "setup.cfg", "pyproject.toml")]
# What another environment left in the shell, and an environment of wheels must not see.
FOREIGN = (
    "PYTHONPATH",
    "PYTHONHOME",
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)


def main():
    """Exits 0, or says in a few lines why not; two calls at once wait for each other."""
    folder = os.open(str(ROOT), os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        Setup(os.environ).run()
    except Refused as refused:
        sys.exit(f"make setup: {refused}")
    except subprocess.CalledProcessError as failed:
        sys.exit(
            "make setup: this failed, and its own words stand above:\n    {}".format(
                " ".join(map(str, failed.cmd))
            )
        )
    except KeyboardInterrupt:
        sys.exit("make setup: interrupted. The next call mends what is half done.")


def say(text):
    print("setup: " + text, flush=True)


def fingerprint(*paths):
    """A hash of files, and of all files in folders, by name and content."""
    seen = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                seen.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return seen.hexdigest()[:16]


class Setup:
    """One call: what the shell asks for, against what .venv has a record of."""

    def __init__(self, shell):
        self.ros = shell.get("ROS_DISTRO", "") if shell.get("AMENT_PREFIX_PATH") else ""
        dropped = () if self.ros else FOREIGN
        self.environment = {name: shell[name] for name in shell if name not in dropped}
        self.record = self.read_record()
        self.python = shell.get("PYTHON") or self.record.get("asked_python", "")
        self.torch = shell.get("TORCH") or self.record.get("asked_torch", "")
        packages.torch_arguments(self.torch)

    def read_record(self):
        try:
            return json.loads(RECORD.read_text())
        except (OSError, ValueError):
            return {}

    def note(self, **what):
        """Records it at once and whole: the next moment may bring an interrupt."""
        self.record.update(what)
        RECORD.with_suffix(".new").write_text(json.dumps(self.record, indent=1))
        RECORD.with_suffix(".new").replace(RECORD)

    def run(self):
        reason = self.why_new()
        if reason:
            self.make_venv(reason)
        requirements = fingerprint(ROOT / "requirements")
        self.step("packages", [requirements, self.torch], self.install)
        overlay = self.environment.get("AMENT_PREFIX_PATH", "")
        self.step("interfaces", [fingerprint(INTERFACES), overlay], self.add_interfaces)
        self.step("package", [fingerprint(*METADATA)], self.add_package)

    def step(self, name, value, action):
        """Does what is not on record; while it is half done there is no record."""
        if self.record.get(name) != value:
            self.note(**{name: None})
            action()
            self.note(**{name: value})
            say(f"{name}: done")

    def why_new(self):
        """Why .venv cannot be used or mended as it is; empty where it can."""
        if not VENV.exists():
            return "there is none"
        if not self.record.get("packages"):
            return "the last setup did not finish"
        if self.record["folder"] != str(ROOT):
            return "it was made in {}".format(self.record["folder"])
        if self.record["ros"] != self.ros:
            names = [ros or "wheels" for ros in (self.record["ros"], self.ros)]
            return "ROS 2 came from {} and comes from {} now".format(*names)
        if self.record["asked_python"] != self.python:
            return f"PYTHON={self.python}"
        return "" if self.has("pip") else "its Python does not start any more"

    def has(self, module):
        return imports(VENV / "bin" / "python", module, self.environment)

    def make_venv(self, reason):
        python = choose(self.python, self.environment, bool(self.ros))
        require(python, builds=not self.overlay_brings_interfaces(python.path))
        say(
            "making .venv ({}): ROS 2 {}, Python {} ({})".format(
                reason, self.ros or "Jazzy as wheels", python.release, python.path
            )
        )
        self.point_to_installation()
        shutil.rmtree(VENV, ignore_errors=True)
        options = ["--system-site-packages"] if self.ros else []
        subprocess.run(
            [python.path, "-m", "venv", *options, VENV], env=self.environment, check=True
        )
        self.record = {}
        self.note(folder=str(ROOT), ros=self.ros, python=python.path, asked_python=self.python)

    def point_to_installation(self):
        found = [] if self.ros else sorted(Path("/opt/ros").glob("*/setup.bash"))
        if found:
            say(f"to use the ROS 2 on this machine instead: source {found[-1]}")

    def overlay_brings_interfaces(self, python):
        """Whether a sourced workspace holds the interfaces (what .venv/ros holds is ours)."""
        return bool(self.ros) and imports(python, interfaces.NAME + ".msg", self.environment)

    def install(self):
        replace_torch = bool(self.torch) and self.torch != self.record.get("asked_torch")
        installer = packages.Installer(VENV, self.ros, self.record["python"], self.environment)
        installer.install(self.torch, replace_torch)
        self.note(asked_torch=self.torch)
        if not self.ros:
            interfaces.repair_wheels(VENV, self.environment)
        interfaces.write_environment(VENV, bool(self.ros))

    def add_interfaces(self):
        """Compiles them, unless a sourced workspace has done so."""
        interfaces.forget(VENV)
        if self.overlay_brings_interfaces(self.record["python"]):
            return
        require(run_probe(self.record["python"], self.environment), builds=True)
        say(f"building {interfaces.NAME} (half a minute)")
        interfaces.build(INTERFACES, VENV, bool(self.ros), self.environment)

    def add_package(self):
        """Links to the sources, so that what runs is never stale; scripts land in .venv/bin."""
        packages.pip(
            VENV,
            self.environment,
            "-qq",
            "--no-deps",
            "--no-build-isolation",
            "--use-pep517",
            "-e",
            ROOT,
        )


if __name__ == "__main__":
    main()
