# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The node with a checkpoint that has a dense head, over DDS: the embedded model, random head."""

import shutil

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("torch")
from rclpy.action import ActionClient
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, RegionOfInterest
from testing.tiny_models import add_head

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import TINY, from_folder
from depthlm_ros.dense.spec import HeadSpec, Tap
from depthlm_ros.msgs.fields import camera_from, cloud_points
from depthlm_ros.predict import load_predictor
from depthlm_ros.ranges import Status
from depthlm_ros.ros.convert import image_message
from depthlm_ros.ros.node import DepthLMNode
from depthlm_ros.ros.serve.queries import interfaces
from depthlm_ros.scan import grid_pixels
from depthlm_ros.view import Frame

SPEC = HeadSpec("light", (Tap("vision", 5), Tap("text", -1)), (8, 6, 4), uncertainty=True)
LENS = Camera(320, 240, 250.0, 250.0, 160.0, 120.0, "plumb_bob", (-0.2, 0.04, 0.001, 0.0, 0.0))
STRIDE = 4
NOISE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("dense") / "tiny"
    shutil.copytree(TINY, made)
    add_head(from_folder(made), SPEC)
    return str(made)


@pytest.fixture
def node(context, make_robot, folder):
    # Loaded first: a thread that loads gets the interpreter seldom beside a robot that spins.
    predictor = load_predictor(folder, device="cpu", style="dense", warm_up=False)
    yield from running(context, make_robot, predictor)


@pytest.fixture
def positioned(context, make_robot, folder):
    """(robot, z of its map at the stride's pixels) of a node whose checkpoint asks grids in
    position style."""
    predictor = load_predictor(folder, device="cpu", grid_style="position", warm_up=False)
    pixels = grid_pixels(LENS, 80, 60)
    expected = predictor.ranges(Frame(NOISE, LENS), pixels, style="dense").z_m
    for robot in running(context, make_robot, predictor):
        yield robot, expected


def running(context, make_robot, predictor):
    """Yields a robot whose node has this predictor, then closes the node."""
    given = {"grid.rate": 10.0, "grid.stride": STRIDE}
    made = DepthLMNode(
        lambda progress: predictor,
        context=context,
        parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
    )
    robot = make_robot()
    robot.executor.add_node(made)
    robot.parameters = made
    yield robot
    made.close()  # frees a model, for longer than a node waits where processors are busy


def noise(robot):
    return image_message(robot.header(), NOISE)


def heard(robot, kinds):
    """{topic: the last message} of streams of the node, all of one image."""
    last = {}
    for topic, kind in kinds.items():
        robot.node.create_subscription(
            kind,
            f"/depthlm/{topic}",
            lambda message, topic=topic: last.update({topic: message}),
            1,
        )
    image = noise(robot)
    robot.show(image, robot.info(LENS))
    robot.wait(
        lambda: set(last) == set(kinds) and all(m.header == image.header for m in last.values())
    )
    return last


STREAMS = {
    "points": PointCloud2,
    "depth/image": Image,
    "depth/stddev": Image,
    "depth/camera_info": CameraInfo,
}


def test_cloud_depth_and_deviation_have_the_size_of_the_stride(node):
    messages = heard(node, STREAMS)
    cloud, info = messages["points"], messages["depth/camera_info"]
    sizes = {(m.width, m.height) for m in messages.values()}
    assert sizes == {(80, 60)} and cloud.is_dense
    points, _ = cloud_points(cloud)
    z_m, stddev = (
        np.frombuffer(messages[f"depth/{name}"].data, np.float32).reshape(60, 80)
        for name in ("image", "stddev")
    )
    assert np.array_equal(points[..., 2], z_m) and z_m.std() > 0.01
    assert (stddev > 0).all() and stddev.std() > 0.0001
    camera = camera_from(info, 80, 60)
    v, u = np.mgrid[:60, :80]
    off = camera.pixels(points.reshape(-1, 3)) - np.stack([u.ravel(), v.ravel()], axis=1)
    assert np.abs(off).max() < 0.51 / STRIDE + 1e-3  # cells are asked at whole pixels


def test_a_stride_is_read_from_the_map_where_grids_are_asked_otherwise(positioned):
    """4,800 questions in position style would not come to an end here."""
    robot, expected = positioned
    found = heard(robot, {"depth/image": Image})["depth/image"]
    z_m = np.frombuffer(found.data, np.float32).reshape(60, 80)
    assert np.allclose(z_m.ravel(), expected, rtol=1e-4)


def test_every_pixel_at_stride_one_and_holes_where_points_are_doubted(node):
    settings = {"grid.stride": 1, "points.max_edge": 0.006, "points.max_stddev": 0.0}
    node.parameters.set_parameters([Parameter(n, value=v) for n, v in settings.items()])
    messages = heard(
        node, {"points": PointCloud2, "depth/image": Image, "depth/camera_info": CameraInfo}
    )
    cloud, depth, info = (messages[n] for n in ("points", "depth/image", "depth/camera_info"))
    assert (cloud.width, cloud.height, depth.width, info.width) == (320, 240, 320, 320)
    assert camera_from(info, 320, 240) == LENS
    z_m = np.frombuffer(depth.data, np.float32).reshape(240, 320)
    points, _ = cloud_points(cloud)
    gone = np.isnan(points[..., 0])
    assert np.isfinite(z_m).all() and not cloud.is_dense
    assert 0 < gone.sum() < gone.size
    assert np.array_equal(points[..., 2][~gone], z_m[~gone])


def test_services_and_the_action_answer_as_the_streams_do(node):
    messages = heard(node, {"depth/image": Image})
    z_m = np.frombuffer(messages["depth/image"].data, np.float32).reshape(60, 80)
    u, v = [6.0, 162.0, 318.0], [6.0, 122.0, 238.0]  # middles of cells, to whole pixels
    answers = node.ask(u, v).answers
    assert list(answers.status) == [Status.OK] * 3
    assert answers.z == pytest.approx(z_m[[1, 30, 59], [1, 40, 79]], rel=1e-4)
    srv, action = interfaces()
    regions = node.node.create_client(srv.QueryRegions, "/depthlm/query_regions")
    boxes = [RegionOfInterest(x_offset=100, y_offset=100, width=40, height=40)]
    response = node.call(regions, srv.QueryRegions.Request(regions=boxes, samples=9))
    assert response.success and response.answers.distance[0] > 0
    client = ActionClient(node.node, action.ScanGrid, "/depthlm/scan_grid")
    assert client.wait_for_server(10)
    sent = client.send_goal_async(action.ScanGrid.Goal())  # the grid that is published
    node.wait(sent.done)
    result = sent.result().get_result_async()
    node.wait(result.done)
    found = result.result().result
    assert found.success and (found.cloud.width, found.cloud.height) == (80, 60)
    assert np.allclose(np.array(found.answers.z).reshape(60, 80), z_m, rtol=1e-4)
    client.destroy()
