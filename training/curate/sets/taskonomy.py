# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Taskonomy and HM3D as Omnidata renders them: indoor scans seen from many places.

Download: "Omnidata Starter Dataset" (docs.omnidata.vision), components taskonomy and hm3d, domains
rgb, depth_zbuffer, point_info and, if wanted, mask_valid. Layout of both below one root:

    rgb/<set>/<building>/point_3_view_1_domain_rgb.png                      square, 512 x 512
    depth_zbuffer/<set>/<building>/point_3_view_1_domain_depth_zbuffer.png  z, 16 bits, 1/512 m
    point_info/<set>/<building>/point_3_view_1_domain_point_info.json       (HM3D: _fixatedpose)
    mask_valid/<set>/<building>/point_3_view_1_domain_depth_zbuffer.png     (HM3D: _mask_valid)
    train_val_test_fullplus.csv (id, train, val, test); HM3D: metadata.csv (scene, split)

Traps: 65535 means "nothing was hit" and is not 128 m; the focal length stands nowhere, it follows
from field_of_view_rads and the width; the principal point is the image's centre. DepthVLM's
labels lack the mask, DepthLM's were never published.
Licences: Taskonomy and Matterport allow research alone, and no passing on of the images.
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from math import isfinite, pi, tan
from pathlib import Path
from typing import Any

import numpy as np

from depthlm_ros.errors import InputError
from training.curate.formats.files import (
    check_split,
    check_there,
    image_size,
    in_metres,
    mask_of,
    pinhole,
    raw_depth,
)
from training.curate.sample import Sample, Skip

_RGB = re.compile(r"point_(\d+)_view_(\d+)_domain_rgb\.png")
_UNITS = 512  # per metre
_UNKNOWN = (0, 65535)

View = tuple[str, int, int]  # building, point, view


class Taskonomy:
    """Taskonomy; see training.curate.sample.DataSet. range_m: DepthVLM's."""

    name = "taskonomy"
    licence = "Taskonomy: its terms allow research that is not commercial, and no redistribution."
    splits: tuple[str, ...] = ("train", "val", "test")
    range_m = (0.005, 15.0)
    _info = "point_info"
    _mask = "depth_zbuffer"
    _list = "train_val_test_fullplus.csv"

    def __init__(self, root: Path, split: str, as_published: str = ""):
        check_split(self, split)
        self._root, self._split = root, split
        for domain in ("rgb", "depth_zbuffer", "point_info"):
            check_there(root / domain / self.name, f"<root>/{domain}/{self.name}/<building>/*.*")
        self._buildings = tuple(
            sorted(self._listed(check_there(root / self._list, f"<root>/{self._list}")))
        )
        if not self._buildings:
            raise InputError(
                f"{root / 'rgb' / self.name} has no building that {self._list} puts into {split}"
            )
        has_masks = (root / "mask_valid" / self.name).is_dir()
        self._masked = has_masks and as_published != "depthvlm"

    def keys(self) -> Sequence[View]:
        """(building, point, view) of each image, by name and number."""
        found = []
        for building in self._buildings:
            folder = self._root / "rgb" / self.name / building
            names = (_RGB.fullmatch(path.name) for path in folder.glob("*.png"))
            numbers = sorted((int(name[1]), int(name[2])) for name in names if name)
            found.append((building, np.array(numbers, np.int32).reshape(-1, 2)))
        return _Views(found)

    def _listed(self, path: Path) -> Iterator[str]:
        """The buildings of the split that are there."""
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                name = (row.get("id") or row.get("scene") or "").strip()
                if not name or not (self._split in row or "split" in row):
                    raise InputError(
                        f"{path} has the columns {', '.join(map(str, row))}; needed are id, train,"
                        " val, test, or scene and split"
                    )
                wanted = row.get(self._split) == "1" or row.get("split") == self._split
                if wanted and (self._root / "rgb" / self.name / name).is_dir():
                    yield name

    def read(self, key: View) -> Sample:
        """The image with its z, NaN where the ray met no surface or the mask is black."""
        building, point, view = key
        stem = f"point_{point}_view_{view}"
        image = self._file("rgb", building, stem, "rgb.png")
        size = image_size(image)
        raw = raw_depth(self._file("depth_zbuffer", building, stem, "depth_zbuffer.png"), size)
        info = self._file("point_info", building, stem, f"{self._info}.json")
        focal = _focal(info, size)
        centre = (size[0] - 1) / 2
        depth = in_metres(raw, _UNITS, _UNKNOWN)
        if self._masked:
            mask = self._file("mask_valid", building, stem, f"{self._mask}.png")
            depth[~mask_of(mask, size)] = np.nan
        return Sample(
            f"{building}/{stem}",
            building,
            image,
            pinhole(size, (focal, focal, centre, centre), info),
            depth=depth,
        )

    def _file(self, domain: str, building: str, stem: str, end: str) -> Path:
        return self._root / domain / self.name / building / f"{stem}_domain_{end}"


class Hm3d(Taskonomy):
    """Habitat-Matterport 3D; see training.curate.sample.DataSet. range_m: DepthVLM's."""

    name = "hm3d"
    licence = "HM3D: Matterport's terms allow academic research, and no redistribution."
    range_m = (0.01, 10.0)
    _info = "fixatedpose"
    _mask = "mask_valid"
    _list = "metadata.csv"


class _Views(Sequence[View]):
    """The keys of millions of images, 8 bytes each. buildings: name and (N, 2) point, view."""

    def __init__(self, buildings: list[tuple[str, np.ndarray]]):
        self._buildings = buildings
        self._ends = np.cumsum([len(numbers) for _, numbers in buildings])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(f"{len(self)} images, asked for number {i}")
        i %= len(self)
        which = int(np.searchsorted(self._ends, i, side="right"))
        name, numbers = self._buildings[which]
        point, view = numbers[i - int(self._ends[which])]  # counts from the end
        return name, int(point), int(view)


def _focal(path: Path, size: tuple[int, int]) -> float:
    """Pixels; of a square image, whose field of view goes from edge to edge."""
    if not path.is_file():
        raise Skip("no calibration", str(path))
    try:
        angle = float(json.loads(path.read_text())["field_of_view_rads"])
    except (KeyError, TypeError, ValueError) as error:
        raise Skip("broken calibration", f"{path}: field_of_view_rads: {error}") from error
    if not (isfinite(angle) and 0 < angle < pi) or size[0] != size[1]:
        raise Skip(
            "broken calibration",
            f"{path}: field_of_view_rads is {angle:g} for an image of {size[0]} x {size[1]};"
            " needed is an angle between 0 and pi, and a square image",
        )
    return size[0] / (2 * tan(angle / 2))
