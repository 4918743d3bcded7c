# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Waymo Open Dataset, Perception, version 2 (parquet): five cameras and five lidars of a car.

waymo.com/open, Perception Dataset v2 (its own non-commercial licence), a file for each segment:

    ROOT/SPLIT/{camera_image,camera_calibration}/SEGMENT.parquet
    ROOT/SPLIT/{lidar,lidar_calibration,lidar_pose,vehicle_pose}/SEGMENT.parquet
    ROOT/SPLIT/lidar_camera_projection/SEGMENT.parquet          for published labels alone

Traps: those of range images, see formats/waymo_lidar.py; camera frames look along x; images are
distorted, count pixels from a corner and are exposed row by row or column by column, so a point is
placed where the camera was when it saw it.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from training.curate.formats.files import check_split, rgb_of
from training.curate.formats.waymo_lidar import TOP, cloud_of, lidar_points, matrix_of
from training.curate.formats.waymo_rows import CAMERA, Row, index_of, raster_of, row_of
from training.curate.geometry import OPTICAL_FROM_FORWARD, inverse, transformed
from training.curate.published import sparse_map
from training.curate.rolling import Shutter, as_exposed, may_be_seen
from training.curate.sample import Sample, Skip

COMPONENTS = ("camera_image", "camera_calibration", "lidar", "lidar_calibration", "lidar_pose",
              "vehicle_pose")  # fmt: skip
# Where along the readout a pixel is exposed: rolling_shutter_direction -> axis, backwards.
DIRECTIONS = {1: (1, False), 2: (0, False), 3: (1, True), 4: (0, True)}
Key = tuple[str, int, int]


class Waymo:
    """See the module. Published: distances of the top lidar's first return from where the camera
    was at the frame's pose, at the pixels that the set gives (rolling shutter included), the
    nearest in each, nothing tested for being hidden, image and map straightened with the
    principal point moved to the middle; DepthLM sends its pixels through that map backwards.
    """

    name = "waymo"
    licence = "Waymo Open Dataset License Agreement: not for commercial use, no redistribution."
    splits: tuple[str, ...] = ("training", "validation")
    range_m = (0.05, 70.0)

    def __init__(self, root: Path, split: str = "training", as_published: str = ""):
        check_split(self, split)
        self._folder, self._published = root / split, as_published
        needed = (*COMPONENTS, *(["lidar_camera_projection"] if as_published else []))
        for component in needed:
            if not any(self._folder.glob(f"{component}/*.parquet")):
                raise InputError(
                    f"{self._folder}/{component} has no .parquet file: needed is version 2 of the"
                    f" Perception Dataset with {', '.join(needed)} (version 1, tfrecord, is not"
                    " read)"
                )

    def keys(self) -> Sequence[Key]:
        """(segment, stamp of the frame in microseconds, number of the camera) of each image."""
        paths = sorted(self._folder.glob("camera_image/*.parquet"))
        return [(path.stem, *row) for path in paths for row in _rows(path)]

    def read(self, key: Key) -> Sample:
        """Raises Skip, or InputError for a file that lacks a column."""
        segment, stamp, number = key
        shot = self._row("camera_image", segment, (stamp, number))
        found = self._row("camera_calibration", segment, (0, number))
        name = f"{segment}/{stamp}_{number}"
        image = rgb_of(BytesIO(shot["image"] or b""), f"{name} in camera_image")
        camera, car_from_camera = _camera(found)
        if self._published:
            image, camera, depth = self._as_published(key, image, camera, car_from_camera)
            return Sample(name, segment, image, camera, depth=depth, kind="distance")
        car = matrix_of(shot["pose.transform"])
        points = cloud_of(self._folder, segment, stamp)
        seen = _exposed(points, camera, car, car_from_camera, shot, found)
        gap = abs(shot["pose_timestamp"] - stamp / 1e6)
        return Sample(name, segment, image, camera, points=seen, time_gap_s=gap)

    def _row(self, component: str, segment: str, row: tuple[int, int]) -> Row:
        return row_of(self._folder / component / f"{segment}.parquet", row)

    def _as_published(
        self, key: Key, image: np.ndarray, camera: Camera, car_from_camera: np.ndarray
    ) -> tuple[np.ndarray, Camera, np.ndarray]:
        segment, stamp, number = key
        car = matrix_of(
            self._row("vehicle_pose", segment, (stamp, 0))["world_from_vehicle.transform"]
        )
        row = self._row("lidar_camera_projection", segment, (stamp, TOP))
        world, measured = lidar_points(self._folder, segment, stamp, TOP)
        at = raster_of(row, "range_image_return1")[measured]
        first, second = at[:, 0] == number, at[:, 3] == number
        at = np.where(first[:, None], at[:, 1:3], at[:, 4:6])[first | second]
        points = transformed(world[first | second], inverse(car @ car_from_camera))
        depth = sparse_map(at, np.linalg.norm(points, axis=1), camera, keep="nearest")
        straight, maps = _published_maps(camera)
        image = cv2.remap(image, *maps, cv2.INTER_LINEAR)
        if self._published == "depthlm":
            v, u = np.nonzero(np.isfinite(depth))
            sent = np.stack([one[v, u] for one in maps], axis=1)
            return image, straight, sparse_map(np.trunc(sent), depth[v, u], camera, keep="last")
        moved = cv2.remap(np.nan_to_num(depth), *maps, cv2.INTER_NEAREST, borderValue=0)
        moved[moved == 0] = np.nan
        return image, straight, moved


