# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The shipped fake: an engine that answers what it is told to, without a model.

For tests and for trying the node and the tools where no model is. Every reply says that it is a
fake. No torch, no pictures looked at.
"""

import time
from collections import Counter
from math import isfinite, nan

import numpy as np

from depthlm_ros.engines import CLOSED, Reply

ROOM = 1024  # questions a step when they cost nothing


class ScriptedScene:
    """A view to be asked about. nbytes: of its picture, until it is closed."""

    def __init__(self, view, style):
        self.view, self.style = view, style
        self.nbytes = view.image.nbytes

    def close(self) -> None:
        """Forget the picture."""
        self.view, self.nbytes = None, 0


class ScriptedEngine:
    """A fake engine: answers come from a function, not from a model.

    answer: callable (view, (u, v)) -> metres, or a constant; NaN is a reply without a number, a
    text is the reply to a question whose form is FREE, and what it raises fails the step, as an
    engine that fails. seconds_per_question: how long it pretends to think. spread: half of the
    90 % interval, relative to the answer. device, dtype, threads, check: accepted and without
    meaning, so that it can stand in for the other engines.
    """

    def __init__(
        self,
        answer=2.0,
        seconds_per_question=0.0,
        spread=0.1,
        device="",
        dtype="",
        threads=0,
        check="",
    ):
        self.device = "none"
        self.answer = answer if callable(answer) else lambda view, pixel: answer
        self.seconds_per_question = seconds_per_question
        self.spread = spread
        self.seen_focal_px = (nan, nan)
        self.counts = Counter()
        self.memory_bytes = 0

    def supports(self, style, images=1) -> str:
        """Always "": a fake can be asked anything."""
        return ""

    def open(self, pictures, style) -> ScriptedScene:
        """A scene of Views, of which the first is shown to `answer`."""
        view = pictures[0]
        self.seen_focal_px = (view.camera.fx, view.camera.fy)
        return ScriptedScene(view, style)

    def room(self, scene, seconds) -> int:
        """As many questions as the pretended time allows, at least 1."""
        if not self.seconds_per_question:
            return ROOM
        return int(np.clip(seconds / self.seconds_per_question, 1, ROOM))

    def step(self, batch) -> list:
        """Replies to [(scene, question), ...]; row i answers row i."""
        time.sleep(self.seconds_per_question * len(batch))
        return [self._reply(scene, question) for scene, question in batch]

    def close(self) -> None:
        """Nothing to give back."""

    def _reply(self, scene, question) -> Reply:
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
