# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""delta1 that others have published, by dataset. Not measured here.

Each source has its own pictures, points and kind of distance; figures of different sources are
not strictly comparable, with each other or with ours.
"""

DATASETS = (
    "argoverse2", "waymo", "ddad", "nuscenes", "eth3d", "scannetpp", "sunrgbd", "ibims1", "nyuv2"
)
_DEPTHLM = "DepthLM, tables 1 and 2 (labels of mixed kind)"
_VLM3 = "VLM3 (DepthLM's protocol)"
_DEPTHVLM = "DepthVLM, table 1 (z, sparse points)"
# In the order of DATASETS; None: not reported.
_DELTA1 = {
    ("constant 2.0 m", _DEPTHLM): (.006, None, .010, .010, .106, .305, .384, .280, .383),
    ("GPT-5", _DEPTHLM): (.218, None, .302, .382, .313, .428, .471, .307, .540),
    ("Gemini-2.5-Pro", _DEPTHLM): (.280, None, .252, .365, .328, .380, .270, .466, .394),
    ("DepthLM 3B", _DEPTHLM): (.808, None, .724, .870, .745, .838, .850, .890, .868),
    ("DepthLM 7B", _DEPTHLM): (.833, None, .747, .865, .718, .850, .859, .920, .915),
    ("DepthLM 12B", _DEPTHLM): (.734, None, .670, .819, .653, .834, .786, .870, .799),
    ("VLM3 4B", _VLM3): (.896, None, .818, .970, .810, .976, .867, .960, .935),
    ("DepthLM 12B", _DEPTHVLM): (.761, .588, .654, .736, .666, .756, .785, .754, .866),
    ("DepthVLM 4B", _DEPTHVLM): (.810, .879, .818, .821, .924, .861, .882, .912, .908),
    ("DepthVLM 8B", _DEPTHVLM): (.798, .865, .813, .831, .928, .901, .889, .936, .920),
}


def published(dataset) -> list:
    """[{"model", "delta1", "source"}] of one of DATASETS."""
    column = DATASETS.index(dataset)
    return [
        {"model": model, "delta1": row[column], "source": source}
        for (model, source), row in _DELTA1.items()
        if row[column] is not None
    ]
