# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Engine: the contract of whatever asks a model about pixels.

An engine opens images as scenes and is stepped over questions about them. It never decides what
is asked next (batcher.py does).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, Protocol, runtime_checkable

from depthlm_ros.question import Question, Style
from depthlm_ros.view import View, ViewLimits

# The text of a Reply whose scene was closed while it waited: nobody will read it.
CLOSED = "the scene was closed before it was answered"
LONGEST = 128  # tokens of a reply that is decoded freely
DEVICES = r"auto|cpu|cuda(:\d+)?"  # as a regular expression
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Reply:
    """What a model replied to one question, in metres of the checkpoint's kind.

    value: the number of the greedy reply; NaN if it has none (text then holds what came), or if
        the form of the question is FREE (then text is the reply).
    text: the reply in words.
    median, mean, lower, upper: of the model's own distribution, lower and upper at 5 % and 95 %;
        NaN where the engine does not read it, or covers less than 0.9 of the probability.
    mass: the probability that was covered, over the full vocabulary, never renormalised.
    off_grammar: the probability of replies that are no number of the checkpoint's grammar; what
        mass and off_grammar leave to 1 was not explored.
    free: whether a check found that the model would not have said the given words: value and text
        are then what it says by itself, and the statistics are NaN if that is another number.
    """

    value: float
    text: str
    median: float = nan
    mean: float = nan
    lower: float = nan
    upper: float = nan
    mass: float = 0.0
    off_grammar: float = 0.0
    free: bool = False


class Scene(Protocol):
    """One view, or two, preprocessed once by the engine that opened it."""

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""

    def close(self) -> None:
        """Give that memory back; what is still asked gets a reply without a number."""


class Engine(Protocol):
    """Answers questions about open scenes, in steps.

    device: where the model runs, as torch writes it ("cpu", "cuda:0"); "none" without a model.
    counts: replies "checked" so far, and how many of them "fell_back" to free decoding.
    memory_bytes: what is allocated on a GPU, or what this process holds on a CPU; 0 without a
        model.
    limits: the views that its model sees as they are; others are cut or padded first.

    A scene belongs to the engine that opened it, so its type is the engine's own.
    """

    @property
    def device(self) -> str: ...

    @property
    def counts(self) -> Counter[str]: ...

    @property
    def memory_bytes(self) -> int: ...

    @property
    def limits(self) -> ViewLimits: ...

    def supports(self, style: Style, images: int = 1) -> str:
        """ "" if it can be asked in this style about so many images, or the reason why not."""

    def open(self, images: Sequence[View], style: Style) -> Any:
        """A Scene of one view, or of two in PlainStyle, to be asked in the style.

        Raises InputError, EngineError or OutOfMemory.
        """

    def room(self, scene: Any, seconds: float) -> int:
        """How many questions about the scene one step of `seconds` may take, at least 1."""

    def step(self, batch: Sequence[tuple[Any, Question]]) -> list[Reply]:
        """Replies to (scene, question) pairs; reply i answers pair i. Raises EngineError or
        OutOfMemory, which no question then has a reply to."""

    def close(self) -> None:
        """Give the model back."""


@dataclass(frozen=True)
class ServerState:
    """What is known of a server.

    url: its address.
    usable: whether it is asked.
    text: what it can do, or why it is not asked.
    sent_bytes: images and words that it has been sent.
    """

    url: str
    usable: bool
    text: str
    sent_bytes: int


@runtime_checkable
class OnServers(Protocol):
    """An engine whose model is on servers."""

    @property
    def servers(self) -> tuple[ServerState, ...]:
        """Each of them as it is now."""
