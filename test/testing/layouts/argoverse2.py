# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A log of Argoverse 2 in its layout, of the hall in planes.py."""

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import feather

from testing.planes import (
    OPTICAL,
    car,
    far_from_home,
    grid,
    moved,
    photograph,
    placed,
    quaternion,
    reach,
    scan,
    turn,
    with_twins,
)

LOG = "7fab2350-7eaf-3b7e-a39d-6937a4c1bede"
START = 315966265259836000
SHOT, SWEEP = START + 81_000_000, START + 50_000_000
SIZE, K = (72, 96), (83.1, 82.9, 33.4, 51.2)  # portrait and off its centre, as the front camera
MOUNT = placed(turn(0.15, 0.05, 0.1) @ OPTICAL, (1.6, 0.2, 1.4))
ROOF = placed(np.eye(3), (1.3, 0, 1.6))


def seconds(stamp):
    return (stamp - START) / 1e9


def pose_table(poses, **more):
    rows = [[*quaternion(one[:3, :3]), *one[:3, 3]] for one in poses]
    names = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")
    return pa.table({**more, **dict(zip(names, np.array(rows).T, strict=True))})


def write_log(folder):
    """-> the world's points as the car's frame of the sweep holds them, in float16."""
    cameras, lidar = folder / "sensors/cameras/ring_front_center", folder / "sensors/lidar"
    calibration = folder / "calibration"
    for one in (cameras, lidar, calibration):
        one.mkdir(parents=True)
    eye = car(seconds(SHOT)) @ MOUNT
    world = with_twins(scan(car(seconds(SWEEP)) @ ROOF), eye[:3, 3])
    back = np.linalg.inv(car(seconds(SWEEP)))
    stored = moved(back, world).astype(np.float16)
    columns = {axis: pa.array(stored[:, i]) for i, axis in enumerate("xyz")}
    count = len(stored)
    columns["intensity"] = pa.array(np.full(count, 9, np.uint8))
    columns["laser_number"] = pa.array(np.arange(count) % 64, pa.uint8())
    columns["offset_ns"] = pa.array(np.arange(count), pa.int32())
    feather.write_feather(pa.table(columns), lidar / f"{SWEEP}.feather", compression="zstd")
    feather.write_feather(pa.table(columns), lidar / f"{START + 400_000_000}.feather")
    later = [START + one * 1_000_000 for one in (396, 408, 900)]
    stamps = [START, SWEEP, SWEEP + 9_000_000, SHOT, *later]
    poses = [far_from_home(car(seconds(stamp))) for stamp in stamps]
    track = pose_table(poses, timestamp_ns=stamps)
    feather.write_feather(track, folder / "city_SE3_egovehicle.feather")
    fx, fy, cx, cy = K
    feather.write_feather(
        pa.table(
            {
                "sensor_name": ["ring_front_center"],
                "fx_px": [fx],
                "fy_px": [fy],
                "cx_px": [cx],
                "cy_px": [cy],
                "k1": [-0.24],
                "k2": [-0.21],
                "k3": [0.33],  # of the lens before
                "height_px": pa.array([SIZE[1]], pa.uint16()),
                "width_px": pa.array([SIZE[0]], pa.uint16()),
            }
        ),
        calibration / "intrinsics.feather",
    )
    sensors = pose_table([ROOF, MOUNT], sensor_name=["up_lidar", "ring_front_center"])
    feather.write_feather(sensors, calibration / "egovehicle_SE3_sensor.feather")
    u, v = grid(*SIZE).T
    fx, fy, cx, cy = K
    rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones_like(u)], axis=1)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    metres = reach(eye[:3, 3], rays @ eye[:3, :3].T).reshape(SIZE[::-1])
    for stamp in (SHOT, START + 700_000_000):
        Image.fromarray(photograph(metres)).save(cameras / f"{stamp}.jpg", quality=97)
    exact = moved(car(seconds(SWEEP)), stored.astype(float))
    return exact, metres
