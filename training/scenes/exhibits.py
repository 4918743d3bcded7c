# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Shots for people to look at: a contact sheet, and the image that the package ships.

Knows nothing about how a shot was made.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from depthlm_ros.camera import Camera
from depthlm_ros.viz.overlay import distance_colours
from depthlm_ros.viz.sheets import write_sheet
from training.data.shards import Shot, millimetres_of

SHEET_M = 0.4, 40.0  # the nearest and the farthest colour of a contact sheet
ACROSS = 6  # shots in a row of it
CAMERA_INFO = """\
image_width: {width}
image_height: {height}
camera_name: demo
camera_matrix:
  rows: 3
  cols: 3
  data: [{fx}, 0.0, {cx}, 0.0, {fy}, {cy}, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.0, 0.0, 0.0, 0.0, 0.0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
projection_matrix:
  rows: 3
  cols: 4
  data: [{fx}, 0.0, {cx}, 0.0, 0.0, {fy}, {cy}, 0.0, 0.0, 0.0, 1.0, 0.0]
"""
README = """\
# The demo image

`scene.png` was rendered by this project; it shows no real place. The camera stands in a
furnished room and sees surfaces from {near:.2f} to {far:.2f} m away.

* `camera.yaml`: its calibration, as ROS camera_info.
* `distance.png`: the true distance of each pixel in millimetres, 16 bits, along the ray from
  the camera's centre (not the z of a ROS depth image).

Made by `python -m training.synthetic demo --out depthlm_ros/demo`, number {seed} of the held-out
split: no image of that room is in the training data. The same licence as the package.
"""


def write_shots(shots: list[Shot], path: Path) -> None:
    """A contact sheet: images with their distance maps below, near warm, far cold, sky grey.
    Raises InputError."""
    write_sheet([Image.fromarray(_cell(one)) for one in shots], ACROSS, path)


def _write(path: Path, image: np.ndarray, options: Sequence[int] = ()) -> None:
    """cv2.imwrite says with False alone that nothing was written."""
    packed = cv2.imencode(path.suffix, image, options)[1]
    try:
        path.write_bytes(packed.tobytes())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _cell(one: Shot, width=320, height=240) -> np.ndarray:
    both = one.frame.image, distance_colours(one.distance_m, SHEET_M)
    return np.vstack([_fitted(image, width, height) for image in both])


def _fitted(image, width, height) -> np.ndarray:
    scale = min(width / image.shape[1], height / image.shape[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cell = np.zeros((height, width, 3), np.uint8)
    cell[: small.shape[0], : small.shape[1]] = small[:height, :width]
    return cell


def camera_info(camera: Camera) -> str:
    """The camera as the YAML text that ROS's camera_info_manager reads; no distortion."""
    return CAMERA_INFO.format(
        width=camera.width,
        height=camera.height,
        fx=camera.fx,
        fy=camera.fy,
        cx=camera.cx,
        cy=camera.cy,
    )


def write_demo(one: Shot, folder: Path) -> None:
    """Image, calibration, true distances and a note of their origin."""
    millimetres = millimetres_of(one.distance_m, "the demo image", np.uint16)
    folder.mkdir(parents=True, exist_ok=True)
    packed = [cv2.IMWRITE_PNG_COMPRESSION, 9]
    _write(folder / "scene.png", one.frame.image[..., ::-1], packed)
    _write(folder / "distance.png", millimetres, packed)
    (folder / "camera.yaml").write_text(camera_info(one.frame.camera))
    note = README.format(near=one.distance_m.min(), far=one.distance_m.max(), seed=one.seed)
    (folder / "README.md").write_text(note)
