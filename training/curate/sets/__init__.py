# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The readers: one data set, one module. A new one is added to SETS."""

from training.curate.sample import DataSet
from training.curate.sets.ibims import Ibims
from training.curate.sets.matterport import Matterport
from training.curate.sets.nyu import Nyu
from training.curate.sets.sunrgbd import SunRgbd
from training.curate.sets.taskonomy import Hm3d, Taskonomy

SETS: dict[str, type[DataSet]] = {
    found.name: found for found in (Taskonomy, Hm3d, Matterport, SunRgbd, Ibims, Nyu)
}
