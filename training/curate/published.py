# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Where the published label makers differ from ours in what the writer does; what differs in the
data themselves (distance or z, scales, ego motion, splits) is said by each reader.
"""

from typing import Literal

import numpy as np

PAPERS = ("depthlm", "depthvlm")

Which = Literal["visible", "nearest", "last"]


def kept_points(name: str, as_published: str) -> Which:
    """Of points that fall near each other in the image of a set, those that become labels.

    "visible": the nearest of each pixel, less those hidden by their neighbours (ours).
    "nearest": the nearest of each pixel; DepthLM does so for nuScenes alone.
    "last": the last one listed, whatever lies before it; DepthLM's other scripts, and DepthVLM's.
    """
    if not as_published:
        return "visible"
    return "nearest" if (as_published, name) == ("depthlm", "nuscenes") else "last"


def sparse_map(
    at: np.ndarray, metres: np.ndarray, width: int, height: int, keep: str
) -> np.ndarray:
    """(height, width) float32 metres, NaN where no point fell.

    at: (N, 2) whole columns and rows, also outside.
    metres: (N,).
    keep: "nearest" or "last", of points in one pixel.
    """
    inside = (at >= 0).all(axis=1) & (at < (width, height)).all(axis=1)
    at, metres = at[inside].astype(np.int64), metres[inside]
    if keep == "nearest":
        order = np.argsort(-metres, kind="stable")  # of repeated places the last one stays
        at, metres = at[order], metres[order]
    found = np.full((height, width), np.nan, np.float32)
    found[at[:, 1], at[:, 0]] = metres
    return found
