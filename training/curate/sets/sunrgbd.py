# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""SUN RGB-D: 10,335 indoor images of four depth cameras, among them all of NYUv2, cropped.

Download: "SUN RGB-D" (rgbd.cs.princeton.edu), SUNRGBD.zip and SUNRGBDtoolbox.zip. Layout:

    SUNRGBD/<kv1 kv2 realsense xtion>/**/image/*.jpg
    SUNRGBD/.../depth/*.png        z, 16 bits; depth_bfx/*.png: the same with its holes filled
    SUNRGBD/.../intrinsics.txt     3 x 3
    SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat   (alltrain, alltest: paths on a foreign machine)

Traps: the 16 bits are millimetres rotated left by 3; value / 8000, as published, is the same only
below 8.192 m, and makes 8.212 m into 0.020 m. The toolbox sets what is beyond 8 m to 8 m; range_m
drops it here. It counts pixels from 1 with intrinsics.txt, whose numbers for NYUv2's images are
those of NYUv2 less the crop, counted from 0: so they are read for all. The official split has 44
sequences of SUN3D on both sides; the scene of its images is the place, so that they can be told
apart.
Filled holes were not measured, so `depth` is read unless published labels are asked for: depth_bfx
as z / 8000 (DepthVLM), or as distances of value / 10000, 0.8 of the truth (DepthLM, without NYU,
both splits together, of each place of SUN3D one image, here the first, 0.005 to 25 m).
Licence: the authors ask to be cited; each of the joined sets has terms of its own.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from training.curate.formats.files import (
    check_split,
    check_there,
    distances,
    image_size,
    in_metres,
    mat_fields,
    needed,
    pinhole,
    raw_depth,
)
from training.curate.sample import Sample, Skip

NYU = "kv1/NYUdata/"
_LISTS = {"train": "alltrain", "test": "alltest"}
_LAYOUT = "<root>/SUNRGBD/<sensor>/... and <root>/SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat"
_IMAGES = ".jpg", ".jpeg", ".png"
_UNITS = {"depthlm": 10000, "depthvlm": 8000}  # per metre, as published


class SunRgbd:
    """See training.curate.sample.DataSet. range_m: DepthVLM's; DepthLM's is 0.005 to 25 m.

    only: keep the folders that begin so, such as NYU.
    """

    name = "sunrgbd"
    licence = "SUN RGB-D: cite it; the sets that it joins have terms of their own."
    splits: tuple[str, ...] = ("train", "test")

    def __init__(self, root: Path, split: str, as_published: str = "", only: str = ""):
        check_split(self, split)
        self._root = check_there(root / "SUNRGBD", _LAYOUT)
        toolbox = root / "SUNRGBDtoolbox" / "traintestSUNRGBD"
        self._list = check_there(toolbox / "allsplit.mat", _LAYOUT)
        self._split, self._as_published, self._only = split, as_published, only
        self.range_m = (0.005, 25.0) if as_published == "depthlm" else (0.005, 8.0)

    def keys(self) -> Sequence[str]:
        """The folder of each image, relative to SUNRGBD, in alphabetical order."""
        folders = set(self._folders(self._split))
        if self._as_published == "depthlm":
            folders = {folder for split in self.splits for folder in self._folders(split)}
            if not self._only:
                folders = {folder for folder in folders if "NYU" not in folder}
            first = {_scene(folder): folder for folder in sorted(folders, reverse=True)}
            folders = set(first.values())
        return sorted(folder for folder in folders if folder.startswith(self._only))

    def _folders(self, split: str) -> list[str]:
        field = _LISTS[split]
        fields = mat_fields(self._list)
        if field not in fields:
            raise InputError(f"{self._list} has no list {field}: take it from SUNRGBDtoolbox.zip")
        paths = map(str, np.ravel(fields[field]))
        return [str(PurePosixPath(path.split("SUNRGBD/", 1)[-1])) for path in paths]

    def read(self, key: str) -> Sample:
        """The image with its measured z; see the module for the published labels."""
        folder = self._root / key
        image = _only_file(folder / "image", "no image file")
        size = image_size(image)
        filled = self._as_published and not (self._only and self._as_published == "depthlm")
        depth_folder = folder / ("depth_bfx" if filled else "depth")
        raw = raw_depth(_only_file(depth_folder, "no depth file"), size)
        camera = _camera(folder / "intrinsics.txt", size)
        if self._as_published:
            z_m = in_metres(raw, _UNITS[self._as_published])
        else:
            z_m = in_metres(raw >> 3 | raw << 13, 1000)
        is_distance = self._as_published == "depthlm"
        return Sample(
            key,
            _scene(key),
            image,
            camera,
            depth=distances(camera, z_m) if is_distance else z_m,
            kind="distance" if is_distance else "z",
        )


def _scene(key: str) -> str:
    """The place, where folders are grouped by it (SUN3D); else the image's own folder."""
    parts = PurePosixPath(key).parts
    return "/".join(parts[:3]) if "sun3ddata" in parts else key


def _only_file(folder: Path, reason: str) -> Path:
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in _IMAGES)
    if not files:
        raise Skip(reason, f"{folder} is empty or missing")
    return files[0]


def _camera(path: Path, size: tuple[int, int]) -> Camera:
    needed(path, "no calibration")
    try:
        fx, _, cx, _, fy, cy, *_ = map(float, path.read_text().split())
    except ValueError as error:
        raise Skip("broken calibration", f"{path}: {error}") from error
    return pinhole(size, (fx, fy, cx, cy), path)
