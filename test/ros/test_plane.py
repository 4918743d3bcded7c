# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The whole road inside one process with a perfect engine: points lie where they are."""

import re

import numpy as np
import pytest

pytest.importorskip("rclpy")
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, RegionOfInterest

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import Code
from depthlm_ros.msgs.fields import camera_from
from depthlm_ros.predict import AskingPredictor, Status
from depthlm_ros.ros.serve.queries import interfaces

# The plane of all points p with p . NORMAL = 1: a slope that every pixel of the camera sees.
NORMAL = np.array([0.1, 0.3, 0.5])
LENS = Camera(320, 240, 250.0, 255.0, 160.0, 120.0, "plumb_bob", (-0.2, 0.05, 0.001, -0.001, 0.0))


LENSES = {
    "plumb_bob": LENS,
    "rational_polynomial": Camera(
        320,
        240,
        250.0,
        255.0,
        160.0,
        120.0,
        "rational_polynomial",
        (0.4, -0.1, 0.001, -0.001, 0.02, 0.6, -0.05, 0.01),
    ),
    "equidistant": Camera(
        320, 240, 250.0, 255.0, 160.0, 120.0, "equidistant", (0.05, -0.02, 0.004, -0.001)
    ),
}


def to_the_plane(view, pixel):
    """Metres along the ray of a view pixel; the view has the frame's focal length."""
    return float(1 / (view.camera.rays([pixel])[0] @ NORMAL))


@pytest.fixture(params=["distance", "z"])
def node(request, start_node):
    kind = request.param
    wording = {"marker": "tags", "coordinates": "tags"}
    row = Checkpoint("perfect", "", "none", 250.0, "marker", "coordinates", wording, kind)

    def answer(view, pixel):
        metres = to_the_plane(view, pixel)
        return metres if kind == "distance" else metres * view.camera.rays([pixel])[0][2]

    return start_node(lambda progress: AskingPredictor(ScriptedEngine(answer), row))[1]


@pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES)
def test_points_seen_through_a_lens_lie_on_their_plane_and_project_back_onto_their_pixels(
    node, lens
):
    response = node.show(info=node.info(lens))
    assert response.success
    u, v = (axis.ravel().tolist() for axis in np.meshgrid([20, 90, 160, 300], [100, 160, 230]))
    answers = node.ask(u, v).answers
    points = np.stack([answers.x, answers.y, answers.z], axis=1)
    assert points @ NORMAL == pytest.approx(np.ones(12), rel=1e-5)
    assert answers.distance == pytest.approx(np.linalg.norm(points, axis=1), rel=1e-5)
    assert lens.pixels(points) == pytest.approx(np.stack([u, v], axis=1), abs=0.01)


def test_a_pattern_of_known_points_comes_back_from_a_cut_and_binned_fisheye(node):
    """Points are projected through the whole sensor; the image is a binned part of it."""
    sensor = Camera(
        800, 600, 300.0, 304.0, 410.0, 290.0, "equidistant", (0.05, -0.02, 0.004, -0.001)
    )
    rays = np.array([[x, y, 1.0] for x in (-0.5, 0.0, 0.5) for y in (-0.2, 0.0, 0.4)])
    points = rays / (rays @ NORMAL)[:, None]
    info = node.info(sensor)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 80, 40, 640, 480
    info.binning_x = info.binning_y = 2
    assert node.show(info=info).success  # 320 x 240
    pixels = (sensor.pixels(points) - (80, 40)) / 2
    answers = node.ask(*pixels.T.tolist()).answers
    values = np.stack([answers.x, answers.y, answers.z], axis=1)
    off = np.linalg.norm(values - points, axis=1) / np.linalg.norm(points, axis=1)
    assert off.max() < 0.005, off


def test_the_cloud_of_a_plane_lies_on_that_plane_in_the_order_of_the_image(node):
    clouds = []
    node.node.create_subscription(PointCloud2, "/depthlm/points", clouds.append, 1)
    node.show(info=node.info(LENS))
    cloud = node.wait(lambda: clouds and clouds[-1])
    points = np.frombuffer(cloud.data, np.float32).reshape(cloud.height, cloud.width, 6)[..., :3]
    assert (cloud.height, cloud.width) == (24, 32)
    flat = points.reshape(-1, 3).astype(np.float64)
    assert flat @ NORMAL == pytest.approx(np.ones(768), rel=1e-4)
    pixels = LENS.pixels(flat).reshape(24, 32, 2)
    assert (np.diff(pixels[..., 0], axis=1) > 5).all() and (
        np.diff(pixels[..., 1], axis=0) > 5
    ).all()


@pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES)
def test_the_depth_image_of_a_plane_with_its_camera_info_lies_on_that_plane(node, lens):
    depths, infos = [], []
    node.node.create_subscription(Image, "/depthlm/depth/image", depths.append, 1)
    node.node.create_subscription(CameraInfo, "/depthlm/depth/camera_info", infos.append, 1)
    node.show(info=node.info(lens))
    depth, info = node.wait(lambda: depths and infos and (depths[-1], infos[-1]))
    camera = camera_from(info, depth.width, depth.height)
    u, v = np.meshgrid(np.arange(depth.width), np.arange(depth.height))
    rays = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1))
    points = rays / rays[:, 2:] * np.frombuffer(depth.data, np.float32)[:, None]
    # 32 x 24 cells of ten pixels: each is seen where its pixel was asked, not in its middle.
    assert points @ NORMAL == pytest.approx(np.ones(768), rel=1e-4)


def test_a_box_on_the_plane_gives_a_point_near_that_plane(node):
    node.show(info=node.info(LENS))
    kind = interfaces()[0].QueryRegions
    client = node.node.create_client(kind, "/depthlm/query_regions")
    boxes = [(200, 100, 60, 40), (0, 0, 30, 30), (900, 0, 10, 10)]
    regions = [RegionOfInterest(x_offset=x, y_offset=y, width=w, height=h) for x, y, w, h in boxes]
    response = node.call(client, kind.Request(regions=regions, samples=25))
    assert response.success, response.message
    answers = response.answers
    assert list(answers.status) == [Status.OK, Status.OK, Status.OUTSIDE]
    points = np.stack([answers.x, answers.y, answers.z], axis=1)[:2]
    assert points @ NORMAL == pytest.approx(np.ones(2), rel=0.01)
    assert LENS.pixels(points)[0] == pytest.approx((229.5, 119.5), abs=0.01)
    assert list(response.answered) == [25, 25, 0]
    assert all(5 < count <= 25 for count in response.inliers[:2])
    assert 0 < response.spread[0] < 0.2 and np.isnan(response.spread[2])
    refused = node.call(client, kind.Request(regions=regions * 200, samples=400))
    assert refused.code == Code.BAD_REQUEST
    assert re.search(r"\b240000\b.*\b10000\b", refused.message)
