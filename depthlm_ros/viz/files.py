# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Answers as files: overlay, image of the cloud, PLY, and the depth of every pixel."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from depthlm_ros.data.whole import check_writable, whole_file
from depthlm_ros.errors import InputError
from depthlm_ros.ranges import RangeMap
from depthlm_ros.viz.clouds import cloud_image, write_ply
from depthlm_ros.viz.overlay import overlay

OVERLAY, CLOUD = "overlay.png", ("cloud.png", "cloud.ply")


def output_folder(path: str | PathLike, names: Iterable[str] = (), image: str = "") -> Path:
    """The folder at path, made where it does not exist; InputError where it cannot be, or where
    the image that is read is one of the files `names` in it."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {path} cannot be made: {error}") from error
    for name in names:
        check_writable(Path(path, name), [image])
    return Path(path)


def write_overlay(
    path: str | PathLike, image: np.ndarray, asked, distance_m, uncertain=None
) -> Path:
    """Write the image (H, W, 3) with distances (N,) at the asked pixels (N, 2); returns path.
    uncertain: (N,) bool of them, None: none is."""
    with whole_file(path) as part:
        Image.fromarray(overlay(image, asked, distance_m, uncertain)).save(part)
    return Path(path)


def write_cloud(folder: str | PathLike, points, colours) -> list[Path]:
    """Write organised points (rows, columns, 3) with colours uint8 as the files CLOUD."""
    image, ply = (Path(folder, name) for name in CLOUD)
    with whole_file(image) as part:
        cloud_image(part, points, colours)
    write_ply(ply, points, colours)
    return [image, ply]


MAPS = (".png", ".npy", ".ply")
LARGEST_MM = 2**16 - 1


def check_map_path(path: Path, image: str = "") -> None:
    """InputError where write_map() knows no such file, there is no folder for it, or it is the
    image that is read."""
    if path.suffix.lower() not in MAPS:
        raise InputError(f"a map is written as {', '.join(MAPS)}, got {path}")
    check_writable(path, [image])


def write_map(path: Path, found: RangeMap, image: np.ndarray) -> str:
    """Write a map of an image (H, W, 3) of its size, by the name's ending; what was written.

    .png: 16 bit grey, z in millimetres, 0 where it is unknown or beyond 65.535 m; .npy: (H, W)
    float32, z in metres, NaN where unknown; .ply: the points that are known, in colour.
    """
    return _written_map(path, found, image) + _uncertain_share(found)


def _uncertain_share(found: RangeMap) -> str:
    share = found.uncertain.mean()
    return f"; {share:.0%} of the pixels are uncertain" if share else ""


def _written_map(path: Path, found: RangeMap, image: np.ndarray) -> str:
    kind = path.suffix.lower()
    if kind == ".ply":
        return f"wrote {path}: {write_ply(path, found.points, image)} points"
    z_m = found.z_m.astype(np.float32)
    if kind == ".npy":
        with whole_file(path) as part:
            np.save(part, z_m)
        return f"wrote {path}: {np.isfinite(z_m).sum()} of {z_m.size} pixels, z in metres"
    with np.errstate(invalid="ignore"):
        holds = z_m * 1000 <= LARGEST_MM
    with whole_file(path) as part:
        Image.fromarray(np.rint(np.where(holds, z_m * 1000, 0)).astype(np.uint16)).save(part)
    far = int(np.isfinite(z_m).sum() - holds.sum())
    lost = f", {far} beyond {LARGEST_MM / 1000} m are 0" if far else ""
    return f"wrote {path}: {holds.sum()} of {z_m.size} pixels, z in millimetres{lost}"
