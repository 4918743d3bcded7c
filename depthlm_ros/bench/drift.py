# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How far the answers of a number format drift from those of float32, on the same questions.

Any Predictor will do: knows nothing about engines or models.
"""

from typing import NamedTuple

import numpy as np

from depthlm_ros.scan import grid_pixels

GRID = 8, 6


class Drift(NamedTuple):
    """answers: pixels that both answered. same: with equal distances, to the last digit.
    median, largest: of |log(other / float32)|, which is the relative error where it is small."""

    style: str
    answers: int
    same: int
    median: float
    largest: float

    def line(self) -> str:
        """For a table."""
        shares = f"{100 * self.median:>11.2f} %{100 * self.largest:>11.2f} %"
        return f"{self.style:<14}{self.answers:>9}{self.same:>8}{shares}"


HEADER = f"{'style':<14}{'answers':>9}{'equal':>8}{'median':>13}{'largest':>13}"


def drift(exact, other, frame, style) -> Drift:
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
