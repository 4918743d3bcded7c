# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The readers: one data set, one module. A new one is added to SETS."""

from training.curate.sample import DataSet
from training.curate.sets.argoverse2 import Argoverse2
from training.curate.sets.ddad import Ddad
from training.curate.sets.eth3d import Eth3d
from training.curate.sets.nuscenes import Nuscenes
from training.curate.sets.scannetpp import Scannetpp
from training.curate.sets.waymo import Waymo

SETS: dict[str, type[DataSet]] = {
    found.name: found for found in (Argoverse2, Waymo, Nuscenes, Ddad, Scannetpp, Eth3d)
}
