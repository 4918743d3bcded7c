# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How much one step may take: questions by measured time and by memory, and processor threads.

Pace measures what steps took and says how many questions fit into the time of the next. What
questions and images hold in memory is estimated from the model's configuration, generously; what
is free is asked elsewhere (models/memory.py).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depthlm_ros.engines.local.scenes import LocalScene
    from depthlm_ros.models.loading import Loaded

SHARE = 0.5  # of the free memory that one step may take
GROWTH = 2  # how much larger than any measured step the next may be
PATIENCE = 1.5  # a step may last that many times a single question where one outlasts the step
CHANGED = 2.0  # a step that takes so many times what was expected, or less: the speed has changed
PROBES = 2, 64  # steps of one question, after which two are tried again: at first, and at most
SMALL = 20_000_000  # parameters
WORDS, TREE = 100, 30  # tokens of a question, and that its number may add


class Pace:
    """How many questions a step may take, for each kind of question, by what steps took.

    A kind is any hashable value: questions of one kind cost about the same.
    growth, patience: see GROWTH and PATIENCE.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        growth: int = GROWTH,
        patience: float = PATIENCE,
    ):
        self._clock = clock
        self._limits = growth, patience
        self._measured: dict[Hashable, _Measured] = {}
        self._most: dict[Hashable, int] = {}

    def room(self, kind: Hashable, seconds: float) -> int:
        """Questions that fit into `seconds`, at least 1; 1 where nothing is measured yet."""
        found = self._measured.get(kind)
        return 1 if found is None else found.room(seconds)

    def limit(self, kind: Hashable, questions: int) -> None:
        """More than so many do not fit into memory."""
        self._most[kind] = questions

    def most(self, kind: Hashable) -> float:
        """Questions that one pass may take; infinite where no limit was met."""
        return self._most.get(kind, inf)

    @contextmanager
    def measured(self, kind: Hashable, questions: int) -> Iterator[None]:
        """Time a block that answers `questions` of one kind."""
        start = self._clock()
        yield
        self.note(kind, questions, self._clock() - start)

    def note(self, kind: Hashable, questions: int, seconds: float) -> None:
        """A step of so many questions took `seconds`."""
        self._measured.setdefault(kind, _Measured(*self._limits)).note(questions, seconds)


class _Measured:
    """What steps of one kind took: the first question, and every further one.

    The two differ widely where a step has a fixed cost, so that a step for which even one question
    is too long is still worth filling, as long as it hardly lasts longer. Each is the smaller of
    the last two measures, since one slow step (a paused container, a throttled processor, a kernel
    being compiled) says nothing about the next. Where the speed has changed, a single question is
    measured anew: the old measure would put all of the change on the further ones, down to one
    question a step for ever.
    """

    def __init__(self, growth: int, patience: float) -> None:
        self._growth, self._patience = growth, patience
        self._single: deque[float] = deque(maxlen=2)  # seconds of steps of one question
        self._larger: deque[tuple[int, float]] = deque(maxlen=2)  # (questions, seconds)
        self._size = growth  # of the last larger step that was not slow
        self._alone = 0  # steps of one question since the last larger one
        self._probe = PROBES[0]  # of them, after which two questions are tried again
        self._slow = 0  # larger steps in a row that took much longer than expected
        self._before: float | None = None  # a single question, before the steps became slow

    def room(self, seconds: float) -> int:
        if not self._single:
            return 1
        if not self._larger:
            return self._size
        first, further = self._first(), self._further()
        step = max(seconds, self._patience * first)
        questions, took = min(self._larger, key=lambda of: of[1] / of[0])
        most = self._growth * questions if took <= step else questions
        fits = most if step - first >= further * most else 1 + int((step - first) / further)
        unsure = len(self._larger) < 2 or self._alone >= self._probe
        return max(fits, 2) if unsure else fits

    def note(self, questions: int, seconds: float) -> None:
        if questions == 1:
            self._note_single(seconds)
        else:
            self._note_larger(questions, seconds)

    def _note_single(self, seconds: float) -> None:
        fast = bool(self._single) and CHANGED * seconds < self._first()
        recovered = self._before is not None and seconds < CHANGED * self._before
        if fast or recovered:  # what larger steps took no longer holds
            self._larger.clear()
        self._before = None
        self._alone += 1
        self._single.append(seconds)

    def _note_larger(self, questions: int, seconds: float) -> None:
        if self._single and self._larger:
            expected = self._first() + (questions - 1) * self._further()
            self._slow = self._slow + 1 if seconds > CHANGED * expected else 0
        if self._slow == 2:
            self._before = self._first()
            self._single.clear()
            self._slow = 0
        elif self._single and CHANGED * seconds < min(self._single):
            self._single.clear()
        self._larger.append((questions, seconds))
        self._size = self._size if self._slow or self._before else questions
        self._probe = PROBES[0] if questions > 2 else min(2 * self._probe, PROBES[1])
        self._alone = 0

    def _first(self) -> float:
        """No step of several takes less than a step of one would."""
        return min([*self._single, *(seconds for _, seconds in self._larger)])

    def _further(self) -> float:
        first = self._first()
        return min((s - first) / (n - 1) for n, s in self._larger)


def question_bytes(loaded: Loaded, scene: LocalScene) -> int:
    """Memory of one question about an open scene; a drawn image is its own."""
    drawn = 0 if scene.style.shares_image else _tokens(scene.grid)
    words = WORDS + TREE
    numbers = (drawn + words) * (_cached(loaded) + _computed(loaded)) + drawn * _seen(loaded)
    return loaded.model.dtype.itemsize * numbers


def image_bytes(loaded: Loaded, grid: tuple[int, int]) -> int:
    """Memory of an image of (rows, columns) tokens that questions share, while it is opened."""
    numbers = _cached(loaded) + _computed(loaded) + _seen(loaded)
    return loaded.model.dtype.itemsize * _tokens(grid) * numbers


def _tokens(grid: tuple[int, int]) -> int:
    return grid[0] * (grid[1] + 1)


def _cached(loaded: Loaded) -> int:
    """Numbers a token leaves in all layers: its key and value, twice while they are appended."""
    config = loaded.config.get_text_config()
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 4 * config.num_hidden_layers * config.num_key_value_heads * head


def _computed(loaded: Loaded) -> int:
    """Numbers of a token in the layer that is being computed."""
    config = loaded.config.get_text_config()
    return 8 * config.hidden_size + 3 * config.intermediate_size


def _seen(loaded: Loaded) -> int:
    """Numbers of an image token's patches in the vision part."""
    return 20 * loaded.config.vision_config.hidden_size * loaded.vision.merge**2


@contextmanager
def threads_for(loaded: Loaded) -> Iterator[None]:
    """Run a model in the threads that the user gave it, else a small one in one thread on a CPU.

    Its operations take microseconds, and sharing them out costs more; where other programs keep
    the cores busy, waiting for each other makes a step fifty times slower.
    """
    import torch

    small = loaded.device.type == "cpu" and loaded.parameters < SMALL
    with threads(loaded.threads or (1 if small else torch.get_num_threads())):
        yield


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run torch's operations in so many threads. One that has helped goes on looking for work for
    a while, and takes a processor from everybody else, whatever the operation took itself."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
