# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Where the published label makers differ from ours in what the writer does; what differs in the
data themselves (distance or z, scales, ego motion, splits) is said by each reader.
"""

from typing import Literal

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
