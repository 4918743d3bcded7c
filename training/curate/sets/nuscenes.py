# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""nuScenes: six cameras around a car, and a lidar on its roof.

nuscenes.org, nuScenes, Full dataset (v1.0): keyframes and metadata (CC BY-NC-SA 4.0, other terms
for commercial use):

    ROOT/v1.0-{trainval,mini,test}/{sample,sample_data,calibrated_sensor,ego_pose,scene}.json
    ROOT/samples/CAM_*/*.jpg        undistorted, 1600 x 900
    ROOT/samples/LIDAR_TOP/*.pcd.bin    float32 x y z intensity ring, frame of the lidar

Traps: the car moves between the stamps of the lidar and of each camera, so a point travels from
the lidar to the car then, the world, the car now, and the camera; the lidar sees the casings of
the cameras, so what is within 1 m of one is left out, as in the devkit's projection; quaternions
are w, x, y, z; sample_data.json holds 2.6 million rows, of which the keyframes of these seven
sensors are kept.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from training.curate.formats.files import check_split, known_points, needed
from training.curate.formats.nuscenes_tables import Shown, by_token, keyframes, rows_of
from training.curate.geometry import inverse, pose, transformed
from training.curate.published import sparse_map
from training.curate.sample import Sample, Skip

CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT",
           "CAM_FRONT_LEFT")  # fmt: skip
LIDAR = "LIDAR_TOP"
CASING_M = 1.0  # in front of a camera (min_dist of the devkit's map_pointcloud_to_image)
VERSIONS = {"train": "v1.0-trainval", "val": "v1.0-trainval", "mini_train": "v1.0-mini",
            "mini_val": "v1.0-mini", "test": "v1.0-test"}  # fmt: skip
# The official split, numbers of scenes: what is in trainval and not here is train.
VAL = frozenset([
    3, *range(12, 19), 35, 36, 38, 39, *range(92, 111), 221, *range(268, 279), *range(329, 333),
    *range(344, 347), *range(519, 525), *range(552, 566), 625, 626, 627, 629, 630,
    *range(632, 639), 770, 771, 775, 777, 778, *range(780, 785), *range(794, 801), 802,
    *range(904, 918), *range(919, 932), 962, 963, *range(966, 970), 971, 972, *range(1059, 1074),
])  # fmt: skip
MINI_TRAIN = frozenset([61, 553, 655, 757, 796, 1077, 1094, 1100])
MINI_VAL = frozenset([103, 916])


class Nuscenes:
    """See the module. Published: z as here, but without the car's motion between the two stamps,
    of a pixel (rounded down) the nearest point, also within 1 m, and nothing tested for being
    hidden. DepthLM trains on all scenes but those of the mini set and evaluates on the last 5 % of
    the samples.
    """

    name = "nuscenes"
    licence = "nuScenes, CC BY-NC-SA 4.0: not for commercial use without an agreement."
    splits: tuple[str, ...] = tuple(VERSIONS)

    def __init__(self, root: Path, split: str = "train", as_published: str = ""):
        check_split(self, split)
        self._root, self._split, self._published = root, split, as_published
        self.range_m = (0.05 if as_published else CASING_M, 80.0)
        self._tables = root / VERSIONS[split]
        for name in ("sample_data", "calibrated_sensor", "ego_pose", "scene", "sample"):
            if not (self._tables / f"{name}.json").is_file():
                others = [one for one in VERSIONS if VERSIONS[one] != VERSIONS[split]]
                there = [one for one in others if (root / VERSIONS[one]).is_dir()]
                told = f"; there are tables for --split {', '.join(there)}" if there else ""
                raise InputError(
                    f"{self._tables}/{name}.json is missing: needed is the folder with"
                    f" {VERSIONS[split]} and samples, as nuScenes's archives unpack{told}"
                )

    def keys(self) -> Sequence[tuple[str, str, str, Shown, Shown]]:
        """(scene, sample, camera, its image, the sweep) for each camera of each sample."""
        rows = keyframes(self._tables, (*CAMERAS, LIDAR))
        return [
            (scene, token, camera, sensors[camera], sensors[LIDAR])
            for token, scene in self._samples()
            if LIDAR in (sensors := rows.get(token, {}))
            for camera in CAMERAS
            if camera in sensors
        ]

    def read(self, key: tuple[str, str, str, Shown, Shown]) -> Sample:
        """Raises Skip."""
        scene, token, name, shot, sweep = key
        image = self._root / shot.file
        needed(image, "no image file")
        if not shot.car or not sweep.car:
            raise Skip("no pose", f"{self._tables}/ego_pose.json: of {shot.file} or {sweep.file}")
        camera, car_from_camera = self._camera(shot)
        _, car_from_lidar = self._mount(sweep.sensor)
        if not self._published:
            car_from_lidar = pose(sweep.car[:4], sweep.car[4:]) @ car_from_lidar
            car_from_camera = pose(shot.car[:4], shot.car[4:]) @ car_from_camera
        cloud = _cloud(self._root / sweep.file)
        points = transformed(cloud, inverse(car_from_camera) @ car_from_lidar)
        told = f"{scene}/{token}/{name}", scene, image, camera
        gap = abs(shot.stamp_us - sweep.stamp_us) / 1e6
        if not self._published:
            return Sample(*told, points=points[points[:, 2] > CASING_M], time_gap_s=gap)
        points = points[points[:, 2] > 0]
        depth = sparse_map(np.floor(camera.pixels(points)), points[:, 2], camera, keep="nearest")
        return Sample(*told, depth=depth, kind="z", time_gap_s=gap)

    def _samples(self) -> list[tuple[str, str]]:
        """(sample, scene's name) of the split, in the order of the table."""
        path = self._tables / "scene.json"
        scenes = {row["token"]: row["name"] for row in rows_of(path, fields=("token", "name"))}
        fields = "token", "scene_token"
        samples = rows_of(self._tables / "sample.json", fields=fields)
        named = [(row["token"], scenes.get(row["scene_token"], "")) for row in samples]
        strange = sorted({name for _, name in named if not re.fullmatch(r"scene-\d{4}", name)})
        if strange:
            raise InputError(
                f"{path}: a sample is of the scene {strange[0]!r}, needed is a name such as"
                " scene-0061, by which scenes belong to splits"
            )
        if (self._published, self._split) == ("depthlm", "val"):
            return named[int(len(named) * 0.95) :]
        return [(token, name) for token, name in named if self._takes(int(name[-4:]))]

    def _takes(self, scene: int) -> bool:
        if (self._published, self._split) == ("depthlm", "train"):
            return scene not in MINI_TRAIN | MINI_VAL
        chosen = {"val": VAL, "mini_train": MINI_TRAIN, "mini_val": MINI_VAL}
        if self._split in chosen:
            return scene in chosen[self._split]
        return self._split == "test" or scene not in VAL

    def _mount(self, token: str) -> tuple[list[list[float]], np.ndarray]:
        """The intrinsics of a sensor, and the car from it."""
        row = by_token(self._tables / "calibrated_sensor.json").get(token)
        if row is None:
            raise Skip("no calibration", f"{self._tables}/calibrated_sensor.json: {token}")
        return row["camera_intrinsic"], pose(row["rotation"], row["translation"])

    def _camera(self, shot: Shown) -> tuple[Camera, np.ndarray]:
        k, car_from_camera = self._mount(shot.sensor)
        if np.shape(k) != (3, 3):
            raise Skip("no calibration", f"{shot.file}: camera_intrinsic is {k}")
        intrinsics = k[0][0], k[1][1], k[0][2], k[1][2]
        return Camera(shot.width, shot.height, *intrinsics), car_from_camera


@lru_cache(maxsize=2)
def _cloud(path: Path) -> np.ndarray:
    """(N, 3) metres in the frame of the lidar."""
    needed(path, "no sweep")
    values = np.fromfile(path, "<f4")
    if values.size % 5 or path.stat().st_size % 4:
        raise Skip("truncated sweep", f"{path}: {values.size} values, not a multiple of 5")
    points = values.reshape(-1, 5)[:, :3]
    return known_points(points, path)
