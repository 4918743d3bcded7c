# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Which Python the environment is made with, and which apt packages are missing for that.

Every candidate is run, since a name in PATH proves nothing: the shim of a version manager is found
and fails, a python3 may lack venv, and only one of several can import the rclpy of a distribution.
Knows nothing about pip, wheels or the environment that is made.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass

NAMES = ("python3", "python3.12", "python3.13", "python3.11", "python3.10")
OLDEST, NEWEST_WHEELS = (3, 10), (3, 13)

PROBE = """
import importlib.util as util, json, os, sys, sysconfig
try:
    import rclpy
except ImportError as error:
    rclpy = None
header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
print(json.dumps({
    "path": getattr(sys, "_base_executable", None) or sys.executable,
    "version": sys.version_info[:3],
    "has_venv": bool(util.find_spec("venv") and util.find_spec("ensurepip")),
    "has_headers": os.path.isfile(header),
    "has_rclpy": rclpy is not None,
}))
"""


class Refused(Exception):
    """What is wrong and what to do about it, in words for the terminal."""


@dataclass(frozen=True)
class Interpreter:
    path: str
    version: tuple
    has_venv: bool
    has_headers: bool
    has_rclpy: bool

    @property
    def minor(self):
        return tuple(self.version[:2])

    @property
    def release(self):
        return ".".join(map(str, self.version))

    @property
    def package(self):
        """The apt package of this version, "python3.12"."""
        return "python{}.{}".format(*self.minor)


def run_probe(name, environment):
    """The interpreter behind a name or path, or None where it does not start."""
    try:
        done = subprocess.run(
            [name, "-c", PROBE],
            env=environment,
            timeout=60,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return Interpreter(**json.loads(done.stdout.decode().splitlines()[-1]))
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        return None


def imports(python, module, environment):
    """Whether this Python can import a module. Asked elsewhere: the sources hold namesakes."""
    try:
        return not subprocess.run(
            [python, "-c", "import " + module],
            env=environment,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
    except OSError:
        return False


def candidates(asked, beside_ros):
    """The names to try, best first. ROS 2 of a distribution is built for the system's python3."""
    if asked:
        return [asked]
    return ["/usr/bin/python3", *NAMES] if beside_ros else list(NAMES)


def choose(asked, environment, beside_ros):
    """The first candidate that fits and lacks nothing, else the first that fits.

    A fitting one imports rclpy, or is a version that the wheels exist for. asked: PYTHON of the
    command line, then the only candidate; may be empty.
    """
    tried = [(name, run_probe(name, environment)) for name in candidates(asked, beside_ros)]
    fitting = [found for _, found in tried if found and fits(found, beside_ros)]
    if not fitting:
        raise Refused(refusal(tried, beside_ros))
    return next((found for found in fitting if not missing_packages(found)), fitting[0])


def fits(found, beside_ros):
    if beside_ros:
        return found.has_rclpy and found.minor >= OLDEST
    return OLDEST <= found.minor <= NEWEST_WHEELS


def refusal(tried, beside_ros):
    wanted = "imports rclpy" if beside_ros else "is 3.10 to 3.13, which ROS 2 wheels exist for"
    what = [
        "{}: {}".format(name, found.release if found else "does not start")
        for name, found in tried
    ]
    return (
        "no Python that {}.\nTried {}.\nInstall one and name it: "
        "make setup PYTHON=/path/to/python3.12".format(wanted, "; ".join(what))
    )


def missing_packages(python, builds=True):
    """apt packages without which the setup would stop half-way; builds: it compiles interfaces."""
    missing = [] if python.has_venv else [python.package + "-venv"]
    if builds:
        compilers = ("gcc", "cc", "clang"), ("g++", "c++", "clang++"), ("make",)
        if not all(any(map(shutil.which, names)) for names in compilers):
            missing.append("build-essential")
        missing += [] if shutil.which("cmake") else ["cmake"]
        missing += [] if python.has_headers else [python.package + "-dev"]
    return missing


def require(python, builds):
    """Raises Refused with the exact command where something is missing."""
    missing = missing_packages(python, builds)
    if missing:
        sudo = "" if os.geteuid() == 0 else "sudo "
        what = " ".join(missing)
        raise Refused(
            f"missing on this machine: {what}. On Debian and Ubuntu say\n\n"
            f"    {sudo}apt-get update && {sudo}apt-get install -y {what}\n\n"
            "and then the same again."
        )
