# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Calibration: what widens a model's interval until it holds what it promises.

Conformalised quantile regression (Romano et al. 2019) on log metres: one number c is added on
both sides of [log lower, log upper]; a negative one shrinks. Points of one picture are alike, so
pictures and not points are taken as exchangeable (hierarchical conformal prediction, Lee, Barber
and Willett 2023): every picture has the same weight. Knows arrays of metres; nothing of models.
"""

from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.metrics import bootstrap_interval

LEVEL = 0.9  # lower and upper are the 5 % and the 95 % quantile


@dataclass(frozen=True)
class Calibration:
    """The fitted number of one style, and where it comes from.

    widening: c in log metres. interval: 95 % of c, by bootstrap over pictures. level: share of
    the truth that shall lie inside. kind: of the metres, "distance" | "z". points, pictures: that
    it was fitted on. data: [{"name", "sha256"}] of the records files. Raises InputError.
    """

    widening: float
    interval: tuple[float, ...] = ()
    level: float = LEVEL
    kind: str = "distance"
    points: int = 0
    pictures: int = 0
    data: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval", tuple(self.interval))
        if not isinstance(self.widening, (int, float)) or not isfinite(self.widening):
            raise InputError(f"calibration: widening is {self.widening!r}, it must be a number")
        if self.level != LEVEL:
            raise InputError(f"calibration: level is {self.level}, allowed: {LEVEL}")
        if self.kind not in ("distance", "z"):
            raise InputError(f"calibration: kind is {self.kind!r}, allowed: distance, z")

    def widened(self, lower_m: ArrayLike, upper_m: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """(lower, upper) as arrays, c wider on both sides; where c is negative they meet at
        most in their geometric mean."""
        lower, upper = np.asarray(lower_m, np.float64), np.asarray(upper_m, np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            c = np.fmax(self.widening, -np.log(upper / lower) / 2)  # fmax: 0 / 0 is no width
        return lower / np.exp(c), upper * np.exp(c)


def conformity(truth_m: ArrayLike, lower_m: ArrayLike, upper_m: ArrayLike) -> np.ndarray:
    """(N,) how far the truth lies outside [lower, upper] in log metres; negative: inside."""
    with np.errstate(divide="ignore"):
        lower, truth, upper = (np.log(np.asarray(m)) for m in (lower_m, truth_m, upper_m))
    return np.maximum(lower - truth, truth - upper)


def fewest_pictures(level: float = LEVEL) -> int:
    """How many pictures a finite answer needs: 9 for 90 %."""
    return int(np.ceil(round(level / (1 - level), 9)))


def fitted_widening(
    scores: np.ndarray, picture: np.ndarray, level: float = LEVEL
) -> tuple[float, tuple[float, float]]:
    """(c, (low, high)): the level-quantile of conformity scores (N,), finite-sample corrected.

    picture (N,): which picture each point belongs to. Each of K pictures weighs 1 / (K + 1),
    shared evenly by its points; the rest is the picture to come, whose score may be anything. At
    one point a picture this is the ceil((K + 1) level)-th smallest score of split conformal
    prediction. low, high: 95 % by bootstrap over pictures. Raises InputError for fewer pictures
    than `fewest_pictures`.
    """
    _, picture, counts = np.unique(picture, return_inverse=True, return_counts=True)
    if len(counts) < fewest_pictures(level):
        raise InputError(
            f"calibration needs {fewest_pictures(level)} pictures at least (200 or more give a"
            f" figure to rely on), got {len(counts)} with intervals"
        )
    order = np.argsort(scores, kind="stable")
    sorted_scores, picture = np.asarray(scores, np.float64)[order], picture[order]

    def quantile(times: np.ndarray) -> Any:
        reached = np.cumsum((times / counts)[picture]) / (len(counts) + 1)
        return sorted_scores[np.searchsorted(reached, level - 1e-9)]

    c = float(quantile(np.ones(len(counts))))
    return c, bootstrap_interval(quantile, len(counts))


class Measured(Protocol):
    """What fitted() needs of evaluate.Points: N labelled points and their intervals, (N,) each."""

    label_m: np.ndarray
    lower_m: np.ndarray
    upper_m: np.ndarray
    picture: np.ndarray

    def with_interval(self) -> "Measured":
        """Those whose interval is known."""

    def __len__(self) -> int: ...


def fitted(points: Measured, data: list[dict[str, str]], kind: str) -> Calibration:
    """The Calibration of evaluated points (see evaluate.Points) of kind `kind`, as measured.

    data: names and hashes of their files. Points without an interval are left out.
    """
    known = points.with_interval()
    scores = conformity(known.label_m, known.lower_m, known.upper_m)
    c, interval = fitted_widening(scores, known.picture)
    pictures = len(np.unique(known.picture))
    return Calibration(c, interval, LEVEL, kind, len(known), pictures, data)
