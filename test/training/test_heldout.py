# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The held-out measure: its constant, its questions, and a perfect answerer."""

import numpy as np
import pytest

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import AskingPredictor
from training.heldout import best_constant, measured, questions
from training.synthetic import shot

ROW = Checkpoint(
    "t", "", "qwen3_vl", 200.0, "coordinates", "coordinates", {"coordinates": "tags"}
)


def test_the_best_constant_covers_the_most_labels():
    metres, share = best_constant(np.array([1.0, 2.0, 2.2, 2.4, 9.0]))
    assert share == pytest.approx(0.6) and 2.4 / 1.25 < metres < 2.0 * 1.25


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
