# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Recordings of a robot that drives towards a wall and turns: what its sensors see is known.

The wall is a plane of the frame "odom"; the camera bends its rays, sits off the middle of its
image, is mounted with a roll, and measures at other times and places than the lidar.
"""

import struct
from io import BytesIO
from itertools import groupby

import numpy as np
from PIL import Image
from rosbags.rosbag2 import StoragePlugin, Writer

from depthlm_ros.bags.messages import header_message, image_message, info_message
from depthlm_ros.bags.reader import STORE
from depthlm_ros.camera import Camera
from training.curate.geometry import NS, OPTICAL_FROM_FORWARD, inverse, pose

START_NS = 1_700_000_000 * NS
CAMERA = Camera(160, 120, 150, 152, 84, 55, "plumb_bob", (-0.2, 0.06, 0.001, -0.001, 0))
DEPTH_CAMERA = Camera(120, 90, 90, 90, 60, 45)
WALL = np.array([1.0, 0.15, 0.1]), 6.0  # points p with normal . p = 6
LATE_NS = 30_000_000  # the measurement after its image


def turn(yaw, roll=0.0):
    """(3, 3) about z, then about the own x; radians."""
    c, s, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(roll), np.sin(roll)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, cr, -sr], [0, sr, cr]]
    )


BASE_FROM_CAMERA = pose(turn(0.05, 0.09), (0.1, 0.0, 1.0)) @ inverse(OPTICAL_FROM_FORWARD)
BASE_FROM_LIDAR = pose(turn(-0.2), (0.0, 0.25, 1.3))
BASE_FROM_DEPTH = pose(turn(0.0), (0.1, 0.06, 1.0)) @ inverse(OPTICAL_FROM_FORWARD)


def odom_from_base(stamp_ns):
    """Ahead at 0.4 m/s, looking left and right at up to 20 degrees a second."""
    t = (stamp_ns - START_NS) / NS
    return pose(turn(0.3 * np.sin(1.2 * t) - 0.1), (0.4 * t, 0.1 * t, 0))


def wall_points(rays, odom_from_sensor):
    """(N, 3) where rays (N, 3) of a sensor meet the wall, in the sensor's frame."""
    normal, offset = WALL
    turned, origin = rays @ odom_from_sensor[:3, :3].T, odom_from_sensor[:3, 3]
    distance = (offset - normal @ origin) / (turned @ normal)
    return rays * np.where(distance > 0, distance, np.nan)[:, None]


def true_z(camera, pixels, stamp_ns):
    """(N,) z of the wall at pixels of a pinhole that looks where the camera looks."""
    return wall_points(camera.rays(pixels), odom_from_base(stamp_ns) @ BASE_FROM_CAMERA)[:, 2]


def depth_values(camera, odom_from_camera):
    """(H, W) float32 metres of z."""
    v, u = np.mgrid[: camera.height, : camera.width].reshape(2, -1)
    z = wall_points(camera.rays(np.stack([u, v], 1)), odom_from_camera)[:, 2]
    return z.reshape(camera.height, camera.width).astype(np.float32)


def depth_message(header, metres, encoding):
    """An Image, or a CompressedImage where the encoding names a transport."""
    kind, _, transport = encoding.partition("; ")
    raw = np.round(metres * 1000).astype(np.uint16) if kind == "16UC1" else metres
    if not transport:
        return STORE.types["sensor_msgs/msg/Image"](
            header, *metres.shape, kind, 0, raw.strides[0], raw.reshape(-1).view(np.uint8)
        )
    a, b = 1000.0, -20.0
    stored = raw if kind == "16UC1" else np.round(a / metres + b).astype(np.uint16)
    data = struct.pack("<iff", 0, a, b)
    data += rvl_of(stored) if transport.endswith("rvl") else png_of(stored)
    return STORE.types["sensor_msgs/msg/CompressedImage"](
        header, encoding, np.frombuffer(data, np.uint8)
    )


def png_of(raster):
    """An image as a PNG file."""
    file = BytesIO()
    Image.fromarray(raster).save(file, "png")
    return file.getvalue()


def rvl_of(raster):
    """An image as the transport packs it, written after Wilson's paper, number by number."""
    pieces = []

    def put(number):
        while number > 7:
            pieces.append(number % 8 + 8)
            number //= 8
        pieces.append(number)

    before = 0
    for is_known, pixels in groupby([0, *raster.ravel().tolist()], key=bool):
        run = list(pixels)
        if not is_known:
            put(len(run) - (not pieces))  # a first 0 was put before the image
            continue
        put(len(run))
        for value in run:
            put(2 * (value - before) if value >= before else 2 * (before - value) - 1)
            before = value
    if raster.ravel()[-1] == 0:
        put(0)
    text = "".join(f"{piece:x}" for piece in pieces)
    words = [text[i : i + 8].ljust(8, "0") for i in range(0, len(text), 8)]
    height, width = raster.shape
    return struct.pack(f"<II{len(words)}I", width, height, *(int(word, 16) for word in words))


