# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""ScanNet++, its iPhone recordings: video with the phone's lidar, and a laser scan of the room.

kaldir.vc.in.tum.de/scannetpp (its own terms: not for commercial use, no redistribution), and its
toolbox, which unpacks the videos (iphone.prepare_iphone_data) and renders the mesh of the laser
scan into them (common.render, with output_dir: ROOT/data):

    ROOT/splits/nvs_sem_{train,val}.txt
    ROOT/data/SCENE/iphone/rgb/frame_000000.jpg             1920 x 1440, 60 a second
    ROOT/data/SCENE/iphone/depth/frame_000000.png           256 x 192, millimetres of z, smoothed
    ROOT/data/SCENE/iphone/pose_intrinsic_imu.json          a camera matrix for each frame
    ROOT/data/SCENE/iphone/rgb_masks/frame_000000.png       if unpacked: 0 where it was blurred
    ROOT/data/SCENE/iphone/render_depth/frame_000000.png    if rendered: millimetres of z
    ROOT/data/SCENE/iphone/colmap/cameras.txt               the lens that it was rendered through

The rendered map is taken where there is one: it is sharp, reaches farther and is what the laser
measured. Of the frames every tenth is read, those that the set's own poses are of.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError, first_line
from training.curate.formats.colmap import read_models
from training.curate.formats.files import check_split, json_of, mask_of, metres_of, needed, text_of
from training.curate.sample import Sample, Skip

SIZE = 1920, 1440
STEP = {"": 10, "depthlm": 10, "depthvlm": 60}
PUBLISHED = Camera(*SIZE, 1427.4375, 1427.4375, 959.5, 719.5)


class Scannetpp:
    """See the module. Published: the phone's maps alone. DepthLM takes one camera for all scenes,
    adds the squares of the ray's x and y at a distance of 1 m to that of z, and splits the frames
    of all scenes after 98 %; DepthVLM takes every sixtieth frame, whole.
    """

    name = "scannetpp"
    licence = "ScanNet++ Terms of Use: not for commercial use, no redistribution."
    splits: tuple[str, ...] = ("train", "val")
    range_m = (0.001, 10.0)

    def __init__(self, root: Path, split: str = "train", as_published: str = ""):
        check_split(self, split)
        self._root, self._split, self._published = root, split, as_published
        listed = root / "splits" / f"nvs_sem_{split}.txt"
        if as_published != "depthlm" and not listed.is_file():
            raise InputError(f"{listed} is missing: needed is the folder with data and splits")
        if not any(root.glob("data/*/iphone/pose_intrinsic_imu.json")):
            raise InputError(
                f"{root}/data has no SCENE/iphone/pose_intrinsic_imu.json: needed is the folder"
                " with data and splits, as ScanNet++'s download script makes it"
            )

    def keys(self) -> Sequence[tuple[str, str]]:
        """(scene, frame) of every tenth image."""
        step = STEP[self._published]
        found = []
        for scene in self._scenes():
            folder = self._folder(scene)
            stems = (path.stem for path in folder.glob("rgb/frame_*.jpg"))
            names = sorted(stem for stem in stems if _number(stem).isdigit())
            if not names and folder.is_dir() and self._published != "depthlm":
                names = ["frame_000000"]  # not unpacked: skipped and counted
            found += [(scene, name) for name in names if int(_number(name)) % step == 0]
        if self._published == "depthlm":
            held_out = int(len(found) * 0.98)
            return found[held_out:] if self._split == "val" else found[:held_out]
        return found

    def read(self, key: tuple[str, str]) -> Sample:
        """Raises Skip."""
        scene, frame = key
        folder = self._folder(scene)
        image = folder / "rgb" / f"{frame}.jpg"
        if not image.is_file():
            how = "the toolbox's iphone.prepare_iphone_data unpacks rgb.mkv"
            raise Skip("no image file", f"{image} ({how})")
        rendered = folder / "render_depth" / f"{frame}.png"
        path, camera = rendered, _lens(folder / "colmap" / "cameras.txt")
        if self._published or camera is None or not rendered.is_file():
            path, camera = folder / "depth" / f"{frame}.png", _camera(folder, frame)
        z_m = metres_of(path, 1000)
        mask = folder / "rgb_masks" / f"{frame}.png"
        if mask.is_file() and self._published != "depthvlm":
            z_m[~_shown(mask, *z_m.shape)] = np.nan
        told = f"{scene}/{frame}", scene, image
        if self._published != "depthlm":
            return Sample(*told, camera, depth=z_m, kind="z")
        high, wide = z_m.shape
        x = (_centres(wide, SIZE[0]) - PUBLISHED.cx) / PUBLISHED.fx
        y = (_centres(high, SIZE[1]) - PUBLISHED.cy) / PUBLISHED.fy
        summed = np.sqrt(x**2 + y[:, None] ** 2 + z_m**2).astype(np.float32)
        return Sample(*told, PUBLISHED, depth=summed, kind="distance")

    def _scenes(self) -> list[str]:
        if self._published == "depthlm":
            return sorted(path.parts[-2] for path in self._root.glob("data/*/iphone"))
        listed = self._root / "splits" / f"nvs_sem_{self._split}.txt"
        return [line.strip() for line in text_of(listed).splitlines() if line.strip()]

    def _folder(self, scene: str) -> Path:
        return self._root / "data" / scene / "iphone"


def _number(frame: str) -> str:
    """Of a file name, frame_000010 -> 000010."""
    return frame.removeprefix("frame_")


def _centres(count: int, pixels: int) -> np.ndarray:
    """Of `count` cells over `pixels` pixels."""
    return (np.arange(count) + 0.5) * pixels / count - 0.5


@lru_cache(maxsize=32)
def _lens(path: Path) -> Camera | None:
    """None where the phone has no lens but the frames' matrices. Raises Skip."""
    if not path.is_file():
        return None
    try:
        return next(iter(read_models(path).values())).camera()
    except (InputError, StopIteration) as error:
        raise Skip("no calibration", f"{path}: {first_line(error)}") from error


@lru_cache(maxsize=2)
def _frames(path: Path) -> dict[str, object]:
    """The camera matrix of each frame."""
    needed(path, "no calibration")
    return {name: content.get("intrinsic") for name, content in json_of(path).items()}


def _camera(folder: Path, frame: str) -> Camera:
    path = folder / "pose_intrinsic_imu.json"
    try:
        k = np.asarray(_frames(path).get(frame), np.float64)
        return Camera(*SIZE, k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    except (TypeError, IndexError, ValueError) as error:
        raise Skip("no calibration", f"{path}: {frame}: {first_line(error)}") from error


def _shown(path: Path, height: int, width: int) -> np.ndarray:
    """(height, width) bool: what was not blurred, at the middle of each cell. Raises Skip."""
    mask = mask_of(path, SIZE)
    rows, columns = _centres(height, SIZE[1]), _centres(width, SIZE[0])
    shown: np.ndarray = mask[np.round(rows).astype(int)[:, None], np.round(columns).astype(int)]
    return shown
