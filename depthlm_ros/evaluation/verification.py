# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Is a checkpoint asked as it was trained? Each question is asked in two ways and compared.

One way gives the model the words of its entry and reads the number; the other lets it speak by
transformers' plain generate. Where the entry is right, both are the same. The first thing to do
with new weights.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from depthlm_ros.answer import AnswerForm, parse
from depthlm_ros.checkpoints import DENSE, Checkpoint
from depthlm_ros.engines.digits import SYMBOLS
from depthlm_ros.engines.engine import Engine, Reply
from depthlm_ros.engines.progress import Progress, silent, span
from depthlm_ros.question import Question
from depthlm_ros.view import Frame, View, ViewLimits

if TYPE_CHECKING:
    from depthlm_ros.models.loading import Loaded

QUESTIONS = 20  # in each style
NUMBER = "12.34"


@dataclass(frozen=True)
class Agreement:
    """What came of the questions in one style.

    asked: how many there were.
    same_number, same_words: in how many of them both ways gave the same number, and all of the
        given words too.
    given, said: the words of the first that differs, or of the first where none does.
    seconds_given, seconds_said: per question.
    """

    style: str
    asked: int
    same_number: int
    same_words: int
    given: str
    said: str
    seconds_given: float
    seconds_said: float

    @property
    def agrees(self) -> bool:
        """Whether everything is the same."""
        return self.same_number == self.same_words == self.asked


@dataclass(frozen=True)
class Verification:
    """facts: heading -> text, how the checkpoint was loaded and is asked. notes: what is doubtful
    about its files, a sentence each. agreements: one for each style."""

    facts: dict[str, str]
    notes: list[str]
    agreements: list[Agreement]

    @property
    def agrees(self) -> bool:
        """Whether the model says, in every style, what its entry has it say."""
        return all(one.agrees for one in self.agreements)


def verify(
    checkpoint: Checkpoint,
    frame: Frame,
    device: str = "auto",
    dtype: str = "auto",
    progress: Progress = silent,
) -> Verification:
    """Load a checkpoint and ask it about random pixels of a frame, in each of its styles.

    device, dtype: see models.loading.load.

    Raises CheckpointError, InputError, EngineError or OutOfMemory.
    """
    from depthlm_ros.engines.local.engine import LocalEngine
    from depthlm_ros.engines.reference import ReferenceEngine
    from depthlm_ros.models.loading import load

    loaded = load(checkpoint, device, dtype, progress=span(progress, 0.0, 0.5))
    local, reference = LocalEngine(loaded, check="off"), ReferenceEngine(loaded)
    view = _view(checkpoint, frame, local)
    facts = _facts(loaded, frame, view)
    asking = span(progress, 0.5, 1.0)
    agreements = []
    for index, style in enumerate(checkpoint.wording):
        asking(index / len(checkpoint.wording), f"asking {QUESTIONS} questions, {style}")
        agreements.append(_compare(loaded, local, reference, view, style, QUESTIONS))
    progress(1.0, "ready")
    return Verification(facts, loaded.notes, agreements)


