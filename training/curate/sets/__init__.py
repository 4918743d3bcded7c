# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The readers: one data set, one module. A new one is added to SETS."""

from training.curate.sample import DataSet
from training.curate.sets.argoverse2 import Argoverse2
from training.curate.sets.ddad import Ddad
from training.curate.sets.eth3d import Eth3d
from training.curate.sets.ibims import Ibims
from training.curate.sets.matterport import Matterport
from training.curate.sets.nuscenes import Nuscenes
from training.curate.sets.nyu import Nyu
from training.curate.sets.scannetpp import Scannetpp
from training.curate.sets.sunrgbd import SunRgbd
from training.curate.sets.taskonomy import Hm3d, Taskonomy
from training.curate.sets.waymo import Waymo

_ALL = (
    Argoverse2,
    Waymo,
    Nuscenes,
    Ddad,
    Scannetpp,
    Taskonomy,
    Hm3d,
    Matterport,
    Eth3d,
    SunRgbd,
    Ibims,
    Nyu,
)
SETS: dict[str, type[DataSet]] = {data_set.name: data_set for data_set in _ALL}
