# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""One distance for a box, whatever a few of its pixels say."""

from dataclasses import replace

import numpy as np
import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import InputError
from depthlm_ros.predict import AskingPredictor, Status
from depthlm_ros.regions import box_pixels, box_ranges
from depthlm_ros.view import Frame

CAMERA = Camera(320, 240, 250.0, 250.0, 160.0, 120.0)
FRAME = Frame(np.zeros((240, 320, 3), np.uint8), CAMERA)
ROW = Checkpoint("fake", "", "none", 250.0, "coordinates", "coordinates", {"coordinates": "tags"})


def asked(answer, boxes, samples=0):
    """BoxRanges of boxes where answer(u, v) metres are seen at view (here: frame) pixels."""
    predictor = AskingPredictor(ScriptedEngine(lambda view, pixel: answer(*pixel)), ROW)
    plan = box_pixels(CAMERA, boxes, samples)
    return box_ranges(CAMERA, plan, predictor.ranges(FRAME, plan.pixels))


def test_the_pixels_of_a_box_are_a_square_grid_over_its_middle_half():
    plan = box_pixels(CAMERA, [(100, 40, 120, 60)])
    assert plan.pixels.tolist() == [
        [u, v] for v in (59.5, 69.5, 79.5) for u in (139.5, 159.5, 179.5)
    ]
    assert plan.centres.tolist() == [[159.5, 69.5]] and plan.owners.tolist() == [0] * 9


@pytest.mark.parametrize("samples, count", [(0, 9), (1, 1), (2, 4), (10, 16), (400, 400)])
def test_samples_are_rounded_up_to_a_square(samples, count):
    assert len(box_pixels(CAMERA, [(0, 0, 50, 50)], samples).pixels) == count


def test_what_hangs_over_the_border_is_cut_off():
    plan = box_pixels(CAMERA, [(-40, 200, 80, 100)], 1)
    assert plan.pixels.tolist() == [[19.5, 219.5]]


def test_boxes_without_size_or_off_the_image_are_named_and_not_asked():
    boxes = [(10, 10, 0, 5), (400, 10, 20, 20), (np.nan, 1, 2, 3), (-30, 0, 30, 9), (0, 0, 1, 1)]
    plan = box_pixels(CAMERA, boxes, 1)
    expected = [Status.INVALID, Status.OUTSIDE, Status.INVALID, Status.OUTSIDE, Status.OK]
    assert plan.status.tolist() == expected
    assert plan.owners.tolist() == [4]


def test_outliers_do_not_move_the_distance_and_are_counted():
    def wall_with_a_hole(u, v):
        return 30.0 if v < 60 else 2.0 + (u - 159) / 1000  # a third of the pixels sees far

    found = asked(wall_with_a_hole, [(100, 40, 120, 60)])
    assert found.ranges.distance_m[0] == pytest.approx(2.0, abs=0.001)
    assert (found.answered[0], found.inliers[0]) == (9, 6)
    assert found.spread_m[0] == pytest.approx(1.4826 * 0.02, rel=0.1)
    assert found.ranges.lower_m[0] == pytest.approx(1.8, abs=0.001)


def test_the_point_lies_on_the_ray_through_the_middle_at_that_distance():
    found = asked(lambda u, v: 4.0, [(200, 100, 80, 40)])
    point = found.ranges.points[0]
    assert np.linalg.norm(point) == pytest.approx(4.0)
    assert CAMERA.pixels(point)[0] == pytest.approx((239.5, 119.5))
    assert found.ranges.z_m[0] == pytest.approx(point[2])
    assert found.spread_m[0] == 0.0


def test_two_surfaces_in_one_box_show_in_the_spread():
    found = asked(lambda u, v: 2.0 if u < 160 else 2.6, [(100, 40, 120, 60)], 16)
    assert found.spread_m[0] > 0.2


@pytest.mark.parametrize("silent, known", [(8, True), (9, False)])
def test_a_box_needs_an_answer_from_half_of_its_pixels(silent, known):
    replies = iter([np.nan] * silent + [3.0] * (16 - silent))
    found = asked(lambda u, v: next(replies), [(100, 40, 120, 60), (400, 0, 9, 9)], 16)
    assert found.answered.tolist() == [16 - silent, 0]
    assert np.isfinite(found.ranges.distance_m).tolist() == [known, False]
    first = Status.OK if known else Status.NO_NUMBER
    assert found.ranges.status.tolist() == [first, Status.OUTSIDE]


def test_no_boxes_and_too_many_samples():
    assert len(asked(lambda u, v: 1.0, []).ranges) == 0
    with pytest.raises(InputError, match=r"\b401\b"):
        box_pixels(CAMERA, [(0, 0, 1, 1)], 401)


@pytest.mark.parametrize("count, expected", [(4, False), (5, True)])
def test_a_box_is_uncertain_where_most_of_its_pixels_are(count, expected):
    plan = box_pixels(CAMERA, [(100, 40, 120, 60), (400, 10, 20, 20)])
    predictor = AskingPredictor(ScriptedEngine(2.0), ROW)
    ranges = predictor.ranges(FRAME, plan.pixels)
    found = box_ranges(CAMERA, plan, replace(ranges, uncertain=np.arange(9) < count))
    assert found.ranges.uncertain.tolist() == [expected, False]
