# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records x predictor -> report, with a perfect engine, a mute one, and the constant."""

import json
from dataclasses import asdict
from math import nan

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import RecordError
from depthlm_ros.evaluate import ConstantAnswers, PredictorAnswers, evaluate
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.records import read_records

PIXELS = [[0, 0], [63, 0], [32, 24], [10, 40]]  # two corners, where distance and z differ most


def predictor(answer, kind="distance", style="coordinates"):
    wording = {"coordinates": "tags", "marker": "tags"}
    row = Checkpoint("test", "test", "none", 100.0, style, style, wording, kind=kind)
    return AskingPredictor(ScriptedEngine(answer), row)


@pytest.fixture
def records(tmp_path):
    """A function (kind, ...) -> records, one a kind, of a wall 2 m before the camera."""
    Image.new("RGB", (64, 48), (90, 90, 90)).save(tmp_path / "wall.png")

    def write(*kinds, pixels=PIXELS):
        lines = []
        for kind in kinds:
            line = {"image": "wall.png", "intrinsics": [40, 40, 31.5, 23.5, 64, 48]}
            line |= {"pixel_coords": pixels, "depth": [2.0] * len(pixels)}
            lines.append(json.dumps(line | ({"kind": kind} if kind else {})))
        (tmp_path / "r.jsonl").write_text("\n".join(lines))
        return read_records(tmp_path / "r.jsonl")

    return write


def wall_distance(view, pixel):
    """A perfect model of kind "distance"."""
    return view.camera.distance_from_z([pixel], [2.0])[0]


def test_a_perfect_model_is_right_although_it_speaks_distance_and_labels_are_z(records):
    report = evaluate(records("z"), PredictorAnswers(predictor(wall_distance)))
    assert report.right.pooled.delta1 == 1.0
    assert report.right.pooled.abs_rel < 0.01  # a view pixel is 0.4 frame pixels
    assert report.published.pooled.delta1 == 0.5  # the corners: 1.41 times as long


def test_as_published_the_number_is_compared_as_it_comes(records):
    report = evaluate(records("z"), PredictorAnswers(predictor(lambda view, pixel: 2.0)))
    assert report.published.pooled.delta1 == 1.0
    assert report.published.pooled.abs_rel == 0.0
    assert report.right.pooled.delta1 == 0.5


def test_a_model_of_the_labels_kind_scores_the_same_both_ways(records):
    same = predictor(lambda view, pixel: 2.0, kind="z")
    report = evaluate(records("z"), PredictorAnswers(same))
    assert asdict(report.right.pooled) == pytest.approx(asdict(report.published.pooled))
    assert report.right.pooled.delta1 == 1.0
    assert "as published" not in report.table()


def test_a_reply_without_a_number_counts_as_wrong(records):
    def half_mute(view, pixel):
        return nan if pixel[0] >= view.camera.width / 2 else wall_distance(view, pixel)

    pooled = evaluate(records("z"), PredictorAnswers(predictor(half_mute))).right.pooled
    assert (pooled.points, pooled.answered) == (4, 2)
    assert (pooled.delta1, pooled.delta1_answered) == (0.5, 1.0)


def test_a_pixel_that_was_snapped_counts_and_is_left_out_of_the_askable(records):
    answerer = PredictorAnswers(predictor(lambda view, pixel: 2.0), style="marker")
    pooled = evaluate(records("distance"), answerer).right.pooled
    assert (pooled.points, pooled.answered, pooled.askable) == (4, 4, 2)
    assert pooled.delta1 == 1.0


def test_answers_keep_the_order_of_the_points(records):
    by_column = predictor(lambda view, pixel: 1.0 + pixel[0])
    (record,) = records("distance")
    answers = PredictorAnswers(by_column)(record).right_m
    assert np.argsort(answers).tolist() == [0, 3, 2, 1]


def test_a_model_needs_the_kind_of_the_labels(records):
    with pytest.raises(RecordError, match="--kind"):
        evaluate(records("z", ""), PredictorAnswers(predictor(wall_distance)))


def test_a_constant_needs_no_kind_and_says_so(records):
    report = evaluate(records("", "z"), ConstantAnswers(2.4))
    assert report.label_kind == "not stated and z"
    assert report.right.pooled.delta1 == 1.0
    assert report.right.pooled.abs_rel == pytest.approx(0.2)
    assert evaluate(records(""), ConstantAnswers(2.5)).right.pooled.delta1 == 0.0


def test_progress_is_told_after_each_picture(records):
    told = []
    evaluate(records("z", "z", "z"), ConstantAnswers(2.0), told.append)
    assert told == [1, 2, 3]


def test_no_records_give_an_empty_report():
    report = evaluate(iter(()), ConstantAnswers(2.0))
    assert (report.pictures, report.right.pooled.points) == (0, 0)
    assert json.loads(report.to_json())["right"]["pooled"]["delta1"] is None


def test_table_and_json_hold_the_same_figures(records):
    report = evaluate(records("z"), PredictorAnswers(predictor(wall_distance)))
    content = json.loads(report.to_json())
    assert content["published"]["pooled"]["delta1"] == 0.5
    assert (content["label_kind"], content["answer_kind"]) == ("z", "distance")
    lines = report.table().splitlines()
    assert lines[0].startswith("test (coordinates): 4 points of 1 pictures")
    assert lines[4].split()[:5] == ["against", "z,", "pooled", "1.0000", "1.0000"]
    assert lines[6].startswith("as published (distance), pooled") and "0.5000" in lines[6]
