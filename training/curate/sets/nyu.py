# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""NYUv2, the labelled part: 1,449 indoor images of a Kinect, 795 to train and 654 to test.

Download: "NYU Depth Dataset V2" (Nathan Silberman), nyu_depth_v2_labeled.mat, and splits.mat,
which its toolbox and the repository of BTS carry. Layout: both files in one folder.

    nyu_depth_v2_labeled.mat   HDF5, in MATLAB's order, so that h5py shows each array transposed:
                               images (N, 3, W, H), rawDepths and depths (N, W, H), scenes (1, N)
    splits.mat                 trainNdxs, testNdxs; images are counted from 1

Traps: `depths` is in-painted; `rawDepths` is what was measured, z in metres, where 0 is unknown
and 10 means that the sensor saturated. The images are undistorted already. The toolbox counts
pixels from 1, and the intrinsics of SUN RGB-D's cropped copy agree with that, so cx and cy are 1
less here than the toolbox's constants.
Published labels come from that copy: --root is then SUN RGB-D's (see sunrgbd.py); DepthLM takes
all 1,449 images, depth / 10000, DepthVLM the official split, depth_bfx / 8000.
Licence: for research; the authors ask to be cited.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from training.curate.formats.files import check_split, check_there, mat_fields
from training.curate.sample import Sample
from training.curate.sets.sunrgbd import NYU, SunRgbd

_FILE = "nyu_depth_v2_labeled.mat"
_LAYOUT = f"<root>/{_FILE} and <root>/splits.mat"
_SATURATED_M = 10.0
# camera_params.m of the toolbox, pixels counted from 0 and of the full 640 x 480.
_FX, _FY = 518.85790117450188, 519.46961112127485
_CX, _CY = 325.58244941119034 - 1, 253.73616633400465 - 1
_FIELDS = ("images", "rawDepths", "scenes")


class Nyu:
    """See training.curate.sample.DataSet. range_m: DepthVLM's; DepthLM's is 0.005 to 25 m."""

    name = "nyu"
    licence = "NYUv2: for research; cite it."
    splits: tuple[str, ...] = ("train", "test")

    def __init__(self, root: Path, split: str, as_published: str = ""):
        check_split(self, split)
        self.range_m = (0.005, 25.0 if as_published == "depthlm" else 10.0)
        self._copy = SunRgbd(root, split, as_published, NYU) if as_published else None
        self._path, self._list, self._split = root / _FILE, root / "splits.mat", split
        if not self._copy:
            check_there(self._path, _LAYOUT)
            check_there(self._list, _LAYOUT)
            with self._open() as file:
                missing = [field for field in _FIELDS if field not in file]
                self._count = len(file["images"]) if not missing else 0
            if missing:
                raise InputError(f"{self._path} has no field {', '.join(missing)}")

    def _open(self) -> Any:
        try:
            return h5py.File(self._path, "r")
        except OSError as error:
            raise InputError(f"{self._path} is not a whole HDF5 file: {error}") from error

    def keys(self) -> Sequence[Any]:
        """The number of each image, counted from 0; as published, its folder in SUN RGB-D."""
        if self._copy:
            return self._copy.keys()
        field = f"{self._split}Ndxs"
        fields = mat_fields(self._list)
        if field not in fields:
            raise InputError(f"{self._list} has no list {field}: take the file from the toolbox")
        numbers = [int(number) for number in np.sort(np.ravel(fields[field]))]
        if numbers and not 1 <= numbers[0] <= numbers[-1] <= self._count:
            raise InputError(
                f"{self._list}: {field} names images {numbers[0]} to {numbers[-1]}, and"
                f" {self._path.name} has 1 to {self._count}"
            )
        return [number - 1 for number in numbers]

    def read(self, key: Any) -> Sample:
        """The image with its measured z; see the module for the published labels."""
        if self._copy:
            return self._copy.read(key)
        with self._open() as file:
            try:
                image = np.ascontiguousarray(file["images"][key].T)
                z_m = np.array(file["rawDepths"][key].T, np.float32)
                scene = "".join(map(chr, np.ravel(file[file["scenes"][0, key]])))
            except (OSError, ValueError, IndexError) as error:
                raise InputError(
                    f"{self._path}: image {key + 1} cannot be read: {error}"
                ) from error
        z_m[(z_m <= 0) | (z_m >= _SATURATED_M)] = np.nan
        height, width = z_m.shape
        camera = Camera(width, height, _FX, _FY, _CX, _CY)
        place = re.sub(r"(?<=\d)[a-z]$", "", scene)  # kitchen_0004b is a part of kitchen_0004
        return Sample(f"{key + 1:04d}", place, image, camera, depth=z_m)
