# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Scenes of ScanNet++ in its layout: the phone's maps of the hall in planes.py."""

import json

import numpy as np
from PIL import Image

from testing.planes import OPTICAL, reach, turn

WIDTH, HEIGHT = 1920, 1440
CELLS = (256, 192)
K = (1437.2, 1436.1, 971.3, 711.8)
EYE = {"000000": (-3.0, 0.5, 1.5), "000010": (-2.5, 0.2, 1.6), "000060": (-2.0, 0.0, 1.4)}
LOOK = turn(0.05, 0.1, 0.08) @ OPTICAL
SCENES = {"train": ["0a7cc12c0e", "02455b3d20"], "val": ["09c1414f1b"]}


def cell_pixels():
    """(192 * 256, 2): the middle of each cell of the phone's map, in pixels of the image."""
    v, u = np.mgrid[: CELLS[1], : CELLS[0]]
    return np.stack([u.ravel() * 7.5 + 3.25, v.ravel() * 7.5 + 3.25], axis=1)


def z_of(frame, rays):
    """(N,) z of what is met along rays with z = 1."""
    length = np.linalg.norm(rays, axis=1)
    return reach(np.array(EYE[frame]), rays / length[:, None] @ LOOK.T) / length


def phone_rays(k=K):
    fx, fy, cx, cy = k
    u, v = cell_pixels().T
    return np.stack([(u - cx) / fx, (v - cy) / fy, np.ones_like(u)], axis=1)


def write(root, size=(WIDTH // 40, HEIGHT // 40), far=1.0):
    """size: of the images, which the reader does not open; the layout's own is WIDTH, HEIGHT.
    far: moves everything away, times."""
    (root / "splits").mkdir()
    for split, scenes in SCENES.items():
        (root / "splits" / f"nvs_sem_{split}.txt").write_text("\n".join(scenes) + "\n")
        for scene in scenes:
            folder = root / "data" / scene / "iphone"
            for name in ("rgb", "depth"):
                (folder / name).mkdir(parents=True)
            frames = {}
            for frame in (*EYE, "000013"):
                name = f"frame_{frame}"
                Image.new("RGB", size).save(folder / "rgb" / f"{name}.jpg")
                fx, fy, cx, cy = K
                frames[name] = {"intrinsic": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], "pose": []}
            (folder / "pose_intrinsic_imu.json").write_text(json.dumps(frames))
            for frame in EYE:
                raw = np.round(far * z_of(frame, phone_rays()) * 1000).reshape(CELLS[::-1])
                raw[:2] = 0
                path = folder / "depth" / f"frame_{frame}.png"
                Image.fromarray(raw.astype(np.uint16)).save(path)
