# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How time and memory grow with the number of questions about one picture, asked as users ask.

Any Predictor will do: knows nothing about engines, models or devices.
"""

import time
from typing import NamedTuple

import numpy as np

COUNTS = (100, 1000, 10_000)


class Grown(NamedTuple):
    """n questions about one picture. peak_bytes: of the whole process, weights included."""

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


HEADER = f"{'style':<14}{'n':>8}{'a question':>17}{'peak memory':>15}"


def growth(predictor, frame, style, memory, counts=COUNTS, clock=time.perf_counter):
    """A Grown for each number of random pixels asked in a style. memory: see memory.py."""
    size = frame.camera.width, frame.camera.height
    predictor.ranges(frame, [(size[0] / 2, size[1] / 2)], style=style)  # what happens once
    for n in counts:
        pixels = np.random.default_rng(n).uniform(0, 1, (n, 2)) * size - 0.5
        memory.reset()
        begin = clock()
        predictor.ranges(frame, pixels, style=style)
        yield Grown(style, n, (clock() - begin) / n, memory.peak())
