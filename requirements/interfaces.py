# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Builds depthlm_interfaces with colcon for the Python of .venv.

Without a ROS 2 installation it goes into .venv itself, whose ROS 2 wheels are an ament prefix once
repair_wheels has mended what they remember of the machine they were built on. Beside an
installation it goes into .venv/ros, a prefix of its own. Knows nothing about when that is needed.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

NAME = "depthlm_interfaces"
BUILDERS_PYTHON = re.compile(r"/opt/python/cp3\d+-cp3\d+/include/python3\.\d+")
BUILDERS_NUMPY = re.compile(
    r"/opt/python/cp3\d+-cp3\d+/lib/python3\.\d+/site-packages/numpy/_?core/include"
)
# ament_cmake_ros is no wheel; its core is, and is all that these need of it.
NEEDS_ROS = "find_package(ament_cmake_ros REQUIRED)"
NEEDS_CORE = "find_package(ament_cmake_ros_core REQUIRED)"


INCLUDES = """import numpy, sysconfig
print(sysconfig.get_paths()["include"], numpy.get_include(), sep="\\n")"""
BESIDE_ROS = """# What the interfaces in .venv/ros need, where no sourced workspace holds them.
export PATH="{venv}/bin:$PATH"
if [ -f "{venv}/ros/local_setup.sh" ]; then . "{venv}/ros/local_setup.sh"; fi
"""


def repair_wheels(venv, environment):
    """Rewrites the CMake files of the wheels for this machine; repeating it changes nothing."""
    found = subprocess.run(
        [venv / "bin" / "python", "-c", INCLUDES],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
    )
    python_include, numpy_include = found.stdout.decode().splitlines()
    for path in (venv / "share").rglob("*.cmake"):
        text = path.read_text()
        mended = repaired(text, python_include, numpy_include)
        if mended != text:
            path.write_text(mended)


def repaired(text, python_include, numpy_include):
    text = BUILDERS_NUMPY.sub(lambda _: numpy_include, text)
    return BUILDERS_PYTHON.sub(lambda _: python_include, text).replace(NEEDS_ROS, NEEDS_CORE)


def prefix_environment(venv):
    """Variables that make .venv with the wheels a ROS 2 prefix: what its setup.bash would set.

    The last tells the wheels' start-up hook that all is set, so that it does not start Python anew
    with the library folders in an order of its own.
    """
    libraries = [venv / "lib", *sorted(venv.glob("lib/python3.*/site-packages/ros_*.libs"))]
    return {
        "VIRTUAL_ENV": str(venv),
        "AMENT_PREFIX_PATH": str(venv),
        "CMAKE_PREFIX_PATH": str(venv),
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
    }


def write_environment(venv, beside_ros):
    """.venv/environment.sh, to be sourced before anything that needs ROS 2."""
    lines = [f'export PATH="{venv}/bin:$PATH"', "unset PYTHONPATH"]
    lines += ['export {}="{}"'.format(*pair) for pair in prefix_environment(venv).items()]
    text = BESIDE_ROS.format(venv=venv) if beside_ros else "\n".join(lines) + "\n"
    (venv / "environment.sh").write_text(text)


def build(source, venv, beside_ros, environment):
    """Compiles the package in source. Raises CalledProcessError."""
    work = venv / "colcon"
    work.mkdir()
    python = venv / "bin" / "python"
    if not beside_ros:
        # Without this file colcon warns that the prefix is none.
        (venv / "local_setup.sh").touch()
        environment = dict(environment, **prefix_environment(venv))
    path = os.pathsep.join([str(venv / "bin"), environment["PATH"]])
    environment = dict(environment, COLCON_HOME=str(work), PATH=path)
    subprocess.run(
        [
            python,
            "-m",
            "colcon",
            "--log-base",
            work / "log",
            "build",
            "--base-paths",
            source,
            "--build-base",
            work / "build",
            "--merge-install",
            "--install-base",
            venv / "ros" if beside_ros else venv,
            "--event-handlers",
            "console_start_end-",
            "summary-",
            "--cmake-args",
            "-DBUILD_TESTING=OFF",
            f"-DPython3_EXECUTABLE={python}",
        ],
        cwd=work,
        env=environment,
        check=True,
    )


def forget(venv):
    """Removes what the last build installed: a message that is gone must not linger."""
    manifest = venv / "colcon" / "build" / NAME / "install_manifest.txt"
    if manifest.is_file():
        for line in manifest.read_text().splitlines():
            Path(line).unlink(missing_ok=True)
    shutil.rmtree(venv / "colcon", ignore_errors=True)
    shutil.rmtree(venv / "ros", ignore_errors=True)
