# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Does the interval mean something? Coverage, and what rejecting by its width gains.

All figures come with 95 % by bootstrap over pictures. Knows evaluated points (evaluate.Points)
and nothing of how they were asked.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from depthlm_ros.evaluation.metrics import bootstrap_interval, delta1, share_interval

BINS_M = (0, 1, 2, 4, 8, 16, np.inf)  # of the true distance
REJECTED = 0.2


@dataclass(frozen=True)
class Coverage:
    """Of some points: the share whose true value lies in [lower, upper], where that is known.

    group: which points. points: of them. known: with an interval. inside: the share, interval:
    95 % of it. log_width: median of log(upper / lower).
    """

    group: str
    points: int
    known: int
    inside: float
    interval: tuple
    log_width: float


@dataclass(frozen=True)
class Rejection:
    """delta1 of what is kept when a fifth of the answers is rejected.

    all: nothing rejected. by_width: those with the widest log(upper / lower). by_distance: those
    answered as the farthest. gain: by_width minus by_distance, gain_interval: 95 % of it.
    """

    all: float
    by_width: float
    by_distance: float
    gain: float
    gain_interval: tuple


@dataclass(frozen=True)
class Uncertainty:
    """coverage: of all points, by bin of true distance, by focal length. rejection: see there."""

    coverage: list
    rejection: Rejection


def uncertainty(points):
    """The Uncertainty of Points; None where no point has an interval."""
    if not len(points.with_interval()):
        return None
    groups = {"all": np.ones(len(points), bool), **distance_bins(points), **cameras(points)}
    coverage = [covered(name, points.where(chosen)) for name, chosen in groups.items()]
    return Uncertainty([row for row in coverage if row.points], rejection(points))


def distance_bins(points) -> dict:
    """name -> (N,) bool, by the true distance (or z, as labelled); empty ones are left out."""
    found = {}
    for low, high in pairwise(BINS_M):
        name = f"{low:g} to {high:g} m" if np.isfinite(high) else f"over {low:g} m"
        found[name] = (points.label_m > low) & (points.label_m <= high)
    return {name: chosen for name, chosen in found.items() if chosen.any()}


def cameras(points) -> dict:
    """name -> (N,) bool: three groups of the pictures by focal length, fewer if they are equal."""
    first = np.unique(points.picture, return_index=True)[1]
    edges = np.unique(np.quantile(points.focal_px[first], [0, 1 / 3, 2 / 3, 1]))
    group = np.searchsorted(edges[1:-1], points.focal_px, side="right")
    found = [group == number for number in np.unique(group)]
    return {_camera_name(points.focal_px[chosen]): chosen for chosen in found}


def _camera_name(focal_px) -> str:
    return f"fx {focal_px.min():.0f} to {focal_px.max():.0f} px"


def covered(name, points) -> Coverage:
    """The Coverage of Points."""
    known = points.with_interval()
    inside = (known.lower_m <= known.label_m) & (known.label_m <= known.upper_m)
    total = len(known)
    return Coverage(
        group=name,
        points=len(points),
        known=total,
        inside=float(inside.mean()) if total else np.nan,
        interval=share_interval(*_by_picture(known.picture, inside)),
        log_width=float(np.median(_log_width(known))) if total else np.nan,
    )


def _by_picture(picture, hit):
    """(hits, counts) of each picture that has a point."""
    _, picture = np.unique(picture, return_inverse=True)
    return np.bincount(picture, hit), np.bincount(picture)


def _log_width(points) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(points.upper_m / points.lower_m)


def rejection(points) -> Rejection:
    """The Rejection of Points; what has no answer or no interval is rejected first."""
    hit = delta1(points.told_m, points.label_m)
    by_width = np.argsort(np.nan_to_num(_log_width(points), nan=np.inf), kind="stable")
    by_distance = np.argsort(np.nan_to_num(points.told_m, nan=np.inf), kind="stable")
    _, picture = np.unique(points.picture, return_inverse=True)

    def kept(order, times):
        """delta1 of the first four fifths in `order`, each picture taken `times` over."""
        weight = times[picture[order]]
        taken = np.clip((1 - REJECTED) * weight.sum() - (np.cumsum(weight) - weight), 0, weight)
        return taken @ hit[order] / taken.sum()

    def gain(times):
        return kept(by_width, times) - kept(by_distance, times)

    pictures = picture.max() + 1
    once = np.ones(pictures)
    return Rejection(
        all=float(hit.mean()),
        by_width=float(kept(by_width, once)),
        by_distance=float(kept(by_distance, once)),
        gain=float(gain(once)),
        gain_interval=bootstrap_interval(gain, pictures),
    )


def table(found: Uncertainty) -> list:
    """Lines for reading."""
    return [
        "90 % intervals         points  true value inside   (95 %)        median log(upper/lower)",
        *(_coverage_line(row) for row in found.coverage),
        "",
        *_rejection_lines(found.rejection),
    ]


def _coverage_line(row) -> str:
    low, high = row.interval
    unknown = f"   {row.points - row.known} without" if row.known < row.points else ""
    return (
        f"{row.group:<22}{row.points:>7}{row.inside:>12.3f}       {low:.3f} to {high:.3f}"
        f"{row.log_width:>18.2f}{unknown}"
    )


def _rejection_lines(found):
    low, high = found.gain_interval
    sure = f"({low:+.3f} to {high:+.3f})"
    yield f"delta1 of all answers                         {found.all:.3f}"
    yield f"  without the fifth with the widest interval  {found.by_width:.3f}"
    yield f"  without the farthest fifth                  {found.by_distance:.3f}"
    yield f"  width minus distance                       {found.gain:+.3f} {sure}"
