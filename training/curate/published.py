# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the papers' label makers have in common: points become a map without a look at what hides
them. What differs in each data set (distance or z, scales, ego motion, splits) its reader says.
"""

import numpy as np

from depthlm_ros.camera import Camera

PAPERS = ("depthlm", "depthvlm")


def sparse_map(at: np.ndarray, metres: np.ndarray, camera: Camera, keep: str) -> np.ndarray:
    """(height, width) float32 metres on the camera's image, NaN where no point fell.

    at: (N, 2) whole columns and rows, also outside.
    metres: (N,).
    keep: "nearest" or "last", of points in one pixel.
    """
    inside = (at >= 0).all(axis=1) & (at < (camera.width, camera.height)).all(axis=1)
    at, metres = at[inside].astype(np.int64), metres[inside]
    if keep == "nearest":
        order = np.argsort(-metres, kind="stable")  # of repeated places the last one stays
        at, metres = at[order], metres[order]
    found = np.full((camera.height, camera.width), np.nan, np.float32)
    found[at[:, 1], at[:, 0]] = metres
    return found
