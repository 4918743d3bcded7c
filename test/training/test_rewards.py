# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rewards agree with the measures of evaluation, and reward the form that is taught."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthlm_ros.answer import FORMS, FREE
from depthlm_ros.evaluation.metrics import measure
from training.rl.rewards import OF_NUMBER, reward_functions

METRES = st.floats(0.05, 90).map(lambda value: round(value, 2))
TAGS, SENTENCE = FORMS["tags"].template, FORMS["sentence"].template


def rewards(name, texts, truths, template=TAGS, task="distance"):
    count = len(texts)
    chats = [[{"role": "assistant", "content": text}] for text in texts]
    (reward,) = reward_functions([name])
    columns = {"task": [task] * count, "truth": truths, "template": [template] * count}
    return reward(completions=chats, **columns)


@given(pairs=st.lists(st.tuples(METRES, METRES), min_size=1, max_size=8))
def test_mean_rewards_are_the_measures(pairs):
    answers, truth = map(list, zip(*pairs, strict=True))
    texts = [FORMS["tags"].render(value) for value in answers]
    found = measure(answers, truth, np.ones(len(answers), bool))
    assert np.mean(rewards("delta1", texts, truth)) == pytest.approx(found.delta1)
    assert -np.mean(rewards("abs_rel", texts, truth)) == pytest.approx(found.abs_rel)
    assert np.sqrt(-np.mean(rewards("l2", texts, truth))) == pytest.approx(found.rmse_m)
    errors = np.abs(np.subtract(answers, truth))
    np.testing.assert_allclose(rewards("l1", texts, truth), -errors)


def test_a_reply_without_a_number_is_no_better_than_zero_metres():
    found = {name: rewards(name, ["far away"], [3.0])[0] for name in (*OF_NUMBER, "format")}
    assert found == {"delta1": 0, "abs_rel": -1, "l1": -3, "l2": -9, "format": 0}


def test_a_quotient_is_rewarded_by_its_result():
    reply = "The point is around 6.00 meters away. Hence, we need around 6.00 / 2.0 = 3.00s"
    assert rewards("l1", [reply], [3.0], FREE.template, "time") == [0]


@pytest.mark.parametrize(
    ("text", "template", "expected"),
    [
        (FORMS["tags"].render(2.5), TAGS, 1),
        ("<think> well </think> <answer> far </answer>", TAGS, 1),
        ("<answer> 2.50 </answer>", TAGS, 0),
        ("so <think> a </think> <answer> 2.50 </answer>", TAGS, 0),
        (FORMS["sentence"].render(2.5), SENTENCE, 1),
        (" " + FORMS["sentence"].render(12), SENTENCE, 1),
        (FORMS["sentence"].render(2.5) + " Or so.", SENTENCE, 0),
        ("The point is around far meters away from the camera.", SENTENCE, 0),
    ],
)
def test_the_form_that_is_taught_is_rewarded(text, template, expected):
    assert rewards("format", [text], [2.5], template) == [expected]


def test_functions_carry_the_names_under_which_they_are_logged():
    names = ["format", *OF_NUMBER]
    assert [f.__name__ for f in reward_functions(names)] == names
