# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Taskonomy and HM3D as Omnidata renders them: indoor scans seen from many places.

Download: "Omnidata Starter Dataset" (docs.omnidata.vision), components taskonomy and hm3d, domains
rgb, depth_zbuffer, point_info and, if wanted, mask_valid. Layout of both below one root:

    rgb/<set>/<building>/point_3_view_1_domain_rgb.png                      square, 512 x 512
    depth_zbuffer/<set>/<building>/point_3_view_1_domain_depth_zbuffer.png  z, 16 bits, 1/512 m
    point_info/<set>/<building>/point_3_view_1_domain_point_info.json       (HM3D: _fixatedpose)
    mask_valid/<set>/<building>/point_3_view_1_domain_depth_zbuffer.png     (HM3D: _mask_valid)
    train_val_test_fullplus.csv (id, train, val, test), in Omnidata's repository
    metadata.csv (scene, split), HM3D's: in that of habitat-matterport-3dresearch

Traps: 65535 means "nothing was hit" and is not 128 m; the focal length stands nowhere, it follows
from field_of_view_rads and the width; the principal point is the image's centre. DepthVLM's
labels lack the mask, DepthLM's were never published.
Licences: Taskonomy and Matterport allow research alone, and no passing on of the images.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

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
    text_of,
)
from training.curate.formats.omnidata import View, focal_of, views_of
from training.curate.sample import Sample

_UNITS = 512  # per metre
_UNKNOWN = (0, 65535)


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
        if as_published == "depthlm":
            raise InputError(
                f"DepthLM's labels of {self.name} were never published: leave --as-published out,"
                " or give depthvlm"
            )
        self._root, self._split = root, split
        for domain in ("rgb", "depth_zbuffer", "point_info"):
            check_there(root / domain / self.name, f"<root>/{domain}/{self.name}/<building>/*.*")
        self._buildings = tuple(
            sorted(self._listed(check_there(root / self._list, f"<root>/{self._list}")))
        )
        if not self._buildings:
            raise InputError(
                f"{root / 'rgb' / self.name} has no folder of a building that {self._list} puts"
                f" into {split}"
            )
        has_masks = (root / "mask_valid" / self.name).is_dir()
        self._masked = has_masks and as_published != "depthvlm"

    def keys(self) -> Sequence[View]:
        """(building, point, view) of each image, by name and number."""
        rgb = self._root / "rgb" / self.name
        return views_of(rgb / building for building in self._buildings)

    def _listed(self, path: Path) -> Iterator[str]:
        """The buildings of the split that are there."""
        for row in csv.DictReader(text_of(path).splitlines()):
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
        focal = focal_of(info, size)
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
    splits = "train", "val"
    range_m = (0.01, 10.0)
    _info = "fixatedpose"
    _mask = "mask_valid"
    _list = "metadata.csv"
