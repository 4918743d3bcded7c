# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Does the interval mean something? Coverage, and what rejecting by its width gains.

All figures come with 95 % by bootstrap over scenes.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from depthlm_ros.evaluation.evaluate import Points
from depthlm_ros.evaluation.metrics import (
    best_constant,
    bootstrap_interval,
    delta1,
    share_interval,
)
from depthlm_ros.ranges import is_uncertain
from depthlm_ros.viz.tables import text_table

BINS_M = (0, 1, 2, 4, 8, 16, np.inf)  # of the true distance
REJECTED = 0.2


@dataclass(frozen=True)
class Coverage:
    """Of some points: the share whose true value lies in [lower, upper], where that is known.

    group: which points.
    points: how many.
    known: how many of them have an interval.
    inside: the share.
    interval: 95 % of it.
    log_width: median of log(upper / lower).
    """

    group: str
    points: int
    known: int
    inside: float
    interval: tuple[float, float]
    log_width: float


@dataclass(frozen=True)
class Rejection:
    """delta1 of what is kept when a fifth of the answers is rejected.

    all: nothing rejected.
    by_width: the fifth with the widest log(upper / lower) rejected.
    by_distance: the fifth answered as the farthest rejected.
    gain: by_width minus by_distance.
    gain_interval: 95 % of it.
    """

    all: float
    by_width: float
    by_distance: float
    gain: float
    gain_interval: tuple[float, float]


@dataclass(frozen=True)
class Flagged:
    """What the flag `uncertain` is worth on some points.

    share: of the points that are uncertain.
    uncertain, others: delta1 of them and of the others, NaN where there are none; each with 95 %.
    constant: delta1 of the best constant for the uncertain ones, with hindsight.
    """

    share: float
    uncertain: float
    uncertain_interval: tuple[float, float]
    others: float
    others_interval: tuple[float, float]
    constant: float


def flagged(points: Points, unknown_ratio: float) -> Flagged:
    """The Flagged of Points whose intervals are calibrated; see Calibration.unknown_ratio."""
    unsure = is_uncertain(points.lower_m, points.upper_m, unknown_ratio)
    sides = [(points.where(part)) for part in (unsure, ~unsure)]
    hits = [delta1(side.answer_m, side.label_m) for side in sides]
    shares = [float(hit.mean()) if len(hit) else np.nan for hit in hits]
    intervals = [
        share_interval(hit, np.ones(len(hit)), side.scene)
        for side, hit in zip(sides, hits, strict=True)
    ]
    return Flagged(
        share=float(unsure.mean()),
        uncertain=shares[0],
        uncertain_interval=intervals[0],
        others=shares[1],
        others_interval=intervals[1],
        constant=best_constant(sides[0].label_m)[1],
    )


@dataclass(frozen=True)
class Uncertainty:
    """What intervals are worth.

    coverage: of all points, by bin of true distance, by focal length.
    rejection: what rejecting the widest gains.
    """

    coverage: list[Coverage]
    rejection: Rejection


def uncertainty(points: Points) -> Uncertainty | None:
    """The Uncertainty of Points; None where no point has an interval."""
    if not len(points.with_interval()):
        return None
    groups = {"all": np.ones(len(points), bool), **distance_bins(points), **cameras(points)}
    coverage = [covered(name, points.where(chosen)) for name, chosen in groups.items()]
    return Uncertainty([group for group in coverage if group.points], rejection(points))


def distance_bins(points: Points) -> dict[str, np.ndarray]:
    """name -> (N,) bool, by the true distance (or z, as labelled); empty ones are left out."""
    found = {}
    for low, high in pairwise(BINS_M):
        name = f"{low:g} to {high:g} m" if np.isfinite(high) else f"over {low:g} m"
        found[name] = (points.label_m > low) & (points.label_m <= high)
    return {name: chosen for name, chosen in found.items() if chosen.any()}


def cameras(points: Points) -> dict[str, np.ndarray]:
    """name -> (N,) bool: the images of each focal length; of more than three lengths three groups
    that hold about as many images each."""
    starts = np.unique(points.focal_px)
    if len(starts) > 3:
        first = np.unique(points.image, return_index=True)[1]
        starts = np.unique(np.quantile(points.focal_px[first], [0, 1 / 3, 2 / 3]))
    group = np.searchsorted(starts[1:], points.focal_px, side="right")
    found = [group == number for number in np.unique(group)]
    ends = [(points.focal_px[one].min(), points.focal_px[one].max()) for one in found]
    for decimals in range(9):  # as few as tell them apart
        names = [f"fx {low:.{decimals}f} to {high:.{decimals}f} px" for low, high in ends]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, found, strict=True))


def covered(name: str, points: Points) -> Coverage:
    """The Coverage of Points, called `name`."""
    known = points.with_interval()
    inside = (known.lower_m <= known.label_m) & (known.label_m <= known.upper_m)
    total = len(known)
    return Coverage(
        group=name,
        points=len(points),
        known=total,
        inside=float(inside.mean()) if total else np.nan,
        interval=share_interval(inside, np.ones(total), known.scene),
        log_width=float(np.median(_log_width(known))) if total else np.nan,
    )


def _log_width(points) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(points.upper_m / points.lower_m)


def rejection(points: Points) -> Rejection:
    """The Rejection of Points; those without an answer or an interval are rejected first."""
    hit = delta1(points.answer_m, points.label_m)
    by_width = np.argsort(np.nan_to_num(_log_width(points), nan=np.inf), kind="stable")
    by_distance = np.argsort(np.nan_to_num(points.answer_m, nan=np.inf), kind="stable")
    _, scene = np.unique(points.scene, return_inverse=True)

    def kept(order, times):
        """delta1 of the first four fifths in `order`, each scene taken `times` over."""
        weight = times[scene[order]]
        taken = np.clip((1 - REJECTED) * weight.sum() - (np.cumsum(weight) - weight), 0, weight)
        return taken @ hit[order] / taken.sum()

    def gain(times):
        return kept(by_width, times) - kept(by_distance, times)

    scenes = scene.max() + 1
    once = np.ones(scenes)
    return Rejection(
        all=float(hit.mean()),
        by_width=float(kept(by_width, once)),
        by_distance=float(kept(by_distance, once)),
        gain=float(gain(once)),
        gain_interval=bootstrap_interval(gain, scenes),
    )


def tables(found: Uncertainty) -> str:
    """Coverage and rejection for reading."""
    rejection = found.rejection
    low, high = rejection.gain_interval
    coverage = text_table(
        ("90 % intervals", "points", "true value inside", "(95 %)", "median log(upper/lower)", ""),
        [_cells(group) for group in found.coverage],
    )
    gains = text_table(
        ("rejected", "delta1 of the others", "(95 %)"),
        [
            ("none", f"{rejection.all:.3f}", ""),
            ("the fifth with the widest interval", f"{rejection.by_width:.3f}", ""),
            ("the farthest fifth", f"{rejection.by_distance:.3f}", ""),
            ("width minus distance", f"{rejection.gain:+.3f}", f"{low:+.3f} to {high:+.3f}"),
        ],
    )
    return f"{coverage}\n\n{gains}"


def _cells(group):
    low, high = group.interval
    return (
        group.group,
        str(group.points),
        f"{group.inside:.3f}",
        f"{low:.3f} to {high:.3f}",
        f"{group.log_width:.2f}",
        f"{group.points - group.known} without" if group.known < group.points else "",
    )
