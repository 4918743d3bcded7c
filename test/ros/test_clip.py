# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A robot's clip: every encoding and lens, while size, zoom and order of the messages change.

Played to the node and recorded for `depthlm bag` it gives the same points, stamp by stamp.
"""

from dataclasses import replace
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")
from PIL import Image as ImageFile
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from depthlm_ros.bags.messages import STORE, header_message, info_message
from depthlm_ros.bags.recording import Recording
from depthlm_ros.camera import Camera
from depthlm_ros.cli import main
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.msgs.encodings import ENCODINGS, PLANAR
from depthlm_ros.predict import PREDICTORS, AskingPredictor
from depthlm_ros.ros.node import DepthLMNode

PINHOLE = Camera(64, 48, 80.0, 80.0, 31.0, 23.0)
POLYNOMIAL = (0.4, -0.1, 0.001, -0.001, 0.02, 0.6, -0.05, 0.01)
CAMERAS = {
    "plumb_bob": replace(
        PINHOLE, distortion="plumb_bob", coefficients=(-0.2, 0.05, 1e-3, -1e-3, 0)
    ),
    "rational": replace(PINHOLE, distortion="rational_polynomial", coefficients=POLYNOMIAL),
    "fisheye": replace(PINHOLE, distortion="equidistant", coefficients=(0.05, -0.02, 4e-3, -1e-3)),
    "ideal fisheye": replace(PINHOLE, distortion="equidistant"),
    "fold": replace(
        PINHOLE, fx=40, fy=40, distortion="plumb_bob", coefficients=(-0.4, 0.05, 0, 0)
    ),
    "skewed": replace(PINHOLE, skew=3.0),
    "oblong": replace(PINHOLE, fy=110.0),
    "zoomed": replace(PINHOLE, fx=120.0, fy=120.0),
    "small": Camera(32, 24, 40.0, 40.0, 15.0, 11.0),
    "pinhole": PINHOLE,
}
COLUMNS, ROWS = 4, 3
TOPIC, INFO = "/cam/image_raw", "/cam/camera_info"
NS = 10**9


class Shot(NamedTuple):
    """An image with the camera_info that was sent with it, or none, before or after the image."""

    name: str
    image: Any
    info: Any
    info_is_late: bool


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def raw_image(header, encoding, width, height, big=False, padding=0):
    """A sensor_msgs/Image of noise that looks the same in no two encodings."""
    size, channels, name = ENCODINGS[encoding]
    rows, step = height * 3 // 2 if name in PLANAR else height, width * channels * size + padding
    data = noise(header.stamp.sec, rows * step)
    fields = {"height": height, "width": width, "encoding": encoding, "is_bigendian": int(big)}
    return STORE.types["sensor_msgs/msg/Image"](header=header, **fields, step=step, data=data)


def compressed_image(header, form, content, container):
    file = BytesIO()
    ImageFile.fromarray(content).save(file, container)
    data = np.frombuffer(file.getvalue(), np.uint8)
    return STORE.types["sensor_msgs/msg/CompressedImage"](header=header, format=form, data=data)


def raw_clip():
    """Each encoding, with the next camera each time; then padded rows, foreign byte orders and an
    image without a camera_info of its own."""
    cameras = list(CAMERAS.values())
    forms = [(encoding, {}) for encoding in ENCODINGS]
    forms += [(e, {"big": True}) for e in ("mono16", "rgb16", "bayer_grbg16")]
    forms += [(e, {"padding": 10}) for e in ("rgb8", "mono16", "nv12", "yuyv")]
    for second, (encoding, options) in enumerate(forms, 1):
        header, camera = header_message(second * NS, "eye"), cameras[second % len(cameras)]
        image = raw_image(header, encoding, camera.width, camera.height, **options)
        yield Shot(encoding, image, info_message(header, camera), second % 3 > 0)
    header = header_message(1000 * NS, "eye")
    yield Shot("alone", raw_image(header, "rgb8", camera.width, camera.height), None, False)
    header = header_message(1001 * NS, "eye")
    whole = info_message(header, replace(PINHOLE, width=200, height=160, cx=99.0, cy=79.0))
    whole.binning_x = whole.binning_y = 2
    whole.roi.x_offset, whole.roi.y_offset, whole.roi.width, whole.roi.height = 40, 20, 128, 96
    yield Shot("region", raw_image(header, "bgr8", 64, 48), whole, True)


def compressed_clip():
    """What image_transport and drivers write into format, and what it means."""
    cameras = list(CAMERAS.values())
    forms = [
        ("jpeg", "JPEG", 3, np.uint8),
        ("rgb8; jpeg compressed bgr8", "JPEG", 3, np.uint8),
        ("bgr8; png compressed bgr8", "PNG", 3, np.uint8),
        ("mono8; jpeg compressed ", "JPEG", 1, np.uint8),
        ("mono16; png compressed ", "PNG", 1, np.uint16),
        ("bayer_rggb8; jpeg compressed ", "JPEG", 1, np.uint8),
        ("bayer_gbrg8; png compressed ", "PNG", 1, np.uint8),
        ("bgra8; png compressed bgra8", "PNG", 4, np.uint8),
        ("rgb8; tiff compressed", "TIFF", 3, np.uint8),
        ("webp", "WEBP", 3, np.uint8),
    ]
    for second, (form, container, channels, kind) in enumerate(forms, 1):
        header, camera = header_message(second * NS, "eye"), cameras[second % len(cameras)]
        shape = camera.height, camera.width, channels * np.dtype(kind).itemsize
        content = noise(second, *shape).view(kind)
        image = compressed_image(header, form, content.squeeze(), container)
        yield Shot(form, image, info_message(header, camera), second % 3 > 0)


def colour(view, pixel):
    """Metres that tell the colours of the view at the pixel."""
    u, v = (round(value) for value in pixel)
    red, green, blue = view.image[min(v, view.camera.height - 1), min(u, view.camera.width - 1)]
    return round(1 + red / 4 + green / 40 + blue / 400, 2)


@pytest.fixture(autouse=True)
def scripted(monkeypatch):
    """Node and command line ask an engine that looks at the image."""
    engine = ScriptedEngine(colour)
    monkeypatch.setitem(PREDICTORS, "scripted", lambda entry, **_: AskingPredictor(engine, entry))


@pytest.fixture
def recorded(tmp_path, checkpoint):
    """recorded(shots) -> stamp [s] -> (N, 6) float32 of the clouds of depthlm bag."""

    def answered(shots):
        with Writer(tmp_path / "in", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
            kinds = {TOPIC: shots[0].image.__msgtype__, INFO: "sensor_msgs/msg/CameraInfo"}
            to = {t: writer.add_connection(t, k, typestore=STORE) for t, k in kinds.items()}
            for shot in shots:
                time_ns = shot.image.header.stamp.sec * NS
                messages = [(TOPIC, shot.image, time_ns)]
                if shot.info is not None:
                    at = time_ns + (5_000_000 if shot.info_is_late else -5_000_000)
                    messages.append((INFO, shot.info, at))
                for topic, message, at in sorted(messages, key=lambda m: m[2]):
                    raw = STORE.serialize_cdr(message, message.__msgtype__)
                    writer.write(to[topic], at, raw)
        out = tmp_path / "out.mcap"
        options = ["--grid", f"{COLUMNS}x{ROWS}", "--engine", "scripted"]
        options += ["--checkpoint", str(checkpoint)]
        assert main(["bag", str(tmp_path / "in"), str(out), *options]) == 0
        with Recording(tmp_path / "in", TOPIC):  # it can be read again
            pass
        return clouds_of(out)

    return answered


def clouds_of(path):
    from rosbags.highlevel import AnyReader

    found = {}
    with AnyReader([path]) as reader:
        for connection, _, raw in reader.messages():
            if connection.topic == "/depthlm/points":
                cloud = reader.deserialize(raw, connection.msgtype)
                found[cloud.header.stamp.sec] = values(cloud)
    return found


def values(cloud):
    return np.frombuffer(bytes(cloud.data), np.float32).reshape(ROWS * COLUMNS, 6)


def played(context, robot, checkpoint, shots, expected):
    """The shots whose clouds the node has published as expected, one after the other."""
    is_compressed = "Compressed" in shots[0].image.__msgtype__
    parameters = {
        "engine": "scripted",
        "checkpoint": str(checkpoint),
        "input.compressed": is_compressed,
        "grid.columns": COLUMNS,
        "grid.rows": ROWS,
        "grid.rate": 30.0,
    }
    overrides = [Parameter(n, value=v) for n, v in parameters.items()]
    node = DepthLMNode(context=context, parameter_overrides=overrides)
    robot.executor.add_node(node)
    clouds = []
    robot.node.create_subscription(PointCloud2, "/depthlm/points", clouds.append, 5)
    kind = CompressedImage if is_compressed else Image
    name = "image/compressed" if is_compressed else "image"
    images = robot.node.create_publisher(kind, name, 5)
    try:
        robot.wait(
            lambda: images.get_subscription_count() and robot.infos.get_subscription_count()
        )
        for shot in shots:
            stamp = shot.image.header.stamp.sec
            send = [(images, shot.image, kind)]
            if shot.info is not None:
                send.insert(
                    0 if not shot.info_is_late else 1, (robot.infos, shot.info, CameraInfo)
                )
            for publisher, message, ros_kind in send:
                raw = bytes(STORE.serialize_cdr(message, message.__msgtype__))
                publisher.publish(deserialize_message(raw, ros_kind))

            def is_told(stamp=stamp):
                readings = [values(c) for c in clouds if c.header.stamp.sec == stamp]
                return readings and np.array_equal(readings[-1], expected[stamp], equal_nan=True)

            try:
                robot.wait(is_told)
            except AssertionError:
                readings = [values(c) for c in clouds if c.header.stamp.sec == stamp]
                raise AssertionError(
                    f"{shot.name}: {readings[-1:]} and not {expected[stamp]}"
                ) from None
            clouds.clear()
    finally:
        assert node.close()


def check(shots, recorded, context, robot, checkpoint):
    expected = recorded(shots)
    assert list(expected) == [shot.image.header.stamp.sec for shot in shots]
    looks = {cloud.tobytes() for cloud in expected.values()}
    assert len(looks) == len(shots)  # no two alike: what comes again is the same for its own sake
    known = [np.isfinite(cloud[:, 4]).mean() for cloud in expected.values()]
    assert min(known) > 0.3 and np.median(known) == 1.0
    played(context, robot, checkpoint, shots, expected)


@pytest.mark.parametrize("clip", [raw_clip, compressed_clip], ids=["raw", "compressed"])
def test_a_few_images_of_a_clip_give_the_same_points_played_and_recorded(
    clip, recorded, context, make_robot, checkpoint
):
    shots = list(clip())
    check(
        [*shots[:: len(shots) // 6], *shots[-2:]][:9], recorded, context, make_robot(), checkpoint
    )


@pytest.mark.slow
@pytest.mark.parametrize("clip", [raw_clip, compressed_clip], ids=["raw", "compressed"])
def test_a_whole_clip_gives_the_same_points_played_and_recorded(
    clip, recorded, context, make_robot, checkpoint
):
    check(list(clip()), recorded, context, make_robot(), checkpoint)
