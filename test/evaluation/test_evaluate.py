# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records x answerer -> points -> report: a perfect engine, a mute one, and the constant."""

import json
from dataclasses import asdict
from math import nan

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.data.records import Records
from depthlm_ros.engines import Reply
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import RecordError
from depthlm_ros.evaluation.evaluate import ConstantAnswers, PredictorAnswers, evaluate
from depthlm_ros.evaluation.report import report_on
from depthlm_ros.predict import AskingPredictor

PIXELS = [[0, 0], [63, 0], [32, 24], [10, 40]]  # two corners, where distance and z differ most


def predictor(answer, kind="distance", style="coordinates", engine=None, report="greedy"):
    wording = {"coordinates": "tags", "marker": "tags"}
    entry = Checkpoint(
        "test", "test", "none", 100.0, style, style, wording, kind=kind, report=report
    )
    return AskingPredictor(engine or ScriptedEngine(answer), entry)


def reported(records, answerer, dataset=""):
    """The report on records."""
    return report_on(evaluate(records, answerer), answerer, 1.5, dataset)


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
        return Records(tmp_path / "r.jsonl")

    return write


def wall_distance(view, pixel):
    """A perfect model of kind "distance"."""
    return view.camera.distance_from_z([pixel], [2.0])[0]


def test_a_perfect_model_is_right_although_it_speaks_distance_and_labels_are_z(records):
    report = reported(records("z"), PredictorAnswers(predictor(wall_distance)))
    assert report.right.pooled.delta1 == 1.0
    assert report.right.pooled.abs_rel < 0.01  # a view pixel is 0.4 frame pixels
    assert report.published.pooled.delta1 == 0.5  # the corners: 1.41 times as long


def test_as_published_the_number_is_compared_as_it_comes(records):
    report = reported(records("z"), PredictorAnswers(predictor(lambda view, pixel: 2.0)))
    assert report.published.pooled.delta1 == 1.0
    assert report.published.pooled.abs_rel == 0.0
    assert report.right.pooled.delta1 == 0.5


def test_a_model_of_the_labels_kind_scores_the_same_both_ways(records):
    same = predictor(lambda view, pixel: 2.0, kind="z")
    report = reported(records("z"), PredictorAnswers(same))
    assert asdict(report.right.pooled) == pytest.approx(asdict(report.published.pooled))
    assert report.right.pooled.delta1 == 1.0
    assert report.answer_kind == report.label_kind == "z"


def test_a_reply_without_a_number_counts_as_wrong(records):
    def half_mute(view, pixel):
        return nan if pixel[0] >= view.camera.width / 2 else wall_distance(view, pixel)

    pooled = reported(records("z"), PredictorAnswers(predictor(half_mute))).right.pooled
    assert (pooled.points, pooled.answered) == (4, 2)
    assert (pooled.delta1, pooled.delta1_answered) == (0.5, 1.0)


def test_a_pixel_that_was_snapped_counts_and_is_left_out_of_the_askable(records):
    answerer = PredictorAnswers(predictor(lambda view, pixel: 2.0), style="marker")
    pooled = reported(records("distance"), answerer).right.pooled
    assert (pooled.points, pooled.answered, pooled.askable) == (4, 4, 2)
    assert pooled.delta1 == 1.0


def test_answers_keep_the_order_of_the_points(records):
    by_column = predictor(lambda view, pixel: 1.0 + pixel[0])
    (record,) = records("distance")
    answers = PredictorAnswers(by_column)(record).answer_m
    assert np.argsort(answers).tolist() == [0, 3, 2, 1]


def test_a_model_needs_the_kind_of_the_labels(records):
    with pytest.raises(RecordError):
        evaluate(records("z", ""), PredictorAnswers(predictor(wall_distance)))


def test_a_constant_needs_no_kind_and_says_so(records):
    report = reported(records("", "z"), ConstantAnswers(2.4))
    assert report.label_kind == "not stated and z"
    assert report.right.pooled.delta1 == 1.0
    assert report.right.pooled.abs_rel == pytest.approx(0.2)
    assert reported(records(""), ConstantAnswers(2.5)).right.pooled.delta1 == 0.0


def test_progress_is_told_after_each_image(records):
    calls = []
    evaluate(records("z", "z", "z"), ConstantAnswers(2.0), calls.append)
    assert calls == [1, 2, 3]


