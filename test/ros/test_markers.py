# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Markers stand where the points are, and say what was answered."""

import numpy as np
import pytest

pytest.importorskip("visualization_msgs.msg", exc_type=ImportError)
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros.publish.markers import markers_message
from depthlm_ros.scan import grid_pixels
from depthlm_ros.view import Frame

CAMERA = Camera(320, 240, 250.0, 250.0, 160.0, 120.0)
FRAME = Frame(np.zeros((240, 320, 3), np.uint8), CAMERA)
ROW = Checkpoint("fake", "", "none", 250.0, "coordinates", "coordinates", {"coordinates": "tags"})
HEADER = Header(frame_id="eye")


def markers(pixels, answer=lambda view, pixel: 2.0):
    predictor = AskingPredictor(ScriptedEngine(answer), ROW)
    ranges = predictor.ranges(FRAME, pixels)
    return ranges, markers_message(HEADER, FRAME, ranges).markers


def test_each_answer_has_a_ball_a_ray_from_the_camera_and_a_number():
    ranges, (clean, balls, rays, *numbers) = markers([(160, 120), (285, 120)])
    assert clean.action == Marker.DELETEALL
    assert [m.type for m in (balls, rays)] == [Marker.SPHERE_LIST, Marker.LINE_LIST]
    shown = [(p.x, p.y, p.z) for p in balls.points]
    assert shown == pytest.approx(ranges.points)
    assert [(p.x, p.y, p.z) for p in rays.points[::2]] == [(0, 0, 0)] * 2
    assert [p.z for p in rays.points[1::2]] == pytest.approx(ranges.z_m)
    assert balls.scale.x == pytest.approx(0.04) and len(balls.colors) == 2
    assert [m.text for m in numbers] == ["2.00 m"] * 2
    assert [m.pose.position.x for m in numbers] == pytest.approx(ranges.points[:, 0])
    every = [clean, balls, rays, *numbers]
    assert {m.header.frame_id for m in every} == {"eye"}
    assert len({(m.ns, m.id) for m in every}) == len(every)


def test_unknown_pixels_have_no_marker_and_nothing_known_only_cleans():
    _, found = markers([(160, 120), (900, 1), (10, 10)])
    assert len(found[1].points) == 2
    _, found = markers([(160, 120)], lambda view, pixel: float("nan"))
    assert [m.action for m in found] == [Marker.DELETEALL]


def test_of_a_grid_some_points_are_shown():
    _, found = markers(grid_pixels(CAMERA, 32, 24))
    assert 10 <= len(found[1].points) <= 20
