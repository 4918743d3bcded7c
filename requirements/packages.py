# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What pip puts into .venv: ROS 2 wheels or what fits beside an installation, torch, the rest.

pip's own configuration (indexes, links, proxies) is left alone. Knows nothing about when .venv is
up to date.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from interpreters import Refused, imports

REQUIREMENTS = Path(__file__).resolve().parent
CONSTRAINTS = REQUIREMENTS / "constraints.txt"
# The pytest plugins that these distributions install break every run of a later pytest.
OLD_PYTEST = ("humble", "jazzy", "kilted")
BROUGHT_AS = {"opencv-python-headless": "cv2", "rosbags-image": "cv_bridge"}
LARGE = """setup: torch comes next. The usual build for Linux carries CUDA: 2.7 GB to download, and
       about twice that on disk. For a smaller or other build stop here and say
       make setup TORCH=<a .whl file, a version, or the URL of an index>"""


def pip(venv, environment, *arguments):
    """pip install with the constraints. Raises CalledProcessError, pip has said why."""
    subprocess.run(
        [
            venv / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--no-input",
            "--disable-pip-version-check",
            "-c",
            CONSTRAINTS,
            *arguments,
        ],
        env=environment,
        check=True,
    )


def torch_arguments(asked):
    """What pip installs for TORCH=asked; the tested version where nothing else is said."""
    tested = ["-r", REQUIREMENTS / "torch.txt"]
    if not asked:
        return tested
    if asked.endswith(".whl"):
        if "://" not in asked and not os.path.isfile(asked):
            raise Refused(f"TORCH={asked}: there is no such file")
        return [asked]
    if "://" in asked:
        return ["--index-url", asked, *tested]
    if re.match(r"\d+\.\d+", asked):
        return [f"torch=={asked}"]
    raise Refused(f"TORCH={asked} is no .whl file, no version like 2.13.0 and no URL of an index")


class Installer:
    """Fills venv. ros: the sourced distribution, "" for wheels; ros_python: its interpreter."""

    def __init__(self, venv, ros, ros_python, environment):
        self.venv, self.ros, self.ros_python = venv, ros, ros_python
        self.environment = environment

    def install(self, torch_asked, replace_torch):
        limits = self.distribution_limits() if self.ros else []
        self.install_torch(limits, torch_asked, replace_torch)
        print("setup: installing the other packages (0.4 GB where none is there)", flush=True)
        names = ["build", "runtime", "training", "test", *([] if self.ros else ["ros"])]
        files = [word for name in names for word in ("-r", REQUIREMENTS / (name + ".txt"))]
        self.pip("-qq", *limits, *files, *self.missing_image_readers())

    def pip(self, *arguments):
        pip(self.venv, self.environment, *arguments)

    def install_torch(self, limits, asked, replace):
        """Keeps a torch that can be imported, unless another one is asked for."""
        python = self.venv / "bin" / "python"
        if imports(python, "torch", self.environment):
            if not replace:
                return
            subprocess.run(
                [python, "-m", "pip", "uninstall", "-q", "-y", "torch"],
                env=self.environment,
                check=True,
            )
        print(LARGE if not asked else "setup: torch comes next: " + asked, flush=True)
        self.pip(*([] if sys.stdout.isatty() else ["-qq"]), *limits, *torch_arguments(asked))

    def distribution_limits(self):
        """pip's options that keep what the distribution's own modules were compiled against."""
        numpy = subprocess.run(
            [self.ros_python, "-c", "import numpy; print(numpy.__version__)"],
            env=self.environment,
            stdout=subprocess.PIPE,
            check=True,
        )
        lines = ["numpy==" + numpy.stdout.decode().strip()]
        lines += ["pytest<8.4"] if self.ros in OLD_PYTEST else []
        path = self.venv / "distribution.txt"
        path.write_text("\n".join(lines) + "\n")
        return ["-c", path]

    def missing_image_readers(self):
        """What reads images, less what the distribution brings."""
        lines = (REQUIREMENTS / "images.txt").read_text().splitlines()
        wanted = [line for line in lines if line and not line.startswith("#")]
        return [
            line
            for line in wanted
            if not (
                self.ros
                and imports(
                    self.ros_python, BROUGHT_AS[re.split("[<>=]", line)[0]], self.environment
                )
            )
        ]