def test_no_records_give_an_empty_report():
    report = reported(iter(()), ConstantAnswers(2.0))
    assert (report.images, report.right.pooled.points) == (0, 0)
    assert json.loads(report.to_json())["right"]["pooled"]["delta1"] is None


def test_labels_of_z_are_compared_with_intervals_of_z(records):
    points = evaluate(records("z"), PredictorAnswers(predictor(wall_distance)))
    np.testing.assert_allclose(points.lower_m, 0.9 * points.answer_m)
    np.testing.assert_allclose(points.upper_m, 1.1 * points.answer_m)
    assert points.stretch.round(2).tolist() == [1.4, 1.4, 1.0, 1.21]


def test_points_know_their_image_and_its_focal_length(records):
    points = evaluate(records("z", "z"), ConstantAnswers(2.0))
    assert points.image.tolist() == [0] * 4 + [1] * 4
    assert points.focal_px.tolist() == [40.0] * 8


def test_the_digits_and_the_median_are_both_reported_and_the_entrys_choice_is_marked(records):
    engine = ScriptedEngine()
    engine.step = lambda b: [Reply(4.0, "4.00", median=2.0, lower=1.0, upper=3.0) for _ in b]
    answerer = PredictorAnswers(predictor(None, engine=engine, report="median"))
    report = reported(records("distance"), answerer)
    assert report.right.pooled.delta1 == report.readings["median"].right.pooled.delta1 == 1.0
    assert report.readings["greedy"].right.pooled.delta1 == 0.0
    marked = [line.split(",")[0] for line in report.table().splitlines() if ", pooled" in line]
    assert marked == ["greedy", "median*"]


def test_a_model_whose_distribution_is_not_read_has_no_median(records):
    engine = ScriptedEngine()
    engine.step = lambda batch: [Reply(2.0, "2.00") for _ in batch]
    report = reported(records("distance"), PredictorAnswers(predictor(None, engine=engine)))
    assert list(report.readings) == ["greedy"] and report.uncertainty is None


def test_failures_are_counted_by_their_kind(records):
    mute = PredictorAnswers(predictor(lambda view, pixel: nan), style="marker")
    report = reported(records("distance"), mute)
    assert report.failures == {"NO_NUMBER": 4}


def test_bins_are_of_the_true_distance(records):
    (only,) = reported(records("z"), ConstantAnswers(2.1)).bins
    assert (only.group, only.measures.points, only.measures.delta1) == ("1 to 2 m", 4, 1.0)


def test_intervals_of_delta1_are_over_images(records):
    """Ten images, every other one wrong: not one of twenty points, but one of ten draws."""
    turns = iter([2.0] * 2 + [9.0] * 2 for _ in range(5))
    replies = iter(value for turn in turns for value in turn)
    answerer = PredictorAnswers(predictor(lambda view, pixel: next(replies)))
    pixels = [[10, 10], [20, 20]]
    report = reported(records(*["distance"] * 10, pixels=pixels), answerer)
    assert report.right.pooled.delta1 == 0.5
    assert report.right.interval == report.right.by_image_interval == (0.2, 0.8)


def test_published_figures_stand_beside_ours_and_are_marked(records):
    report = reported(records("z"), ConstantAnswers(2.0), "ibims1")
    rows = {(row["model"], row["delta1"]) for row in report.elsewhere}
    assert {("DepthLM 7B", 0.92), ("VLM3 4B", 0.96), ("DepthVLM 8B", 0.936)} <= rows
    assert "DepthVLM 8B" in report.table()
    assert not reported(records("z"), ConstantAnswers(2.0)).elsewhere


def test_table_and_json_hold_the_same_figures(records):
    report = reported(records("z"), PredictorAnswers(predictor(wall_distance)))
    content = json.loads(report.to_json())
    assert content["published"]["pooled"]["delta1"] == 0.5
    assert content["best_constant_delta1"] == 1.0
    assert content["uncertainty"]["coverage"][0]["inside"] == 1.0
    assert (content["label_kind"], content["answer_kind"]) == ("z", "distance")
    rows = {line.split("  ")[0]: line for line in report.table().splitlines()}
    scores = ("greedy*, against z, pooled", "greedy*, as published (distance), pooled")
    found = [rows[name].removeprefix(name).split()[0] for name in scores]
    assert found == ["1.0000", "0.5000"]
