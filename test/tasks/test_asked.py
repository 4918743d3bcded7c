# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Every task can be put to a real engine, in every style that suits it."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from depthlm_ros.answer import parse
from depthlm_ros.predict import AskingPredictor, load_predictor
from depthlm_ros.tasks import TASKS
from depthlm_ros.tasks.evaluation import asked, evaluate_task


@pytest.fixture(scope="module")
def tiny():
    return load_predictor("tiny", longest=8, warm_up=False)


@pytest.fixture(scope="module")
def whole():
    """Long enough for an answer in the model's own words."""
    return load_predictor("tiny", warm_up=False)


@pytest.mark.parametrize("task", TASKS)
def test_an_engine_takes_every_task_in_every_style(tiny, records, pairs, task):
    """The embedded model was taught distances only, so what it says of others is not looked at."""
    record = (pairs if TASKS[task].pair else records)[0]
    for style in tiny.checkpoint.wording:
        if (task, style) != ("points", "position"):
            item = TASKS[task].item(record, tiny.checkpoint, np.random.default_rng(0), style)
            assert TASKS[task].judge(asked(tiny, item), item.truth)["answered"] in (0, 1)


@pytest.mark.parametrize("task", ["axis", "points"])
def test_a_task_is_asked_in_words_where_pixels_are_read_from_the_map(tiny, records, task):
    assert tiny.checkpoint.style == "dense"
    found = evaluate_task(TASKS[task], list(records)[:1], tiny)
    assert (found.style, found.questions) == ("marker", 1)


@pytest.mark.parametrize("style", ["marker", "coordinates", "position"])
def test_the_distance_task_asks_what_the_predictor_asks(whole, records, style):
    record = records[0]
    item = TASKS["distance"].item(record, whole.checkpoint, np.random.default_rng(0), style)
    (row,) = np.flatnonzero(np.isclose(record.label_as("distance"), item.truth))
    greedy = AskingPredictor(whole.engine, replace(whole.checkpoint, report="greedy"))
    expected = greedy.ranges(record.frame(), record.pixels[[row]], style=style).distance_m[0]
    assert expected > 0
    assert parse(asked(whole, item)).metres == expected
