# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The image that the package ships, and the contact sheet."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import yaml

import depthlm_ros
from training import synthetic
from training.scenes import exhibits

DEMO = Path(depthlm_ros.__file__).parent / "demo"


def test_the_shipped_distances_are_those_of_the_shipped_scene():
    """No change of the world leaves a stale truth behind; an edge may fall one pixel aside."""
    distance = cv2.imread(str(DEMO / "distance.png"), cv2.IMREAD_UNCHANGED)
    assert distance.shape == (480, 640) and distance.dtype == np.uint16
    again = synthetic.demo_shot()
    assert (np.abs(distance / 1000 - again.distance_m) < 2e-3).mean() > 0.9995
    assert distance.min() < 1500 and distance.max() > 8000
    scene = cv2.imread(str(DEMO / "scene.png"))[..., ::-1].astype(int)
    assert np.abs(scene - again.frame.image).mean() < 1


def test_the_shipped_calibration_is_a_camera_info_of_the_same_camera():
    info = yaml.safe_load((DEMO / "camera.yaml").read_text())
    camera = synthetic.demo_shot().frame.camera
    assert (info["image_width"], info["image_height"]) == (camera.width, camera.height)
    matrix = [camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1]
    assert info["camera_matrix"]["data"] == matrix
    assert [
        len(info[k]["data"])
        for k in ("distortion_coefficients", "rectification_matrix", "projection_matrix")
    ] == [5, 9, 12]


def test_the_demo_folder_stays_small():
    assert sum(f.stat().st_size for f in DEMO.iterdir()) < 700_000


def test_a_sheet_shows_six_shots_a_row_with_their_distances_below(tmp_path):
    shots = [synthetic.shot(i) for i in range(7)]
    exhibits.write_shots(shots, tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * 480, 6 * 320, 3)
    far = replace(shots[0], distance_m=np.full_like(shots[0].distance_m, np.nan))
    exhibits.write_shots([far], tmp_path / "sky.png")
    assert cv2.imread(str(tmp_path / "sky.png"))[240, 0].tolist() == [150] * 3
