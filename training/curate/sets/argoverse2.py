# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Argoverse 2, Sensor Dataset: nine cameras around a car, and two lidars as one cloud.

argoverse.org, Argoverse 2, Sensor Dataset (CC BY-NC-SA 4.0):

    ROOT/SPLIT/LOG/sensors/cameras/CAMERA/STAMP_NS.jpg
    ROOT/SPLIT/LOG/sensors/lidar/STAMP_NS.feather             x y z float16, frame of the car
    ROOT/SPLIT/LOG/calibration/{intrinsics,egovehicle_SE3_sensor}.feather
    ROOT/SPLIT/LOG/city_SE3_egovehicle.feather                the car's pose over time

Traps: the released images are undistorted, the columns k1, k2, k3 tell of the lens before (the
user guide, and av2-api's issue 226, say so; its PinholeCamera does not read them); a sweep is
compensated to its own stamp, so the car's motion from there to the image's stamp remains; float16
holds 3 cm at 50 m; some logs lack the stereo cameras' calibration.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError, first_line
from training.curate.formats.argoverse2_tables import poses_of, table_of, track_of
from training.curate.formats.files import check_split, known_points, needed
from training.curate.geometry import NS, inverse, pose, transformed
from training.curate.published import sparse_map
from training.curate.sample import Sample, Skip

RING = ("front_center", "front_left", "front_right", "rear_left", "rear_right", "side_left",
        "side_right")  # fmt: skip
FARTHEST_NS = 51_000_000  # half a sweep and the devkit's tolerance


class Argoverse2:
    """See the module. Published: distances along the ray of the ring cameras, pixels rounded, the
    last point of a pixel, nothing tested for being hidden. DepthVLM's are the root of 1 and the
    squares: av2-api gives points as x y z 1, and all four are squared and summed. DepthLM's move
    of 10 to 20 logs from val to train is not told.
    """

    name = "argoverse2"
    licence = "Argoverse 2, CC BY-NC-SA 4.0: not for commercial use, shared alike."
    splits: tuple[str, ...] = ("train", "val", "test")
    range_m = (0.05, 120.0)

    def __init__(self, root: Path, split: str = "train", as_published: str = ""):
        check_split(self, split)
        self._logs, self._published = root / split, as_published
        if not any(self._logs.glob("*/sensors/cameras")):
            raise InputError(
                f"{self._logs} has no LOG/sensors/cameras: needed is the folder of the Sensor"
                " Dataset with train, val and test in it, and in those a folder for each log"
            )

    def keys(self) -> Sequence[tuple[str, str, int]]:
        """(log, camera, stamp in nanoseconds) of each image."""
        cameras = [f"ring_{place}" for place in RING]
        cameras += [] if self._published else ["stereo_front_left", "stereo_front_right"]
        logs = sorted(path.name for path in self._logs.iterdir() if (path / "sensors").is_dir())
        folders = [
            (log, c, self._logs / log / "sensors/cameras" / c) for log in logs for c in cameras
        ]
        return [(log, c, stamp) for log, c, at in folders for stamp in _stamps_of(at, "*.jpg")]

    def read(self, key: tuple[str, str, int]) -> Sample:
        """Raises Skip."""
        log, name, stamp = key
        folder = self._logs / log
        image = folder / "sensors" / "cameras" / name / f"{stamp}.jpg"
        needed(image, "no image file")
        camera, car_from_camera = _calibration(folder, name)
        sweep = _nearest(_sweeps(folder / "sensors" / "lidar"), stamp)
        if sweep is None:
            raise Skip("no sweep at this time", f"{folder}/sensors/lidar, {stamp}")
        track = track_of(folder / "city_SE3_egovehicle.feather")
        camera_from_city = inverse(track.at(stamp) @ car_from_camera)
        points = transformed(_cloud(folder, sweep), camera_from_city @ track.at(sweep))
        told = f"{log}/{name}/{stamp}", log, image, camera
        gap = abs(stamp - sweep) / NS
        if not self._published:
            return Sample(*told, points=points, time_gap_s=gap)
        at = camera.pixels(points)
        with np.errstate(invalid="ignore"):
            shown = ((at >= 0) & (at < (camera.width - 1, camera.height - 1))).all(axis=1)
        fourth = float(self._published == "depthvlm")
        distance_m = np.sqrt((points[shown] ** 2).sum(axis=1) + fourth)
        depth = sparse_map(np.round(at[shown]), distance_m, camera, keep="last")
        return Sample(*told, depth=depth, kind="distance", time_gap_s=gap)


def _stamps_of(folder: Path, pattern: str) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob(pattern) if path.stem.isdigit())


@lru_cache(maxsize=4)
def _sweeps(folder: Path) -> np.ndarray:
    return np.array(_stamps_of(folder, "*.feather"), np.int64)


def _nearest(stamps: np.ndarray, wanted: int) -> int | None:
    if not len(stamps):
        return None
    found = int(stamps[np.argmin(np.abs(stamps - wanted))])
    return found if abs(found - wanted) <= FARTHEST_NS else None


@lru_cache(maxsize=32)
def _calibration(log: Path, name: str) -> tuple[Camera, np.ndarray]:
    """The camera, and the car from its optical frame."""
    folder = log / "calibration"
    lenses = table_of(folder / "intrinsics.feather", "no calibration")
    table, poses = poses_of(folder / "egovehicle_SE3_sensor.feather", "no calibration")
    try:
        row = lenses["sensor_name"].tolist().index(name)
        mount = poses[table["sensor_name"].tolist().index(name)]
        width, height = (int(lenses[f"{side}_px"][row]) for side in ("width", "height"))
        fx, fy, cx, cy = (float(lenses[f"{one}_px"][row]) for one in ("fx", "fy", "cx", "cy"))
        return Camera(width, height, fx, fy, cx, cy), pose(mount[:4], mount[4:])
    except (KeyError, ValueError) as error:
        raise Skip("no calibration", f"{folder}: {name}: {first_line(error)}") from error


@lru_cache(maxsize=2)
def _cloud(log: Path, stamp: int) -> np.ndarray:
    """(N, 3) metres in the frame of the car at the sweep's stamp."""
    path = log / "sensors" / "lidar" / f"{stamp}.feather"
    table = table_of(path, "broken sweep")
    try:
        points = np.stack([table[axis] for axis in "xyz"], axis=1).astype(np.float64)
    except KeyError as error:
        raise Skip("broken sweep", f"{path}: no column {error}") from error
    return known_points(points, path)
