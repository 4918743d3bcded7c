# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A recording (rosbag2) of a robot that looks around in rendered rooms, with a depth camera.

For trying the way from a recording to a checkpoint. `focal_error` makes the robot's camera_info
wrong by that factor, as an uncalibrated camera's is, while its depth image stays true.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from depthlm_ros.bags.messages import STORE, header_message, image_message, info_message
from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from training.scenes.boxes import places, rooms
from training.scenes.boxes.camera_work import developed, render
from training.scenes.boxes.solids import Pose

CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)
HEIGHT_M, PITCH_DEG = 0.55, 4.0  # a low robot that looks slightly up
VIEWS, VIEW_NS = 12, 500_000_000  # of a room, all around
ROOM_NS = 10_000_000_000  # from one room to the next
START_NS = 1_700_000_000_000_000_000
FRAME = "camera_color_optical_frame"
SEED = 4  # beside the splits of training.synthetic, whose rooms these are not
MILLIMETRES = "16UC1"


def record(path: Path, images: int, first: int = 0, focal_error: float = 1.0) -> None:
    """Write the recording: `images` images, rooms from number `first` // VIEWS on.

    Raises InputError where path exists.
    """
    if path.exists():
        raise InputError(f"{path} exists already: remove it, or give another --out")
    stated = replace(CAMERA, fx=CAMERA.fx * focal_error, fy=CAMERA.fy * focal_error)
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        topics: dict[str, Any] = {}
        for i in range(first, first + images):
            for stamp_ns, topic, message in _messages(i, stated):
                if topic not in topics:
                    kind = message.__msgtype__
                    topics[topic] = writer.add_connection(topic, kind, typestore=STORE)
                raw = STORE.serialize_cdr(message, message.__msgtype__)
                writer.write(topics[topic], stamp_ns, raw)


def view(number: int) -> tuple[np.ndarray, np.ndarray]:
    """(image (240, 320, 3) uint8, z (240, 320) float32 metres) of a view; VIEWS are of a room."""
    rng = np.random.default_rng([SEED, number // VIEWS])
    place = rooms.room(rng)
    stand = places.standing(rng, place)
    turn = 2 * np.pi * (number % VIEWS) / VIEWS
    origin = [*stand.origin[:2], HEIGHT_M]
    pose = Pose.looking(origin, turn, np.radians(PITCH_DEG))
    light, distance = render(place, CAMERA, pose)
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width].reshape(2, -1)
    forward = CAMERA.rays(np.stack([u, v], 1))[:, 2].reshape(distance.shape)
    return developed(rng, light), (distance * forward).astype(np.float32)


def _messages(number: int, stated: Camera) -> Iterator[tuple[int, str, Any]]:
    image, z_m = view(number)
    stamp_ns = START_NS + number // VIEWS * ROOM_NS + number % VIEWS * VIEW_NS
    header = header_message(stamp_ns, FRAME)
    yield stamp_ns, "/camera/color/camera_info", info_message(header, stated)
    yield stamp_ns + 1, "/camera/color/image_raw", image_message(header, image)
    raw = np.nan_to_num(np.round(z_m * 1000)).clip(0, 2**16 - 1).astype(np.uint16)
    depth = STORE.types["sensor_msgs/msg/Image"](
        header, *raw.shape, MILLIMETRES, 0, raw.strides[0], raw.reshape(-1).view(np.uint8)
    )
    yield stamp_ns + 2, "/camera/aligned_depth_to_color/image_raw", depth
    yield stamp_ns + 3, "/camera/aligned_depth_to_color/camera_info", info_message(header, stated)