def _view(checkpoint: Checkpoint, frame: Frame, engine: Engine) -> View:
    """The frame, or the window in its middle, as the checkpoint is asked about it."""
    views = checkpoint.view(frame).windows(checkpoint.largest_view, engine.limits)
    return views[len(views) // 2]


def _compare(
    loaded: Loaded, local: Engine, reference: Engine, view: View, style: str, count: int
) -> Agreement:
    asker, draw = loaded.checkpoint.asker(style), np.random.default_rng(0)
    size = view.camera.width, view.camera.height
    pixels = [asker.nearest_askable(view, p) for p in draw.integers(0, size, (count, 2))]
    asked = [asker.question(view, pixel) for pixel in pixels]
    given, seconds_given = _replies(local, view, style, asked, loaded)
    said, seconds_said = _replies(reference, view, style, asked, loaded)
    words = [_whole(question, reply) for question, reply in zip(asked, given, strict=True)]
    texts = [reply.text for reply in said]
    numbers = [a.value == parse(b).metres for a, b in zip(given, texts, strict=True)]
    equal = [_plain(a) == _plain(b) for a, b in zip(words, texts, strict=True)]
    shown = equal.index(False) if False in equal else 0
    return Agreement(
        style=style,
        asked=count,
        same_number=sum(numbers),
        same_words=sum(equal),
        given=words[shown],
        said=texts[shown],
        seconds_given=seconds_given / count,
        seconds_said=seconds_said / count,
    )


def _replies(
    engine: Engine, view: View, style: str, asked: list[Question], loaded: Loaded
) -> tuple[list[Reply], float]:
    """(replies, seconds), one question a step: the ways are compared without batching, which may
    decide a tie otherwise in half precision."""
    start = time.perf_counter()
    scene = engine.open([view], loaded.checkpoint.asker(style))
    replies = [reply for question in asked for reply in engine.step([(scene, question)])]
    scene.close()
    return replies, time.perf_counter() - start


def _whole(question: Question, reply: Reply) -> str:
    """The whole answer of which the opening was given and the number read."""
    number = reply.text.removeprefix(question.form.opening)
    return reply.text + question.form.closing(number)


def _plain(text: str) -> str:
    """Without what tokenizers may add or drop around special tokens."""
    return " ".join(text.split())


def _facts(loaded: Loaded, frame: Frame, view: View) -> dict[str, str]:
    checkpoint, chat, limits = loaded.checkpoint, loaded.chat, loaded.vision.limits
    prepared = loaded.vision.prepare([view.image])
    words, text, form = _words(checkpoint, view)
    dtype = str(loaded.model.dtype).removeprefix("torch.")
    symbols = ", ".join(f"{s!r} {i}" for s, i in zip(SYMBOLS, loaded.symbol_ids, strict=True))
    opening = len(chat.encode(form.opening))
    closing = len(chat.encode(form.closing(NUMBER)))
    sizes = f"{_size(frame.image)}, at {checkpoint.focal_px:g} px {_size(view.image)}"
    seen = f"{prepared.size[1]} x {prepared.size[0]}"
    return {
        "checkpoint": f"{checkpoint.name}, in {checkpoint.model}",
        "model": f"{checkpoint.architecture}, {loaded.parameters / 1e6:,.1f} million parameters,"
        f" {dtype} on {loaded.device}",
        "entry": f"{checkpoint.kind} in metres, focal length {checkpoint.focal_px:g} px, {words}",
        "template": f"{chat.source}, words under '{chat.text_key}'",
        "prompt": repr(chat.prompt(text)),
        "answer": repr(form.template),
        "numbers": f"{symbols}; {NUMBER} is {len(chat.encode(NUMBER))} tokens, between"
        f" {opening} before and {closing} behind",
        "views": f"{checkpoint.largest_view[0]} x {checkpoint.largest_view[1]} at most by the"
        f" entry; the processor: {_bounds(limits)}",
        "image": f"{sizes}, the model sees {seen} as {prepared.grid[1]} x {prepared.grid[0]}"
        " image tokens",
    }


def _words(checkpoint: Checkpoint, view: View) -> tuple[str, str, AnswerForm]:
    """(style and wording, the words of a question, the form of its answer); for a checkpoint that
    is asked nothing what its head was trained with."""
    head = checkpoint.head
    if head and not checkpoint.wording:
        return f"style {DENSE}, nothing is asked", head.prompt, AnswerForm(head.reply)
    name = checkpoint.speaking().style
    middle = view.camera.width // 2, view.camera.height // 2
    question = checkpoint.asker(name).question(view, middle)
    uses = ("few pixels", checkpoint.style), ("grids", checkpoint.grid_style)
    read = " and ".join(what for what, style in uses if style == DENSE)
    dense = f", {read} in style {DENSE}" if read else ""
    return f"style {name}, wording {checkpoint.wording[name]}{dense}", question.text, question.form


def _bounds(limits: ViewLimits) -> str:
    """The bounds of the image processor, in words."""
    found = [f"whole tokens of {limits.token} px ({limits.rounding})"]
    if limits.least_pixels:
        found.append(f"{limits.least_pixels:,} pixels or more")
    if isfinite(limits.most_pixels):
        found.append(f"{limits.most_pixels:,} pixels at most")
    if isfinite(limits.longest_side):
        found.append(f"sides of {limits.longest_side} px at most")
    return ", ".join(found)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
