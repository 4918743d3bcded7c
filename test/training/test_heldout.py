# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The held-out measure: its questions, its records, and a perfect answerer."""

import numpy as np
import pytest

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.records import read_records
from training.heldout import main, measured, questions
from training.synthetic import shot

ROW = Checkpoint(
    "t", "", "qwen3_vl", 200.0, "coordinates", "coordinates", {"coordinates": "tags"}
)


def test_questions_know_the_true_distance_of_their_pixels():
    (frame, places, truth), *_ = questions(1, 5)
    one = shot(0, "heldout")
    assert np.array_equal(frame.image, one.frame.image)
    assert truth.tolist() == [pytest.approx(float(one.distance_m[v, u])) for u, v in places]


def test_a_perfect_answerer_beats_the_constant_and_a_constant_does_not():
    asked = list(questions(3, 6))
    truth = iter(np.concatenate([truth for _, _, truth in asked]))
    perfect = AskingPredictor(ScriptedEngine(lambda view, pixel: next(truth)), ROW)
    row = measured(perfect, "coordinates", asked)
    assert row["delta1"] == 1.0 and row["inside_90"] == 1.0 and row["points"] == 18
    constant = AskingPredictor(ScriptedEngine(row["best_constant_m"]), ROW)
    assert measured(constant, "coordinates", asked)["ratio"] == pytest.approx(1.0)


def test_scenes_as_records_are_the_scenes_themselves(tmp_path, capsys):
    main(["records", "--first", "3", "--count", "2", "--pixels", "4", "--out", str(tmp_path)])
    path = tmp_path / "heldout_3_2x4.jsonl"
    assert capsys.readouterr().out == f"wrote {path}\n"
    records = list(read_records(path))
    assert np.array_equal(records[0].frame().image, shot(3, "heldout").frame.image)
    for record, (frame, places, truth) in zip(records, questions(2, 4, first=3), strict=True):
        assert record.kind == "distance" and record.camera == frame.camera
        assert np.array_equal(record.frame().image, frame.image)
        assert np.array_equal(record.pixels, places) and np.array_equal(record.label_m, truth)
