# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""SUN RGB-D in its layout."""

import numpy as np
import scipy.io
from PIL import Image

from testing.plane_and_box import painted

WIDTH, HEIGHT = 96, 72
CAMERA = (70.5, 70.1, 44.2, 39.9)
KINECT2 = "kv2/kinect2data/000002_2014-05-26_14-23-37_260595134347_rgbf000103-resize"
SUN3D = "xtion/sun3ddata/harvard_c11/hv_c11_2/0000103-000003431"
NYU = "kv1/NYUdata/NYU0001"
TEST = "realsense/lg/2014_10_21-18_16_12-1311000073"


def rotated(z_m):
    """uint16 millimetres whose bits are rotated left by 3."""
    millimetres = np.round(z_m * 1000).astype(np.uint32)
    return ((millimetres << 3 | millimetres >> 13) & 0xFFFF).astype(np.uint16)


def write(root, folder, points, holes=True):
    place = root / "SUNRGBD" / folder
    for name in ("image", "depth", "depth_bfx"):
        (place / name).mkdir(parents=True)
    Image.fromarray(painted(WIDTH, HEIGHT)).save(place / "image" / "0000103.png")
    (place / "image" / ".DS_Store").write_bytes(b"not an image")
    filled = rotated(points[..., 2])
    measured = filled.copy()
    measured[10:20, 30:50] = 0
    Image.fromarray(measured if holes else filled).save(place / "depth" / "0000103_abs.png")
    Image.fromarray(filled).save(place / "depth_bfx" / "0000103.png")
    fx, fy, cx, cy = CAMERA
    (place / "intrinsics.txt").write_text(f"{fx} 0 {cx} 0 {fy} {cy} 0 0 1 \n")
    return place


def write_list(root, train, test):
    """allsplit.mat: cells of paths on the authors' machine, some with two slashes at the end."""
    folder = root / "SUNRGBDtoolbox" / "traintestSUNRGBD"
    folder.mkdir(parents=True, exist_ok=True)

    def cells(paths):
        found = np.empty((1, len(paths)), object)
        found[0] = [f"/n/fs/sun3d/data/SUNRGBD/{path}//" for path in paths]
        return found

    content = {"alltrain": cells(train), "alltest": cells(test), "trainvalsplit": np.zeros(1)}
    scipy.io.savemat(folder / "allsplit.mat", content)
