# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A predictor measured as users ask it: how time and memory grow with the number of questions
about one image, and how far the answers of a number format drift from those of float32."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from depthlm_ros.bench.timing import Memory
from depthlm_ros.camera import Camera
from depthlm_ros.predict import Predictor
from depthlm_ros.scan import grid_pixels
from depthlm_ros.view import Frame

COUNTS = (100, 1000, 10_000)
GRID = 8, 6


class Grown(NamedTuple):
    """n questions about one image. peak_bytes: of the whole process, weights included."""

    style: str
    n: int
    seconds_per_question: float
    peak_bytes: int

    def line(self) -> str:
        """For a table."""
        return (
            f"{self.style:<14}{self.n:>8}{1e3 * self.seconds_per_question:>14.2f} ms"
            f"{self.peak_bytes / 1e6:>12.0f} MB"
        )


GROWN_HEADER = f"{'style':<14}{'n':>8}{'per question':>17}{'peak memory':>15}"


def growth(
    predictor: Predictor,
    frame: Frame,
    style: str,
    memory: Memory,
    counts: tuple[int, ...] = COUNTS,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Grown]:
    """A Grown for each number of random pixels asked in a style."""
    middle = frame.camera.width / 2, frame.camera.height / 2
    predictor.ranges(frame, [middle], style=style)  # what happens once
    for n in counts:
        pixels = random_pixels(frame.camera, n)
        memory.reset()
        begin = clock()
        predictor.ranges(frame, pixels, style=style)
        yield Grown(style, n, (clock() - begin) / n, memory.peak())


def random_pixels(camera: Camera, n: int) -> np.ndarray:
    """(n, 2) pixels anywhere on a camera's image, the same for the same n."""
    size = camera.width, camera.height
    return np.random.default_rng(n).uniform(0, 1, (n, 2)) * size - 0.5


class Drift(NamedTuple):
    """How far answers moved.

    answers: pixels that both answered.
    same: with equal distances, to the last digit.
    median, largest: of |log(other / float32)|, which is the relative error where it is small.
    """

    style: str
    answers: int
    same: int
    median: float
    largest: float

    def line(self) -> str:
        """For a table."""
        shares = f"{100 * self.median:>11.2f} %{100 * self.largest:>11.2f} %"
        return f"{self.style:<14}{self.answers:>9}{self.same:>8}{shares}"


DRIFT_HEADER = f"{'style':<14}{'answers':>9}{'equal':>8}{'median':>13}{'largest':>13}"


def drift(exact: Predictor, other: Predictor, frame: Frame, style: str) -> Drift:
    """Drift of a Predictor from another in a style, on a grid of pixels of a frame."""
    pixels = grid_pixels(frame.camera, *GRID)
    one, two = (p.ranges(frame, pixels, style=style).distance_m for p in (exact, other))
    both = np.isfinite(one) & np.isfinite(two)
    moved = np.abs(np.log(two[both] / one[both]))
    known = bool(both.any())
    return Drift(
        style,
        int(both.sum()),
        int((moved == 0).sum()),
        float(np.median(moved)) if known else float("nan"),
        float(moved.max()) if known else float("nan"),
    )
