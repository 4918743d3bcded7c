# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""delta1 that others have published, by dataset. Not measured here.

Each source has its own pictures, points and kind of distance; figures of different sources are
not strictly comparable, with each other or with ours.
"""

DATASETS = (
    "argoverse2",
    "waymo",
    "ddad",
    "nuscenes",
    "eth3d",
    "scannetpp",
    "sunrgbd",
    "ibims1",
    "nyuv2",
)
_DEPTHLM = "DepthLM, tables 1 and 2 (labels of mixed kind)"
_VLM3 = "VLM3 (DepthLM's protocol)"
_DEPTHVLM = "DepthVLM, table 1 (z, sparse points)"
# In the order of DATASETS; None: not reported.
_DELTA1 = {
    ("constant 2.0 m", _DEPTHLM): (0.006, None, 0.010, 0.010, 0.106, 0.305, 0.384, 0.280, 0.383),
    ("GPT-5", _DEPTHLM): (0.218, None, 0.302, 0.382, 0.313, 0.428, 0.471, 0.307, 0.540),
    ("Gemini-2.5-Pro", _DEPTHLM): (0.280, None, 0.252, 0.365, 0.328, 0.380, 0.270, 0.466, 0.394),
    ("DepthLM 3B", _DEPTHLM): (0.808, None, 0.724, 0.870, 0.745, 0.838, 0.850, 0.890, 0.868),
    ("DepthLM 7B", _DEPTHLM): (0.833, None, 0.747, 0.865, 0.718, 0.850, 0.859, 0.920, 0.915),
    ("DepthLM 12B", _DEPTHLM): (0.734, None, 0.670, 0.819, 0.653, 0.834, 0.786, 0.870, 0.799),
    ("VLM3 4B", _VLM3): (0.896, None, 0.818, 0.970, 0.810, 0.976, 0.867, 0.960, 0.935),
    ("DepthLM 12B", _DEPTHVLM): (0.761, 0.588, 0.654, 0.736, 0.666, 0.756, 0.785, 0.754, 0.866),
    ("DepthVLM 4B", _DEPTHVLM): (0.810, 0.879, 0.818, 0.821, 0.924, 0.861, 0.882, 0.912, 0.908),
    ("DepthVLM 8B", _DEPTHVLM): (0.798, 0.865, 0.813, 0.831, 0.928, 0.901, 0.889, 0.936, 0.920),
}


def published(dataset) -> list:
    """[{"model", "delta1", "source"}] of one of DATASETS."""
    column = DATASETS.index(dataset)
    return [
        {"model": model, "delta1": row[column], "source": source}
        for (model, source), row in _DELTA1.items()
        if row[column] is not None
    ]
