# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The shipped fake: an engine that answers what it is told to, without a model.

For tests and for trying the node and the tools where no model is. Every reply says that it is a
fake. It needs no torch and looks at no image.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from math import isfinite, nan

import numpy as np

from depthlm_ros.engines import CLOSED, Reply
from depthlm_ros.question import Question, Style
from depthlm_ros.view import ANY_SIZE, View

ROOM = 1024  # questions a step when they cost nothing


class ScriptedScene:
    """A view to be asked about. nbytes: of its image, until it is closed."""

    def __init__(self, view: View, style: Style):
        self.view: View | None = view
        self.style = style
        self.nbytes = view.image.nbytes

    def close(self) -> None:
        """Forget the image."""
        self.view, self.nbytes = None, 0


Asked = tuple[ScriptedScene, Question]
Answer = Callable[[View, tuple[float, ...]], "float | str"]


class ScriptedEngine:
    """A fake engine: answers come from a function, not from a model.

    answer: callable (view, (u, v)) -> metres, or a constant; NaN is a reply without a number, a
        text is the reply to a question whose form is FREE, and what it raises fails the step, as
        an engine that fails.
    seconds_per_question: how long it pretends to think.
    spread: half of the 90 % interval, relative to the answer.
    device, dtype, threads, check: accepted and without meaning, so that it can stand in for the
        other engines.
    """

    device = "none"
    memory_bytes = 0
    limits = ANY_SIZE

    def __init__(
        self,
        answer: float | str | Answer = 2.0,
        seconds_per_question: float = 0.0,
        spread: float = 0.1,
        device: str = "",
        dtype: str = "",
        threads: int = 0,
        check: str = "",
    ):
        self.answer: Answer = answer if callable(answer) else lambda view, pixel: answer
        self.seconds_per_question = seconds_per_question
        self.spread = spread
        self.counts: Counter[str] = Counter()

    def supports(self, style: Style, images: int = 1) -> str:
        """Never a reason: it can be asked anything."""
        return ""

    def open(self, images: Sequence[View], style: Style) -> ScriptedScene:
        """A scene of views, of which the first is shown to `answer`."""
        return ScriptedScene(images[0], style)

    def room(self, scene: ScriptedScene, seconds: float) -> int:
        """As many questions as the pretended time allows, at least 1."""
        if not self.seconds_per_question:
            return ROOM
        return int(np.clip(seconds / self.seconds_per_question, 1, ROOM))

    def step(self, batch: Sequence[Asked]) -> list[Reply]:
        """Replies to (scene, question) pairs; reply i answers pair i."""
        time.sleep(self.seconds_per_question * len(batch))
        return [self._reply(scene, question) for scene, question in batch]

    def close(self) -> None:
        """Nothing to give back."""

    def _reply(self, scene: ScriptedScene, question: Question) -> Reply:
        view = scene.view
        if view is None:
            return Reply(nan, CLOSED)
        said = self.answer(view, question.pixel)
        if not question.form.is_number:
            return Reply(nan, str(said))
        metres = float(said)
        text = f"{metres:.2f} (scripted: no model was asked)"
        if not isfinite(metres):
            return Reply(nan, text)
        low, high = metres * (1 - self.spread), metres * (1 + self.spread)
        return Reply(metres, text, metres, metres, low, high, 1.0)
