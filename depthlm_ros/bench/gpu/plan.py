# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How much is measured, on a GPU or at tiny size to try it, and what all parts share: the device,
its clock, and the model that is loaded now."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from depthlm_ros.bench.compare import convinced
from depthlm_ros.bench.shapes import build, find_size
from depthlm_ros.bench.timing import memory_of, questions_about
from depthlm_ros.question import Style
from depthlm_ros.view import View

if TYPE_CHECKING:
    import torch

    from depthlm_ros.engines.local.engine import LocalEngine
    from depthlm_ros.models.loading import Loaded

Counts = Mapping[str, tuple[int, ...]]  # style -> numbers of questions
Found = Iterator[tuple[str, Any]]  # (name, what is written under it), as a part goes on

SQUARE = (2, 130, 130, True)  # a prompt, which sees what came before
ATTENDED = ((1, 1, 1300, False), (3, 7, 257, False), (2, 300, 1024, False), SQUARE)
THREE_B = {"marker": (1, 2, 8, 32), "coordinates": (1, 64, 512), "position": (1, 1000, 10_000)}
FEW = {"marker": (1, 4), "coordinates": (1, 64), "position": (1, 1000)}
PROFILED = {"marker": (1, 8), "coordinates": (1, 64), "position": (1000,)}
GRAPHED = {"marker": (1, 2, 8), "coordinates": (1, 8), "position": (1, 8)}


@dataclass(frozen=True)
class Plan:
    """Which sizes stand for what, and how many questions: a GPU's own, or tiny ones to try it.

    main, heavy, further: names of shapes.SIZES.
    counts: style -> numbers of questions of the main size; few: those of the others.
    profiled: style -> steps to look into.
    graphed: style -> steps to compare with and without CUDA graphs.
    batches: at which devices are compared.
    reference: published answers to time.
    attended: (batch, queries, keys, whether causal) of the attention that is compared.
    """

    main: str = "qwen2.5-vl-3b"
    heavy: str = "pixtral-12b"
    further: str = "qwen3-vl-4b"
    counts: Counts = field(default_factory=lambda: THREE_B)
    few: Counts = field(default_factory=lambda: FEW)
    profiled: Counts = field(default_factory=lambda: PROFILED)
    graphed: Counts = field(default_factory=lambda: GRAPHED)
    batches: tuple[int, ...] = (1, 7, 64)
    reference: int = 2
    attended: tuple[tuple[int, int, int, bool], ...] = ATTENDED


TINY = Plan(
    main="tiny",
    heavy="tiny",
    further="tiny",
    counts={"marker": (1, 2), "coordinates": (1, 4), "position": (1, 8)},
    few={"marker": (1,), "position": (1,)},
    profiled={"marker": (1,), "position": (2,)},
    graphed={"marker": (1, 2), "position": (1,)},
    batches=(1, 3),
    reference=1,
    attended=((1, 1, 257, False), (3, 7, 33, False), SQUARE),
)


class GpuBench:
    """What the parts share: the device, the plan, and the model that is loaded now."""

    def __init__(self, device: torch.device, plan: Plan):
        self.device, self.plan = device, plan
        self.is_gpu = device.type == "cuda"
        self.memory = memory_of(device)
        self._name = ""
        self._loaded: Loaded | None = None

    def loaded(self, name: str) -> Loaded:
        """The random model of a size, the only one on the device at a time."""
        if self._loaded is None or self._name != name:
            self._name, self._loaded = "", None
            self.tidy()
            self._loaded = build(find_size(name), name, str(self.device))
            self._name = name
        return self._loaded

    def engine(self, name: str) -> LocalEngine:
        """The fast engine on that model, with checks that cost what they cost and never fail."""
        from depthlm_ros.engines.local.engine import LocalEngine

        return convinced(LocalEngine(self.loaded(name)))

    def tidy(self) -> None:
        """Return what nothing refers to any more."""
        from depthlm_ros.models.memory import give_back

        give_back()

    def now(self) -> float:
        """Seconds, once the device has done what it was told."""
        import torch

        if self.is_gpu:
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def seconds(self, action: Any) -> float:
        """What an action takes."""
        begin = self.now()
        action()
        return self.now() - begin

    def opened(self, engine: Any, view: View, asker: Style, count: int) -> tuple[float, float]:
        """(seconds to open the image, seconds of one step of all questions)."""
        questions = questions_about(view, asker, count)
        begin = self.now()
        scene = engine.open([view], asker)
        opened = self.now()
        try:
            engine.step([(scene, question) for question in questions])
            return opened - begin, self.now() - opened
        finally:
            scene.close()
