# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Engine: the one way to ask a model about pixels.

An engine is opened on a picture and stepped; it never decides what is asked next (batcher.py
does) and knows nothing about cameras, metres on the ray, or ROS.
"""

from dataclasses import dataclass
from math import nan
from typing import Protocol

from depthlm_ros.errors import InputError, MissingDependency
from depthlm_ros.models.progress import silent, span

# What a Reply says whose scene was closed while it waited: nobody will read it.
CLOSED = "the scene was closed before it was answered"
LONGEST = 128  # tokens of a reply that is decoded freely
CHECKS = ("auto", "on", "off")


@dataclass(frozen=True)
class Reply:
    """What a model said about one pixel, in metres of the checkpoint's kind.

    value: the number of the greedy reply, NaN if it has none (text then says what came), or if
    the question's form is FREE: then text is the reply.
    median, mean, lower, upper (5 %, 95 %): of the model's own distribution, given what is covered;
    NaN where the engine does not read it or covers less than 0.9 of the probability. mass: the
    probability covered; off_grammar: of replies that are no number of the checkpoint's grammar;
    what is left to 1 was not explored. All over the full vocabulary, never renormalised. free:
    whether the model, checked, would not have said the words that were given, so that value and
    text are what it says by itself; where that is another number the statistics are NaN.
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
    """One picture, preprocessed once. nbytes: memory it holds; close() gives it back."""

    nbytes: int

    def close(self) -> None: ...


class Engine(Protocol):
    """Steps over questions about open scenes.

    seen_focal_px: (fx, fy) that the last opened picture really had after the processor. counts:
    how many replies were "checked" so far, and how many of them "fell_back" to free decoding.
    """

    def open(self, pictures, style) -> Scene:
        """A scene of the pictures (Views; two only in PlainStyle), asked in the Style."""

    def room(self, scene, seconds) -> int:
        """How many questions one step of `seconds` may take, at least 1."""

    def step(self, batch) -> list:
        """Replies to [(scene, question), ...]; row i answers row i."""

    def close(self) -> None:
        """Give the model back."""


ENGINES = ("local", "reference", "scripted")


def is_checked(check, style) -> bool:
    """Whether `check` (of CHECKS) means that answers in this Style are checked; "auto": where a
    picture is computed for each question, which costs so much that a check hardly shows."""
    return check == "on" or (check == "auto" and not style.shares_picture)


def make_engine(name: str, checkpoint, warm_up=False, progress=silent, **options) -> Engine:
    """The engine `name` for a Checkpoint; heavy libraries are imported here and not before.

    options: device ("auto", "cpu", "cuda", "cuda:1"), dtype and threads for local and reference,
    check (of CHECKS) for local: see LocalEngine. warm_up: ask a question in each style first, so
    that a user's first does not wait longer than others (local only). progress: callable
    (fraction, what). Raises InputError, CheckpointError, OutOfMemory or MissingDependency.
    """
    if name not in ENGINES:
        raise InputError(f"engine '{name}' is unknown, allowed: {', '.join(ENGINES)}")
    warm_up = warm_up and name == "local"
    try:
        engine = _made(name, checkpoint, span(progress, 0.0, 0.9 if warm_up else 1.0), options)
    except ImportError as error:
        raise MissingDependency(
            f"engine '{name}' needs a package that is not installed ({error}):"
            " run `make setup` and activate .venv"
        ) from error
    if warm_up:
        _warm_up(engine, checkpoint, span(progress, 0.9, 1.0))
    progress(1.0, "ready")
    return engine


def _made(name, checkpoint, progress, options):
    if name == "local":
        from depthlm_ros.engines.local.engine import LocalEngine

        return LocalEngine(checkpoint, progress=progress, **options)
    if name == "reference":
        from depthlm_ros.engines.reference import ReferenceEngine

        return ReferenceEngine(checkpoint, progress=progress, **options)
    from depthlm_ros.engines.scripted import ScriptedEngine

    return ScriptedEngine(**options)


def _warm_up(engine, checkpoint, progress):
    from depthlm_ros.engines.warmup import warm_up

    warm_up(engine, checkpoint, progress)