def cloud_message(header, points, big=False, doubles=False):
    """A PointCloud2 with an intensity between, whose rows are padded."""
    number = (">" if big else "<") + ("f8" if doubles else "f4")
    size = np.dtype(number).itemsize
    layout = np.dtype([("x", number), ("intensity", "<f4"), ("y", number), ("z", number)])
    table = np.zeros(len(points), layout)
    for axis, column in zip("xyz", points.T, strict=True):
        table[axis] = column
    field = STORE.types["sensor_msgs/msg/PointField"]
    kind = 8 if doubles else 7
    fields = [
        field("x", 0, kind, 1),
        field("intensity", size, 7, 1),
        field("y", size + 4, kind, 1),
        field("z", 2 * size + 4, kind, 1),
    ]
    row = table.nbytes + 8
    data = np.concatenate([table.view(np.uint8), np.zeros(8, np.uint8)])
    return STORE.types["sensor_msgs/msg/PointCloud2"](
        header, 1, len(table), fields, big, layout.itemsize, row, data, False
    )


def tf_message(stamp_ns, steps):
    """A TFMessage of (parent, child, parent from child)."""
    types = STORE.types
    made = []
    for parent, child, matrix in steps:
        x, y, z = matrix[:3, 3]
        w = np.sqrt(max(1 + np.trace(matrix[:3, :3]), 1e-12)) / 2
        m = matrix[:3, :3]
        q = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]]) / (4 * w)
        move = types["geometry_msgs/msg/Vector3"](x, y, z)
        rotation = types["geometry_msgs/msg/Quaternion"](*q, w)
        transform = types["geometry_msgs/msg/Transform"](move, rotation)
        header = header_message(stamp_ns, parent)
        made.append(types["geometry_msgs/msg/TransformStamped"](header, child, transform))
    return types["tf2_msgs/msg/TFMessage"](made)


def lidar_points(stamp_ns):
    """(N, 3) of a sweep, in the lidar's frame."""
    yaw, pitch = np.meshgrid(np.linspace(-0.7, 0.9, 240), np.linspace(-0.5, 0.4, 32))
    rays = np.stack([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)], -1)
    return wall_points(rays.reshape(-1, 3), odom_from_base(stamp_ns) @ BASE_FROM_LIDAR)


def messages(sensor, images=6, still=False, without=(), camera=CAMERA):
    """(recorded [ns], topic, message) of a drive; sensor: "lidar", "unregistered", or the encoding
    of a registered depth image. without: topics that are not recorded."""
    yield (
        START_NS - NS,
        "/tf_static",
        tf_message(
            0,
            [
                ("base_link", "eye", BASE_FROM_CAMERA),
                ("base_link", "lidar", BASE_FROM_LIDAR),
                ("base_link", "depth_eye", BASE_FROM_DEPTH),
            ],
        ),
    )
    for step in range(-10, 10 * images + 10):
        stamp_ns = START_NS + step * NS // 20
        yield (
            stamp_ns,
            "/tf",
            tf_message(stamp_ns, [("odom", "base_link", odom_from_base(stamp_ns))]),
        )
    for i in range(images):
        stamp_ns = START_NS + i * NS // 2
        header = header_message(stamp_ns, "eye")
        yield stamp_ns + 5, "/eye/camera_info", info_message(header, camera)
        image = np.random.default_rng(0 if still else i).integers(0, 255, (12, 16, 3), np.uint8)
        whole = np.repeat(np.repeat(image, 10, 0), 10, 1)
        yield stamp_ns + 9, "/eye/image_raw", image_message(header, whole)
        later = stamp_ns + LATE_NS
        if sensor == "lidar":
            cloud = cloud_message(
                header_message(later, "lidar"), lidar_points(later), i == 1, i == 2
            )
            yield later, "/lidar/points", cloud
        elif sensor == "unregistered":
            seen = depth_values(DEPTH_CAMERA, odom_from_base(later) @ BASE_FROM_DEPTH)
            header = header_message(later, "/depth_eye")
            yield later, "/depth/camera_info", info_message(header, DEPTH_CAMERA)
            yield later + 1, "/depth/image_rect_raw", depth_message(header, seen, "32FC1")
        else:
            seen = depth_values(camera, odom_from_base(stamp_ns) @ BASE_FROM_CAMERA)
            topic = "/aligned/image_raw" + ("/compressedDepth" if ";" in sensor else "")
            yield later, topic, depth_message(header, seen, sensor)


def write_robot(path, sensor, without=(), storage=StoragePlugin.MCAP, more=(), **how):
    """A recording of messages(); returns its path."""
    with Writer(path, version=8, storage_plugin=storage) as writer:
        connections = {}
        for time_ns, topic, message in sorted(
            [m for m in messages(sensor, **how) if m[1] not in without] + list(more),
            key=lambda m: m[0],
        ):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], time_ns, STORE.serialize_cdr(message, kind))
    return path
