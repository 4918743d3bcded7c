# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""iBims-1 in both of its layouts: the scene of plane_and_box.py."""

import numpy as np
import scipy.io
from PIL import Image

from testing.plane_and_box import cast, painted

WIDTH, HEIGHT = 96, 72
CAMERA = (84.6, 84.2, 54.3, 36.2)  # pixels counted from 0; MATLAB stores cx and cy plus 1
STEP = 50 / 65535


def scene():
    return cast(WIDTH, HEIGHT, *CAMERA, far=3.0)


def masks():
    """What is usable: invalid below, glass on the right."""
    valid, opaque = np.ones((2, HEIGHT, WIDTH), bool)
    valid[-6:] = False
    opaque[20:40, -9:] = False
    return valid, opaque


def write_raw(root, name, points):
    for folder in ("rgb", "depth", "calib", "mask_invalid", "mask_transp"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(painted(WIDTH, HEIGHT)).save(root / "rgb" / f"{name}.png")
    raw = np.round(points[..., 2] * 65535 / 50).astype(np.uint16)
    raw[:2] = 0
    Image.fromarray(raw).save(root / "depth" / f"{name}.png")
    fx, fy, cx, cy = CAMERA
    (root / "calib" / f"{name}.txt").write_text(f"{fx},{fy},{cx + 1},{cy + 1}\n")
    for folder, mask in zip(("mask_invalid", "mask_transp"), masks(), strict=True):
        Image.fromarray(mask).save(root / folder / f"{name}.png")  # 1 bit


def write_mat(root, name, points):
    root.mkdir(parents=True, exist_ok=True)
    fx, fy, cx, cy = CAMERA
    z = points[..., 2].copy()
    z[:2] = 0
    valid, opaque = masks()
    data = {
        "rgb": painted(WIDTH, HEIGHT),
        "depth": z,
        "calib": np.array([[fx, 0, 0], [0, fy, 0], [cx + 1, cy + 1, 1]]),
        "mask_invalid": valid.astype(np.uint8),
        "mask_transp": opaque.astype(np.uint8),
        "edges": np.zeros((HEIGHT, WIDTH), np.uint8),
    }
    scipy.io.savemat(root / f"{name}.mat", {"data": data}, do_compression=True)


def write(root, layout, name="corridor_01", points=None):
    points = scene() if points is None else points
    {"raw": write_raw, "mat": write_mat}[layout](root / f"ibims1_core_{layout}", name, points)
    return root
