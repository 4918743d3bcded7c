# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How good are N answers? delta1, AbsRel, RMSE, and how sure a figure is.

Plain arrays of metres, whatever their kind.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

DELTA1_RATIO = 1.25
RESAMPLES = 1000  # of a bootstrap


def delta1(answer_m, label_m) -> np.ndarray:
    """(N,) bool: larger / smaller strictly below 1.25 (DepthLM, section 4).

    An answer that is missing (NaN), zero or negative is wrong. The published scorer took two
    negative ratios for a hit.
    """
    answer_m, label_m = np.asarray(answer_m, np.float64), np.asarray(label_m, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.maximum(answer_m / label_m, label_m / answer_m)
    return (answer_m > 0) & (ratio < DELTA1_RATIO)


@dataclass(frozen=True)
class Measures:
    """The measures of some points; shares in [0, 1], NaN where nothing can be counted.

    points, answered, askable: how many.
    delta1: among all points, failures wrong.
    delta1_answered: without failures (the denominator of VLM3's notebook).
    delta1_askable: without points that no marker can be drawn at (that of DepthLM's scorer).
    abs_rel: mean of |answer - label| / label, among answered points.
    rmse_m: metres, among answered points.
    """

    points: int
    answered: int
    askable: int
    delta1: float
    delta1_answered: float
    delta1_askable: float
    abs_rel: float
    rmse_m: float


def measure(answer_m, label_m, askable) -> Measures:
    """Measures of answers (N,), NaN where there is none, against labels (N,).

    askable (N,) bool: whether the question could be put at the labelled pixel itself.
    """
    answer_m, label_m = np.asarray(answer_m, np.float64), np.asarray(label_m, np.float64)
    askable = np.asarray(askable, bool)
    hit, answered = delta1(answer_m, label_m), np.isfinite(answer_m)
    error = (answer_m - label_m)[answered]
    return Measures(
        points=len(label_m),
        answered=int(answered.sum()),
        askable=int(askable.sum()),
        delta1=_mean(hit),
        delta1_answered=_mean(hit[answered]),
        delta1_askable=_mean(hit[askable]),
        abs_rel=_mean(np.abs(error) / label_m[answered]),
        rmse_m=float(np.sqrt(_mean(error**2))),
    )


def mean_of(measures: Iterable[Measures]) -> Measures:
    """Counts added up, everything else averaged: the mean over images (as DepthVLM does)."""
    measures = list(measures)
    columns = {f.name: [getattr(m, f.name) for m in measures] for f in fields(Measures)}
    return Measures(
        **{
            name: sum(values) if name in ("points", "answered", "askable") else known_mean(values)
            for name, values in columns.items()
        }
    )


def best_constant(label_m) -> tuple[float, float]:
    """(metres, delta1) of the one answer that is right most often, with hindsight."""
    label_m = np.asarray(label_m, np.float64)
    if not len(label_m):
        return float("nan"), float("nan")
    candidates = np.geomspace(label_m.min(), label_m.max(), 400)
    shares = [delta1(np.full(len(label_m), c), label_m).mean() for c in candidates]
    return float(candidates[np.argmax(shares)]), float(max(shares))


def scene_numbers(scenes: Sequence[str]) -> np.ndarray:
    """(N,) the number, from 0, of the scene that each image is of.

    Images that name none ("") are scenes of their own; so are all where they name but one, since
    an interval over a single scene cannot be had.
    """
    own = len(set(scenes)) < 2
    names = [("", n) if own or not scene else (scene, 0) for n, scene in enumerate(scenes)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.intp)


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float], scenes: int
) -> tuple[float, float]:
    """(low, high): the middle 95 % of a statistic over resamples of whole scenes.

    statistic(times): a number; times (scenes,) says how often each scene was drawn. Points of one
    image are alike, and images of one scene, so scenes are drawn. NaN for fewer than two.
    """
    if scenes < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(0)
    draws = (rng.integers(scenes, size=scenes) for _ in range(RESAMPLES))
    found = [statistic(np.bincount(drawn, minlength=scenes)) for drawn in draws]
    known = [value for value in found if not np.isnan(value)]
    return tuple(np.quantile(known, [0.025, 0.975]).tolist()) if known else (np.nan, np.nan)


def share_interval(
    hits: ArrayLike, counts: ArrayLike, scene: ArrayLike | None = None
) -> tuple[float, float]:
    """bootstrap_interval of sum(hits) / sum(counts), both (N,) of points, images or scenes.

    scene: (N,) the number of the scene of each; None where each is a scene.
    """
    hits, counts = np.asarray(hits, np.float64), np.asarray(counts, np.float64)
    if scene is not None:
        _, scene = np.unique(np.asarray(scene), return_inverse=True)
        hits, counts = np.bincount(scene, hits), np.bincount(scene, counts)

    def share(times):
        total = times @ counts
        return times @ hits / total if total else np.nan

    return bootstrap_interval(share, len(counts))


def known_mean(values: ArrayLike) -> float:
    """The mean of the finite ones of values (N,); NaN where there is none."""
    values = np.asarray(values, np.float64)
    return _mean(values[np.isfinite(values)])


def _mean(values) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
