# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A predictor that answers from an array: no engine, no model, no question is asked.

It stands for every predictor that is yet to come: whatever works with it uses the contract alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from depthlm_ros.batcher import Batcher, Job
from depthlm_ros.camera import as_pixels
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.engine import Reply
from depthlm_ros.errors import UnsupportedError
from depthlm_ros.predict import Predictor, PredictorStats
from depthlm_ros.question import Question, Style
from depthlm_ros.ranges import RangeMap, Ranges, RangesJob, Status
from depthlm_ros.view import Frame, View

NO_WORDS = "an array answers distances and no questions in words"
WORDING = {"marker": "tags", "coordinates": "tags"}
CHECKPOINT = Checkpoint("array", "", "none", 100.0, "marker", "coordinates", WORDING)


@dataclass(frozen=True)
class _Lookup:
    """Steps that look up entries of the array: a scene is an array, a question (row, column)."""

    def room(self, scene: np.ndarray, seconds: float) -> int:
        return 100

    def step(self, batch: Sequence[tuple[np.ndarray, tuple[int, int]]]) -> list[float]:
        return [float(scene[place]) for scene, place in batch]


class ArrayPredictor:
    """Pixel (u, v) of any frame of the array's size is distance_m[v, u] metres away.

    distance_m: (H, W) metres along the rays.
    closed: whether close() was called.
    """

    device = "none"

    def __init__(self, distance_m: np.ndarray, checkpoint: Checkpoint = CHECKPOINT) -> None:
        self.checkpoint = checkpoint
        self.closed = False
        self._distance_m = np.asarray(distance_m, np.float64)
        self._batcher = Batcher(_Lookup())

    def start(
        self,
        frame: Frame,
        pixels: ArrayLike,
        *,
        style: str = "",
        priority: int = 0,
        deadline: float | None = None,
    ) -> RangesJob:
        self.checkpoint.asker(style)  # raises for a style that it does not have
        asked = as_pixels(pixels)
        known = frame.camera.contains(asked) & np.isfinite(asked).all(axis=1)
        places = [(int(v), int(u)) for u, v in np.round(asked[known])]
        job = self._batcher.submit(self._distance_m, places, priority, deadline)

        def read(report: str) -> Ranges:
            lost = Status.CANCELLED if job.cancelled else Status.TIMED_OUT
            return _ranges(frame, asked, known, job, lost)

        return RangesJob([job], read)

    def ranges(self, frame: Frame, pixels: ArrayLike, *, style: str = "") -> Ranges:
        return self.start(frame, pixels, style=style).wait()

    def map(self, frame: Frame) -> RangeMap:
        distance_m = self._distance_m
        return RangeMap(distance_m, 0.9 * distance_m, 1.1 * distance_m, frame.camera)

    def ask(self, images: Sequence[View], style: Style, question: Question) -> Reply:
        raise UnsupportedError(NO_WORDS)

    def prepare(self, frame: Frame) -> None:
        pass

    def run_once(self) -> bool:
        return self._batcher.drive()

    def stats(self) -> PredictorStats:
        return PredictorStats(batch_size=self._batcher.batch_size)

    def close(self) -> None:
        self.closed = True


def _ranges(frame: Frame, asked: np.ndarray, known: np.ndarray, job: Job, lost: Status) -> Ranges:
    metres = np.full(len(asked), np.nan)
    metres[known] = [np.nan if reply is None else reply for reply in job.snapshot()]
    status = np.where(known, np.where(np.isfinite(metres), Status.OK, lost), Status.OUTSIDE)
    rays = np.full((len(asked), 3), np.nan)
    rays[known] = frame.camera.rays(asked[known])
    values = np.stack([metres, 0.9 * metres, 1.1 * metres], axis=1)
    return Ranges.along(rays, values, status.astype(np.uint8), asked)


_checked: type[Predictor] = ArrayPredictor  # by mypy
