# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What demonstrations show: the rendered scene that comes with the package, or a picture of yours.

Knows files and a camera; its true distances are read by whoever compares with them.
"""

from argparse import Namespace
from pathlib import Path

from depthlm_ros.cli.options import frame_from

SCENE = Path(__file__).parent
FRAME_ID = "camera_optical_frame"


def shown(picture="", camera="", fx=0.0, fy=0.0, cx=0.0, cy=0.0):
    """The Frame of a picture file with its camera; no picture: the shipped scene; 0: unknown."""
    if not picture:
        picture, camera = str(SCENE / "scene.png"), str(SCENE / "camera.yaml")
    numbers = {"fx": fx, "fy": fy, "cx": cx, "cy": cy}
    known = {name: value or None for name, value in numbers.items()}
    return frame_from(Namespace(picture=picture, camera=camera or None, **known))
