# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rewards of a reply for GRPO (DepthLM, section 3.2): hit, relative error, L1, L2, form.

The numbers are the task's own judge's, so a reward and an evaluation cannot differ. A reply
without a number gets the errors of saying zero. Knows nothing about models.
"""

import re
from math import isfinite

from depthlm_ros.answer import FORMS
from depthlm_ros.tasks import find_task

_TAGS = re.compile(r"\s*<think>.*</think>\s*<answer>.*</answer>\s*", re.DOTALL)
_NUMBER = r"\d+(?:\.\d+)?"


def hit(score, truth) -> float:
    """1 within a factor of 1.25 of the truth (delta1), else 0."""
    return score["delta1"]


def relative(score, truth) -> float:
    """Minus the absolute relative error."""
    return -_known(score["abs_rel"], 1.0)


def absolute(score, truth) -> float:
    """Minus the absolute error."""
    return -_known(score["l1"], truth)


def squared(score, truth) -> float:
    """Minus the squared error."""
    return -_known(score["l2"], truth**2)


def _known(error, of_zero) -> float:
    return error if isfinite(error) else of_zero


OF_NUMBER = {"delta1": hit, "abs_rel": relative, "l1": absolute, "l2": squared}


def reward_functions(names: list) -> list:
    """Functions as trl calls them: (completions, task, truth, template, ...) -> list of floats.

    names: of OF_NUMBER, or "format". The functions are named so, which is how trl logs them.
    """
    return [_named(name) for name in names]


def _named(name):
    def reward(completions, task, truth, template, **_):
        rows = zip(map(said, completions), task, truth, template, strict=True)
        if name == "format":
            return [well_formed(text, form) for text, _task, _truth, form in rows]
        return [OF_NUMBER[name](find_task(t).judge(text, true), true) for text, t, true, _ in rows]

    reward.__name__ = name
    return reward


def said(completion) -> str:
    """The text of a completion, which trl gives as a chat where the prompt is one."""
    return completion if isinstance(completion, str) else completion[0]["content"]


def well_formed(text, template) -> float:
    """1 if the reply has the form of the answers that the model was taught, else 0.

    Of the tagged form the tags alone count (DepthLM); template: of answer.AnswerForm, "" for any.
    """
    if template == FORMS["tags"].template:
        return float(bool(_TAGS.fullmatch(text)))
    return float(bool(re.fullmatch(re.escape(template).replace(r"\{d\}", _NUMBER), text.strip())))
