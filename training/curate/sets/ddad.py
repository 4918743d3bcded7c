# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""DDAD, Dense Depth for Automated Driving: six cameras around a car, and a lidar to 250 m.

github.com/TRI-ML/DDAD, train and val (CC BY-NC-SA 4.0), in TRI's DGP format:

    ROOT/ddad.json                              scenes of each split
    ROOT/SCENE/scene_SHA.json                   samples, data, a pose for each datum
    ROOT/SCENE/calibration/SHA.json             intrinsics by the sensor's name
    ROOT/SCENE/rgb/CAMERA_XX/STAMP.png          1936 x 1216, global shutter, no distortion given
    ROOT/SCENE/point_cloud/LIDAR/STAMP.npz      "data": X, Y, Z, INTENSITY, frame of the lidar
    ROOT/mask/CAMERA_XX/SCENE/mask.png          if you have them: black but where the car is seen

Traps: each datum has its own pose in the world, of the sensor and not of the car, so a point
travels lidar -> world -> camera; the sensors' stamps differ by up to 0.2 s; cameras 05 to 09 see
parts of the car, through which points of the road behind would show: the set comes without masks
of them, and has several cars. github.com/weiyithu/SurroundDepth provides a mask of each camera in
each scene, in the layout above; without the folder `mask` such points become labels.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError, first_line
from training.curate.formats.dgp import camera_of, scene_of, stamp_of, world_from
from training.curate.formats.files import check_split, json_of, known_points, mask_of, needed
from training.curate.geometry import inverse, transformed
from training.curate.published import sparse_map
from training.curate.sample import Sample, Skip

CAMERAS = ("CAMERA_01", "CAMERA_05", "CAMERA_06", "CAMERA_07", "CAMERA_08", "CAMERA_09")
SPLITS = {"train": "0", "val": "1"}  # DGP numbers them


class Ddad:
    """See the module. root may also be the JSON file of a data set in DGP format. Published: the z
    of DGP's projection, which rounds pixels towards zero and keeps the last point of each, with
    nothing tested for being hidden.
    """

    name = "ddad"
    licence = "DDAD, CC BY-NC-SA 4.0: not for commercial use, shared alike."
    splits: tuple[str, ...] = tuple(SPLITS)
    range_m = (0.05, 120.0)

    def __init__(self, root: Path, split: str = "train", as_published: str = ""):
        check_split(self, split)
        self._index = root if root.is_file() else root / "ddad.json"
        self._split, self._published = split, as_published
        if not self._index.is_file():
            raise InputError(
                f"{self._index} is missing: needed is the folder ddad_train_val with ddad.json and"
                " a folder for each scene"
            )

    def keys(self) -> Sequence[tuple[str, int, str]]:
        """(scene file, number of the sample, camera) of each image."""
        try:
            names = list(json_of(self._index)["scene_splits"][SPLITS[self._split]]["filenames"])
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{self._index} has no scene_splits/{SPLITS[self._split]}/filenames: is it the"
                " index of a data set in DGP format?"
            ) from error
        found = []
        for name in names:
            path = self._index.parent / name
            if not path.is_file():  # not downloaded, or not whole: skipped and counted
                found.append((name, 0, CAMERAS[0]))
                continue
            for number, sensors in enumerate(scene_of(path)):
                found += [(name, number, camera) for camera in CAMERAS if camera in sensors]
        return found

    def read(self, key: tuple[str, int, str]) -> Sample:
        """Raises Skip."""
        scene_file, number, name = key
        path = self._index.parent / scene_file
        needed(path, "no scene file")
        folder, sensors = path.parent, scene_of(path)[number]
        if "LIDAR" not in sensors:
            raise Skip("no sweep", f"{folder}, sample {number}")
        datum, shot = sensors[name], sensors[name]["datum"]["image"]
        sweep = sensors["LIDAR"]["datum"]["point_cloud"]
        image = folder / shot["filename"]
        needed(image, "no image file")
        camera = camera_of(folder / "calibration" / f"{datum['calibration']}.json", name, shot)
        camera_from_lidar = inverse(world_from(shot, image)) @ world_from(sweep, folder)
        points = transformed(_cloud(folder / sweep["filename"]), camera_from_lidar)
        told = f"{folder.name}/{name}/{image.stem}", folder.name, image, camera
        gap = abs(float((stamp_of(datum) - stamp_of(sensors["LIDAR"])) / np.timedelta64(1, "s")))
        if not self._published:
            masks = self._index.parent / "mask"
            if masks.is_dir():
                points = points[_beside(points, camera, masks / name / folder.name / "mask.png")]
            return Sample(*told, points=points, time_gap_s=gap)
        points = points[points[:, 2] > 0]
        depth = sparse_map(np.trunc(camera.pixels(points)), points[:, 2], camera, keep="last")
        return Sample(*told, depth=depth, kind="z", time_gap_s=gap)


def _beside(points: np.ndarray, camera: Camera, mask: Path) -> np.ndarray:
    """(N,) bool: whether points fall beside the car, which the mask shows."""
    at = camera.pixels(points)
    inside = camera.contains(at)
    u, v = np.round(at[inside]).astype(int).T
    inside[inside] = ~_mask(mask, camera)[v, u]
    return inside


@lru_cache(maxsize=6)
def _mask(path: Path, camera: Camera) -> np.ndarray:
    return mask_of(path, (camera.width, camera.height))


@lru_cache(maxsize=2)
def _cloud(path: Path) -> np.ndarray:
    """(N, 3) metres in the frame of the lidar."""
    try:
        with np.load(path) as content:
            points = np.asarray(content["data"], np.float64)[:, :3]
    except FileNotFoundError as error:
        raise Skip("no sweep", str(path)) from error
    except (OSError, ValueError, KeyError, IndexError, EOFError, BadZipFile) as error:
        raise Skip("truncated sweep", f"{path}: {first_line(error)}") from error
    return known_points(points, path)
