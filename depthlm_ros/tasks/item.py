# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Item: one question of a task with its answer and its truth, ready to be asked, taught, judged.

Also what the tasks have in common: how a record is looked at, which of its points can be asked,
how a number in a reply is judged. Knows nothing about models or engines.
"""

import re
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from depthlm_ros.answer import parse
from depthlm_ros.errors import RecordError
from depthlm_ros.evaluation.metrics import delta1
from depthlm_ros.question import Question, Style

SMALLEST = 0.005  # below, a number with two decimals would read 0.00
_AFTER_THINKING = re.compile(r"^.*</think>", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Item:
    """One question.

    views: one or two, which Engine.open takes together with style. question: for Engine.step.
    answer: the text to learn. truth: what the task's judge compares a reply with. where: the
    record, for messages.
    """

    task: str
    views: tuple
    style: Style
    question: Question
    answer: str
    truth: Any
    where: str

    @property
    def images(self) -> list:
        """(h, w, 3) uint8 each: what the model sees."""
        return [self.style.image(view, self.question.pixel) for view in self.views]


class Task(Protocol):
    """Question, answer and judge of one task. pair: whether it needs PairRecords."""

    name: str
    pair: bool

    def item(self, record, checkpoint, rng, style="", see=None) -> Item:
        """A question about a record in a style of the checkpoint ("": its own); rng draws what
        is free. see(frame) -> View: how to look, instead of checkpoint.view. RecordError where
        the record cannot carry the question."""

    def judge(self, reply, truth) -> dict:
        """Scores by name: "answered" 0 or 1, errors NaN where there is no answer."""


def view_with_points(record, checkpoint, style, count, rng, see=None):
    """(View, rows): `count` points of a record that can be asked on one view, drawn by rng.

    A view beyond the training range is cut, as everywhere. RecordError where there are none.
    """
    whole = (see or checkpoint.view)(record.frame())
    windows = whole.windows(checkpoint.largest_view)
    for number in rng.permutation(len(windows)):
        view = windows[number]
        rows = [i for i, p in enumerate(view.to_view(record.pixels)) if style.can_ask(view, p)]
        if len(rows) >= count:
            return view, rng.choice(rows, count, replace=False)
    raise RecordError(
        f"{record.where}: fewer than {count} of its {len(record)} points can be asked in"
        f" {style.name} style on a view of {whole.camera.width} x {whole.camera.height}"
    )


def positive(value, record) -> float:
    """value; RecordError where two decimals would read 0.00."""
    if not value >= SMALLEST:
        raise RecordError(f"{record.where}: the answer would be {value:.3g}, too small to say")
    return float(value)


def without_thinking(reply: str) -> str:
    """What follows the last </think>, if there is one."""
    return _AFTER_THINKING.sub("", reply)


def judge_number(reply: str, truth: float) -> dict:
    """Scores of a positive number: delta1 (0 where missing), abs_rel, l1, l2 (squared error)."""
    value = parse(reply).metres
    error = abs(value - truth)
    return {
        "answered": float(np.isfinite(value)),
        "delta1": float(delta1(value, truth)),
        "abs_rel": error / truth,
        "l1": error,
        "l2": error**2,
    }