def _rows(path: Path) -> list[tuple[int, int]]:
    """Those of a segment; of a file that is cut off one, which is skipped and counted."""
    try:
        return sorted(index_of(path, CAMERA))
    except Skip:
        return [(0, 0)]


def _published_maps(camera: Camera) -> tuple[Camera, tuple[np.ndarray, np.ndarray]]:
    """The pinhole with its principal point in the middle, and where each of its pixels was."""
    size = camera.width, camera.height
    straight = Camera(*size, camera.fx, camera.fy, size[0] / 2, size[1] / 2)
    stored, wanted = (
        np.array([[camera.fx, 0, cx], [0, camera.fy, cy], [0, 0, 1]])
        for cx, cy in ((camera.cx + 0.5, camera.cy + 0.5), (straight.cx, straight.cy))
    )
    lens = np.array(camera.coefficients or 5 * [0.0])
    return straight, cv2.initUndistortRectifyMap(stored, lens, None, wanted, size, cv2.CV_32FC1)


def _exposed(
    world: np.ndarray, camera: Camera, car: np.ndarray, mount: np.ndarray, shot: Row, told: Row
) -> np.ndarray:
    """(N, 3) of the points that may be seen in the optical frame, each as the camera stood when it
    exposed the point's pixel.

    The car moves on from `car`, the pose at pose_timestamp, with constant velocity: linear in the
    world, angular in its own frame (Waymo's camera_model.cc).
    """
    optical_from_car = OPTICAL_FROM_FORWARD @ inverse(mount)
    points = transformed(world, optical_from_car @ inverse(car))
    points = points[may_be_seen(points, camera)]
    open_s, begin, end = (
        shot[f"rolling_shutter_params.{name}"]
        for name in ("shutter", "camera_trigger_time", "camera_readout_done_time")
    )
    direction, readout_s = DIRECTIONS.get(told["rolling_shutter_direction"]), end - begin - open_s
    if direction is None or not readout_s > 0:
        return points
    linear, angular = (
        np.array([shot[f"velocity.{kind}_velocity.{axis}"] for axis in "xyz"])
        for kind in ("linear", "angular")
    )
    drift = car[:3, :3].T @ linear + np.cross(angular, mount[:3, 3])
    drift, spin = (optical_from_car[:3, :3] @ one for one in (drift, angular))
    shutter = Shutter(begin + open_s / 2 - shot["pose_timestamp"], readout_s, *direction)
    return as_exposed(points, camera, shutter, drift, spin)


def _camera(told: Row) -> tuple[Camera, np.ndarray]:
    """The camera, and the car from its frame, which looks along x."""
    f_u, f_v, c_u, c_v, *lens = (
        told[f"intrinsic.{name}"]
        for name in ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")
    )
    size = told["width"], told["height"]
    camera = Camera(*size, f_u, f_v, c_u - 0.5, c_v - 0.5, "plumb_bob", tuple(lens))
    return camera, matrix_of(told["extrinsic.transform"])
