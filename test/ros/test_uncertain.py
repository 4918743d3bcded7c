# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The node on answers that are uncertain, and its parameter average, over DDS."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, PointCloud2, RegionOfInterest
from visualization_msgs.msg import MarkerArray

from depthlm_ros.calibration import Calibration
from depthlm_ros.checkpoints import from_folder
from depthlm_ros.msgs.fields import cloud_points
from depthlm_ros.ranges import Status
from depthlm_ros.ros.node import DepthLMNode
from depthlm_ros.ros.serve.queries import interfaces

WIDE = Calibration(0.0, unknown_ratio=1.2)  # the fake's intervals are from 0.9 to 1.1 of 2 m


@pytest.fixture
def start(context, make_robot, checkpoint, tmp_path):
    """start(average) -> a Robot beside a node whose plain answers are uncertain."""
    folder, nodes = tmp_path / "wide", []
    shutil.copytree(checkpoint, folder)
    fits = {style: WIDE for style in ("marker", "coordinates")}
    replace(from_folder(folder), calibration=fits).write(folder)

    def made(average):
        given = {"checkpoint": str(folder), "engine": "scripted", "average": average}
        given |= {"grid.rate": 10.0, "grid.columns": 8, "grid.rows": 6}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        nodes.append(DepthLMNode(context=context, parameter_overrides=overrides))
        robot = make_robot()
        robot.executor.add_node(nodes[-1])
        return robot

    yield made
    closed = [node.close() for node in nodes]
    assert all(closed)


def test_uncertain_answers_stand_there_with_a_flag_beside_their_status(start):
    robot, last = start(""), {}
    streams = {"points": PointCloud2, "overlay": Image, "markers": MarkerArray}
    for topic, kind in streams.items():
        robot.node.create_subscription(
            kind, f"/depthlm/{topic}", lambda m, topic=topic: last.update({topic: m}), 1
        )
    robot.show()
    answers = robot.ask([160.0, 1.0, 400.0], [120.0, 1.0, 3.0]).answers
    assert list(answers.status) == [Status.OK, Status.SNAPPED, Status.OUTSIDE]
    assert list(answers.uncertain) == [True, True, False]
    assert list(answers.distance)[:2] == [2.0, 2.0]
    srv, _ = interfaces()
    regions = robot.node.create_client(srv.QueryRegions, "/depthlm/query_regions")
    boxes = [RegionOfInterest(x_offset=100, y_offset=100, width=40, height=40)]
    response = robot.call(regions, srv.QueryRegions.Request(regions=boxes))
    assert list(response.answers.uncertain) == [True]
    robot.wait(lambda: set(last) == set(streams))
    assert np.isfinite(cloud_points(last["points"])[0]).all()  # points.max_stddev drops them
    assert {m.text for m in last["markers"].markers if m.text} == {"2.00 m ?"}
    # One collar at least a cell; an answered question has an overlay of its own.
    robot.wait(lambda: grey_pixels(last["overlay"]) > 48)


def grey_pixels(overlay):
    return (np.frombuffer(overlay.data, np.uint8).reshape(-1, 3) == 150).all(axis=1).sum()


@pytest.mark.parametrize(("average", "uncertain"), [("mirror", False), ("none", True)])
def test_the_parameter_average_asks_another_way_with_a_calibration_of_its_own(
    start, average, uncertain
):
    robot = start(average)
    robot.show()
    answers = robot.ask().answers
    assert list(answers.distance) == [2.0] and list(answers.uncertain) == [uncertain]
