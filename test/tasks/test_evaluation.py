# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A task's report: from records through an engine to figures."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from depthlm_ros.dense.spec import HeadSpec, Tap
from depthlm_ros.engines import Reply
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.tasks import TASKS
from depthlm_ros.tasks.evaluation import evaluate_task, scores_of


class Parrot(ScriptedEngine):
    """An engine that says one text, and remembers what it was asked."""

    def __init__(self, text):
        super().__init__()
        self.text = text
        self.asked, self.scenes = [], []

    def open(self, images, style):
        self.asked.append((len(images), style.name))
        self.scenes.append(super().open(images, style))
        return self.scenes[-1]

    def step(self, batch):
        return [Reply(np.nan, self.text) for _ in batch]

    @property
    def open_scenes(self):
        return sum(scene.view is not None for scene in self.scenes)


def predictor(row, text):
    return AskingPredictor(Parrot(text), row)


def test_every_record_is_asked_and_judged(records, row, points):
    given = predictor(row, "<answer> 3.00 </answer>")
    report = evaluate_task(TASKS["axis"], records, given, "coordinates", each=40)
    assert given.engine.asked == [(1, "coordinates")] * 80
    assert given.engine.open_scenes == 0
    right = np.maximum(3 / points[:, 2], points[:, 2] / 3) < 1.25
    assert report.questions == 80
    assert report.scores["answered"] == (1, 1, 1)
    assert report.scores["delta1"][0] == pytest.approx(right.mean(), abs=0.2)
    again = evaluate_task(TASKS["axis"], records, given, "coordinates", each=40)
    assert again.scores == report.scores


def test_records_that_cannot_carry_the_question_are_told(pairs, row):
    given = predictor(row, "around 1.0 meters")
    report = evaluate_task(TASKS["moved"], pairs, given)
    assert (report.questions, len(report.skipped), report.style) == (1, 1, "plain")
    assert given.engine.asked == [(2, "plain")]
    assert "p.jsonl:2" in report.table()
    assert json.loads(report.to_json())["scores"]["delta1"] == [1, None, None]


def test_a_model_that_says_its_sentence_for_maps_to_everything_is_told(records, row):
    spec = HeadSpec("mlp", (Tap("text", -1),), (8,), prompt="Map!", reply="Here is the map.")
    dense = replace(row, head=spec)
    report = evaluate_task(TASKS["axis"], records, predictor(dense, "Here is the map. "), each=2)
    assert (report.questions, report.map_replies, report.same_replies) == (4, 4, 4)
    assert "4 of 4" in report.table()
    assert json.loads(report.to_json())["map_replies"] == 4
    others = evaluate_task(TASKS["axis"], records, predictor(dense, "around 1.0 meters"), each=2)
    assert others.map_replies == 0 and "of 4 replies" not in others.table()


@pytest.mark.parametrize("each, told", [(4, False), (5, True)])
def test_one_reply_to_many_questions_is_told(records, row, each, told):
    report = evaluate_task(TASKS["axis"], records, predictor(row, "2.00"), each=each)
    assert (report.map_replies, report.same_replies) == (0, 2 * each)
    assert (f"all {2 * each} replies" in report.table()) is told


def test_failures_count_as_wrong_in_shares_and_are_left_out_of_errors():
    nan = float("nan")
    number = [
        {"answered": 1.0, "delta1": 1.0, "abs_rel": 0.1, "l1": 1.0, "l2": 9.0},
        {"answered": 0.0, "delta1": 0.0, "abs_rel": nan, "l1": nan, "l2": nan},
    ]
    means = {name: figures[0] for name, figures in scores_of(number, [0, 1]).items()}
    assert means == {"answered": 0.5, "delta1": 0.5, "abs_rel": 0.1, "l1": 1.0, "rmse": 3.0}
    angle = [{"answered": 1.0, "error_deg": 15.0}, {"answered": 0.0, "error_deg": nan}]
    found = scores_of(angle, [0, 0])
    assert (found["error_deg"][0], found["auc_30"][0]) == (15.0, 0.25)


def test_the_interval_is_over_records_and_not_over_questions():
    """Fifty questions of one record say no more than one."""
    sure = [{"delta1": float(i % 2)} for i in range(100)]
    _, low, high = scores_of(sure, list(range(100)))["delta1"]
    assert 0.35 < low < 0.45 and 0.55 < high < 0.65
    _, low, high = scores_of(sure, [i % 2 for i in range(100)])["delta1"]
    assert (low, high) == (0, 1)


def test_questions_of_one_record_count_as_one(records, row):
    """A task that is right about the first record only, however often it is asked."""
    axis = TASKS["axis"]
    task = SimpleNamespace(
        name="t",
        item=lambda record, *given: replace(axis.item(record, *given), truth=record.kind),
        judge=lambda reply, kind: {"delta1": float(kind == "z")},
    )
    report = evaluate_task(task, records, predictor(row, ""), "coordinates", each=20)
    assert report.scores["delta1"] == (0.5, 0, 1)


def test_nothing_asked_gives_no_figures():
    assert scores_of([], []) == {}
