# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Replies to metres, metres to training text."""

import math

import pytest

from depthlm_ros.answer import FORMS, parse

TAGS = (
    "<think> The point is around {0} meters away from the camera. </think>"
    "\n\n<answer> {0} </answer>"
)


@pytest.mark.parametrize(
    ("text", "metres"),
    [
        (TAGS.format("2.42"), 2.42),
        ("<think> 3.1 </think> <answer>2.42 m</answer>", 2.42),
        ("<think> The point is around 2.42 meters", 2.42),
        ("<answer> 2.42", 2.42),
        ("<answer></answer> roughly 3.5", 3.5),
        ("3 to 4 meters", 4.0),
        ("3-4 meters", 4.0),
        ("2.42 meters", 2.42),
        ("7", 7.0),
        ("<answer>.85</answer>", 0.85),
        ("<think> 3.5 </think> <answer> 1.2e1 </answer>", 12.0),
        ("<answer> 5E-1 </answer>", 0.5),
        ("about 3 east", 3.0),
        ("<answer> 1 </answer><answer> 2 </answer>", 2.0),
    ],
)
def test_the_number_of_the_last_answer_counts_else_the_last_number(text, metres):
    assert parse(text).metres == metres
    assert parse(text).reason == ""


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", ""),
        ("I see a red arrow.", ""),
        ("<answer> far away </answer>", ""),
        ("<answer> -2.42 </answer>", "-2.42"),
        ("<answer> -.5 </answer>", "-.5"),
        ("as in fig.2", ""),
        ("<answer> 1e400 </answer>", "1e400"),
        ("<answer> 0.00 </answer>", "0.00"),
        ("99999", "99999"),
        ("9" * 400, "9"),
    ],
)
def test_a_reply_without_a_distance_is_nan_with_a_reason(text, named):
    """The published scorer counts negative numbers as right."""
    parsed = parse(text)
    assert math.isnan(parsed.metres)
    assert named in parsed.reason
    assert 0 < len(parsed.reason) < 140


def test_training_text_is_the_released_form_with_two_decimals():
    assert FORMS["tags"].render(2.418) == TAGS.format("2.42")
    assert FORMS["sentence"].render(12) == "The point is around 12.00 meters away from the camera."
    assert FORMS["meters"].render(0.5) == "0.50 meters"
    assert FORMS["number"].render(0.5, decimals=1) == "0.5"


@pytest.mark.parametrize("name", FORMS)
def test_what_is_trained_is_what_is_read(name):
    for metres in (0.01, 0.99, 9.99, 10.0, 123.45):
        assert parse(FORMS[name].render(metres)).metres == metres


@pytest.mark.parametrize("name", FORMS)
def test_the_opening_is_what_stands_before_the_number(name):
    text = FORMS[name].render(7.25)
    assert text.startswith(FORMS[name].opening + "7.25")
