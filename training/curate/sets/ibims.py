# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""iBims-1: 100 indoor images with z from a laser scanner; for evaluation only.

Download: "iBims-1" (Technical University of Munich, LMF), core_raw or core_mat. The root is either
folder, or the one above it:

    ibims1_core_raw/rgb/<name>.png          640 x 480
    ibims1_core_raw/depth/<name>.png        z, 16 bits, 50/65535 m, 0 none
    ibims1_core_raw/calib/<name>.txt        fx,fy,cx,cy
    ibims1_core_raw/mask_invalid/<name>.png mask_transp/<name>.png   white where usable
    ibims1_core_mat/<name>.mat              struct data: rgb, depth (metres), calib (transposed
                                            3 x 3), mask_invalid, mask_transp

Traps: the calibration is MATLAB's and counts pixels from 1, as the official evaluation does, so cx
and cy are 1 less here; the name mask_invalid says the opposite of what it holds; behind glass
there is the depth of something else. Published labels: cx and cy as stored; DepthLM has no masks
and a border of 10 pixels, DepthVLM the masks.
Licence: for research.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from training.curate.formats.files import (
    check_split,
    check_there,
    image_size,
    in_metres,
    mask_of,
    mat_fields,
    needed,
    pinhole,
    raw_depth,
)
from training.curate.sample import Sample, Skip

_UNITS = 65535 / 50  # per metre
_MASKS = ("mask_invalid", "mask_transp")
_BORDER = 10  # pixels, DepthLM's


class Ibims:
    """See training.curate.sample.DataSet. range_m: DepthVLM's."""

    name = "ibims"
    licence = "iBims-1: for research; here it is for evaluation only."
    splits: tuple[str, ...] = ("test",)
    range_m = (0.005, 25.0)

    def __init__(self, root: Path, split: str, as_published: str = ""):
        check_split(self, split)
        inner = [root / "ibims1_core_raw", root / "ibims1_core_mat"]
        self._root = next((folder for folder in inner if folder.is_dir()), root)
        self._is_mat = not (self._root / "rgb").is_dir() and any(self._root.glob("*.mat"))
        for folder in () if self._is_mat else ("rgb", "depth", "calib", *_MASKS):
            check_there(
                self._root / folder, "<root>/{rgb,depth,calib,mask_invalid,mask_transp}/, or *.mat"
            )
        self._as_published = as_published

    def keys(self) -> Sequence[str]:
        """The name of each image, in alphabetical order."""
        folder, pattern = (self._root, "*.mat") if self._is_mat else (self._root / "rgb", "*.png")
        return sorted(path.stem for path in folder.glob(pattern))

    def read(self, key: str) -> Sample:
        """The image with its z, NaN where a mask is black."""
        image, z_m, masks, camera = (self._from_mat if self._is_mat else self._from_raw)(key)
        if self._as_published == "depthlm":
            inside = np.zeros(z_m.shape, bool)
            inside[_BORDER:-_BORDER, _BORDER:-_BORDER] = True
            masks = [inside]
        for mask in masks:
            z_m[~mask] = np.nan
        return Sample(key, key, image, camera, depth=z_m)

    def _from_raw(self, key: str) -> tuple[Path, np.ndarray, list[np.ndarray], Camera]:
        image = self._root / "rgb" / f"{key}.png"
        size = image_size(image)
        raw = raw_depth(self._root / "depth" / f"{key}.png", size)
        calib = self._root / "calib" / f"{key}.txt"
        needed(calib, "no calibration")
        try:
            intrinsics = [float(word) for word in calib.read_text().split(",")]
        except ValueError as error:
            raise Skip("broken calibration", f"{calib}: {error}") from error
        masks = [mask_of(self._root / name / f"{key}.png", size) for name in _MASKS]
        return image, in_metres(raw, _UNITS), masks, self._camera(size, intrinsics, calib)

    def _from_mat(self, key: str) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], Camera]:
        path = self._root / f"{key}.mat"
        data = _struct(path)
        try:
            image = np.ascontiguousarray(data["rgb"], np.uint8)
            z_m = np.array(data["depth"], np.float32)
            masks = [np.asarray(data[name]) > 0 for name in _MASKS]
            matrix = np.asarray(data["calib"], np.float64).reshape(3, 3)
        except (KeyError, ValueError, TypeError) as error:
            raise Skip("field missing", f"{path}: {error}") from error
        if any(part.shape[:2] != z_m.shape for part in (image, *masks)):
            raise Skip("sizes differ", f"{path}: rgb, depth and masks")
        z_m[z_m == 0] = np.nan
        size = z_m.shape[1], z_m.shape[0]
        fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[2, 0], matrix[2, 1]
        return image, z_m, masks, self._camera(size, (fx, fy, cx, cy), path)

    def _camera(self, size: tuple[int, int], stored: Sequence[float], where: Path) -> Camera:
        first = 0 if self._as_published else 1  # the number of MATLAB's first pixel
        fx, fy, *centre = stored
        return pinhole(size, (fx, fy, *(value - first for value in centre)), where)


def _struct(path: Path) -> Mapping[str, Any]:
    """The struct `data` of a file of core_mat."""
    try:
        found = mat_fields(path)["data"]
    except InputError as error:
        raise Skip("truncated file", str(error)) from error
    except KeyError as error:
        raise Skip("field missing", f"{path}: {error}") from error
    if not isinstance(found, Mapping):
        raise Skip("field missing", f"{path}: data is no struct")
    return found
