# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How much of the machine a step may take: questions, by measured time and free memory, and
processor threads.

Knows nothing about what a question is; a question's kind is any hashable value.
Also what questions and pictures hold in memory while a model computes them: generous estimates
from its configuration. Knows nothing about what is free.
"""

import time
from contextlib import contextmanager
from math import inf

WORDS, TREE = 100, 30  # tokens of a question, and that its number may add


def question_bytes(loaded, scene) -> int:
    """Of one question about an open scene; a drawn picture is its own."""
    drawn = 0 if scene.style.shares_picture else _tokens(scene.grid)
    words = WORDS + TREE
    held = (drawn + words) * (_kept(loaded) + _active(loaded)) + drawn * _seen(loaded)
    return loaded.model.dtype.itemsize * held


def picture_bytes(loaded, grid) -> int:
    """Of one picture of (rows, columns) tokens that all questions share, while it is opened."""
    each = _kept(loaded) + _active(loaded) + _seen(loaded)
    return loaded.model.dtype.itemsize * _tokens(grid) * each


def _tokens(grid) -> int:
    return grid[0] * (grid[1] + 1)


def _kept(loaded) -> int:
    """Numbers a token leaves in all layers: its key and value, twice while they are appended."""
    config = loaded.config.get_text_config()
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 4 * config.num_hidden_layers * config.num_key_value_heads * head


def _active(loaded) -> int:
    """Numbers of a token in the layer that is being computed."""
    config = loaded.config.get_text_config()
    return 8 * config.hidden_size + 3 * config.intermediate_size


def _seen(loaded) -> int:
    """Numbers of a picture token's patches in the vision part."""
    return 20 * loaded.config.vision_config.hidden_size * loaded.vision.merge**2


FRESH = 0.5  # weight of the newest measurement
SHARE = 0.5  # of the free memory that one step may take
GROWTH = 2  # how much larger than any measured step the next may be
SMALL = 20_000_000  # parameters
PATIENCE = 1.5  # a step may last that many times a single question where one outlasts the step


class Pace:
    """What a step takes for each kind of question: the first one, and every further one.

    They differ widely where a step has a fixed cost, so that a step for which even one question
    is too long is still worth filling, as long as it hardly lasts longer.
    """

    def __init__(self):
        self._first, self._further, self._largest, self._most = {}, {}, {}, {}

    def room(self, kind, seconds) -> int:
        """Questions that fit into `seconds`, at least 1; 1 where nothing is measured yet."""
        first, further = self._first.get(kind), self._further.get(kind, 0.0)
        if first is None:
            return 1
        grown = GROWTH * self._largest[kind]
        left = max(seconds, PATIENCE * first) - first
        return grown if left >= further * grown else 1 + int(left / further)

    def limit(self, kind, questions) -> None:
        """More than so many do not fit into memory."""
        self._most[kind] = questions

    def most(self, kind) -> float:
        """Questions that one pass may take; infinite where no limit was met."""
        return self._most.get(kind, inf)

    @contextmanager
    def measured(self, kind, questions):
        """Time a block that answers `questions` of one kind."""
        start = time.perf_counter()
        yield
        self.note(kind, questions, time.perf_counter() - start)

    def note(self, kind, questions, seconds) -> None:
        """A step of so many questions took `seconds`."""
        first = min(self._first.get(kind, seconds), seconds)
        if questions == 1:
            first = _mixed(self._first.get(kind), seconds)
        else:
            each = (seconds - first) / (questions - 1)
            self._further[kind] = _mixed(self._further.get(kind), each)
        self._first[kind] = first
        self._largest[kind] = max(self._largest.get(kind, 1), questions)


def _mixed(before, now) -> float:
    return now if before is None else FRESH * now + (1 - FRESH) * before


@contextmanager
def threads_for(loaded):
    """Run a model in the threads that the user gave it, else a small one in one thread on a CPU.

    Its operations take microseconds, and sharing them out costs more; where other programs keep
    the cores busy, waiting for each other makes a step fifty times slower.
    """
    import torch

    before = torch.get_num_threads()
    small = loaded.device.type == "cpu" and loaded.parameters < SMALL
    torch.set_num_threads(loaded.threads or (1 if small else before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
