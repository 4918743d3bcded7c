# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Two ways to answer the same points, compared image by image: which is better, and how surely?

An image that is hard is hard both ways, so differences within images are surer than two figures
side by side.
"""

from dataclasses import dataclass

import numpy as np

from depthlm_ros.evaluation.evaluate import Points
from depthlm_ros.evaluation.metrics import delta1, share_interval
from depthlm_ros.viz.tables import text_table


@dataclass(frozen=True)
class Difference:
    """A measure of two ways, over all points.

    measure: "delta1", or "delta1, median-aligned": every image's answers times one factor, which
        brings the median of label / answer to 1, so that what is left is structure and not scale.
    first, second: of each way. gain: first minus second.
    interval: 95 % of the gain by bootstrap over scenes, the same images both ways.
    """

    measure: str
    first: float
    second: float
    gain: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """names: of both ways. differences: measure by measure."""

    names: tuple[str, str]
    differences: list[Difference]

    def table(self) -> str:
        """For reading."""
        rows = [
            (
                d.measure,
                f"{d.first:.3f}",
                f"{d.second:.3f}",
                f"{d.gain:+.3f}",
                f"{d.interval[0]:+.3f} to {d.interval[1]:+.3f}",
            )
            for d in self.differences
        ]
        return text_table(("paired by image", *self.names, "difference", "(95 %)"), rows)


def compared(names: tuple[str, str], first: Points, second: Points) -> Comparison:
    """The Comparison of two Points of the same records; names: of both ways."""
    measures = {"delta1": (first.answer_m, second.answer_m)}
    measures["delta1, median-aligned"] = aligned(first), aligned(second)
    found = [
        difference(name, delta1(a, first.label_m), delta1(b, first.label_m), first.scene)
        for name, (a, b) in measures.items()
    ]
    return Comparison(names, found)


def aligned(points: Points) -> np.ndarray:
    """(N,) answers, those of each image times its median of label / answer."""
    metres = points.answer_m.copy()
    for number in np.unique(points.image):
        own = (points.image == number) & (points.answer_m > 0)
        if own.any():
            metres[own] *= np.median(points.label_m[own] / points.answer_m[own])
    return metres


def difference(
    measure: str, first: np.ndarray, second: np.ndarray, scene: np.ndarray
) -> Difference:
    """The Difference of hits (N,) of two ways; scene: number of the scene of each point."""
    gains = first.astype(float) - second
    interval = share_interval(gains, np.ones(len(gains)), scene)
    sides = float(first.mean()), float(second.mean())
    return Difference(measure, *sides, sides[0] - sides[1], interval)
