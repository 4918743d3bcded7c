# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What demonstrations show: the rendered scene of the package, or an image of yours."""

from pathlib import Path

from depthlm_ros.data.frames import read_frame
from depthlm_ros.errors import InputError
from depthlm_ros.view import Frame

SCENE = Path(__file__).parent
FRAME_ID = "camera_optical_frame"


def demo_frame(
    image: str = "",
    camera: str = "",
    fx: float = 0.0,
    fy: float = 0.0,
    cx: float = 0.0,
    cy: float = 0.0,
) -> Frame:
    """The Frame of an image file with its camera, see read_frame; a number of 0 is not given.

    image "": the shipped scene, whose camera is known; InputError where another one is given.
    """
    if not image:
        given = {"camera": camera, "fx": fx, "fy": fy, "cx": cx, "cy": cy}
        if names := [name for name, value in given.items() if value]:
            raise InputError(
                f"{' and '.join(names)} cannot be given without an image: the scene that comes"
                " with the package has a camera of its own"
            )
        return read_frame(str(SCENE / "scene.png"), str(SCENE / "camera.yaml"))
    return read_frame(image, camera, fx or None, fy or None, cx or None, cy or None)
