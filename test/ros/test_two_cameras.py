# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The robot of config/two_cameras.yaml, as processes: one camera rectified, one compressed."""

from io import BytesIO
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
from PIL import Image as ImageFile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depthlm_ros.camera import Camera

FILE = Path(__file__).parents[2] / "config/two_cameras.yaml"
BENT = Camera(320, 240, 250.0, 250.0, 160.0, 120.0, "plumb_bob", (-0.2, 0.05, 0.0, 0.0, 0.0))


@pytest.fixture
def robot(make_robot, node_process):
    words = "--params-file", str(FILE), "-p", "grid.rate:=0", "-r", "__ns:=/pair"
    node_process(*words, module="depthlm_ros.ros.tools.bench_node")
    return make_robot("/pair", "/pair/depthlm")


def jpeg(header):
    content = BytesIO()
    ImageFile.new("RGB", (320, 240), (80, 80, 80)).save(content, "jpeg")
    return CompressedImage(header=header, format="jpeg", data=content.getvalue())


def test_each_camera_is_heard_and_its_intrinsics_are_read_as_it_says(robot):
    info = robot.info(BENT)  # K with a lens; P, of the rectified image, is narrower
    info.p[0] = info.p[5] = 500.0
    sent = {
        ("left", "image"): robot.new_image(),
        ("right", "image/compressed"): jpeg(robot.header()),
    }
    publishers = {
        (camera, topic): robot.node.create_publisher(kind, f"{camera}/{topic}", 1)
        for camera, topic, kind in (
            ("left", "image", Image),
            ("left", "camera_info", CameraInfo),
            ("right", "image/compressed", CompressedImage),
            ("right", "camera_info", CameraInfo),
        )
    }

    def answered(camera):
        for place, publisher in publishers.items():
            publisher.publish(sent.get(place, info))
        response = robot.ask([285.0], [120.0], camera=camera)
        return response if response.success else None

    slopes = {}
    for camera in ("left", "right"):
        answers = robot.wait(lambda camera=camera: answered(camera)).answers
        slopes[camera] = answers.x[0] / answers.z[0]
    ray = BENT.rays([(285, 120)])[0]
    assert slopes == pytest.approx({"left": (285 - 160) / 500, "right": ray[0] / ray[2]})
    assert slopes["right"] > 0.51  # it would be 0.5 without the lens
