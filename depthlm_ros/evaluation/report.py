# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Evaluated points -> a report, as a table and as JSON.

Every failure counts as wrong. Each answer is scored twice: as published, the model's number
against the label as they are, and physically right, converted by the camera to the label's kind.
Each is read twice where the model gives a distribution: its greedy digits and its median.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from depthlm_ros.data.records import KINDS, strict_json
from depthlm_ros.evaluation.evaluate import Answerer, ConstantAnswers, Points
from depthlm_ros.evaluation.metrics import (
    DELTA1_RATIO,
    Measures,
    best_constant,
    delta1,
    mean_of,
    measure,
    share_interval,
)
from depthlm_ros.evaluation.published import published
from depthlm_ros.evaluation.uncertainty import (
    Uncertainty,
    distance_bins,
    tables,
    uncertainty,
)
from depthlm_ros.ranges import Status
from depthlm_ros.viz.tables import text_table


@dataclass(frozen=True)
class Scores:
    """The measures of one way to read and compare the answers.

    pooled: over all points (as DepthLM does).
    interval: 95 % of its delta1, by bootstrap over scenes.
    by_image: mean over images (as DepthVLM does).
    by_image_interval: 95 % of its delta1.
    """

    pooled: Measures
    interval: tuple[float, float]
    by_image: Measures
    by_image_interval: tuple[float, float]


@dataclass(frozen=True)
class Reading:
    """The Scores of one way to read the replies, in the labels' kind and as published."""

    right: Scores
    published: Scores


@dataclass(frozen=True)
class Bin:
    """The answers to the points of one bin of true distance.

    group: which bin.
    measures: of its points.
    interval: 95 % of delta1.
    """

    group: str
    measures: Measures
    interval: tuple[float, float]


@dataclass(frozen=True)
class Report:
    """The figures of an evaluation.

    name: of the answerer.
    images: how many.
    scenes: how many the intervals are drawn over; an image that names none is one.
    label_kind: of the records, "not stated" where they do not say.
    answer_kind: the kind that the model answers in.
    report: the reading that the checkpoint uses, "greedy" | "median".
    seconds: duration, reading images included.
    right, published: Scores of that reading.
    readings: name -> Reading of each reading.
    failures: how often each status except OK occurred.
    bins: by true distance.
    best_constant_m, best_constant_delta1: the best single answer with hindsight.
    uncertainty: of the intervals, None where there are none.
    elsewhere: what others have published for the data set.
    """

    name: str
    images: int
    scenes: int
    label_kind: str
    answer_kind: str
    report: str
    seconds: float
    right: Scores
    published: Scores
    readings: dict[str, Reading]
    failures: dict[str, int]
    bins: list[Bin]
    best_constant_m: float
    best_constant_delta1: float
    uncertainty: Uncertainty | None
    elsewhere: list[dict]

    def to_json(self) -> str:
        """All of it; null where a figure is not defined."""
        return strict_json(asdict(self))

    def table(self) -> str:
        """All of it for reading, as text."""
        return "\n\n".join(_sections(self))


def report_on(points: Points, answerer: Answerer, seconds: float, dataset: str = "") -> Report:
    """The Report of an answerer's Points; dataset: one of published.DATASETS, or ""."""
    reading = _reading(points, points.answer_m)
    constant_m, constant = best_constant(points.label_m)
    return Report(
        name=answerer.name,
        images=len(np.unique(points.image)),
        scenes=len(np.unique(points.scene)),
        label_kind=points.label_kind,
        answer_kind=points.answer_kind,
        report=answerer.report,
        seconds=seconds,
        right=reading.right,
        published=reading.published,
        readings=_readings(points),
        failures=_failures(points),
        bins=_bins(points),
        best_constant_m=constant_m,
        best_constant_delta1=constant,
        uncertainty=uncertainty(points),
        elsewhere=published(dataset) if dataset else [],
    )


def _readings(points) -> dict:
    """greedy, and median where a distribution was read."""
    columns = {"greedy": points.greedy_m, "median": points.median_m}
    if not np.isfinite(points.lower_m).any():
        del columns["median"]
    return {
        name: _reading(points, column)
        for name, column in columns.items()
        if np.isfinite(column).any()
    }


def _reading(points, metres) -> Reading:
    return Reading(_scores(points, metres), _scores(points, metres * points.stretch))


def _scores(points, metres) -> Scores:
    askable = points.askable
    numbers, first = np.unique(points.image, return_index=True)
    scene = points.scene[first]
    ends = np.searchsorted(points.image, [*numbers, np.inf])
    parts = [slice(*pair) for pair in pairwise(ends)]
    each = [measure(metres[p], points.label_m[p], askable[p]) for p in parts]
    shares, counts = [m.delta1 for m in each], [m.points for m in each]
    return Scores(
        pooled=measure(metres, points.label_m, askable),
        interval=share_interval(np.multiply(shares, counts), counts, scene),
        by_image=mean_of(each),
        by_image_interval=share_interval(shares, np.ones(len(each)), scene),
    )


def _failures(points) -> dict:
    counts = {status.name: int((points.status == status).sum()) for status in Status}
    return {name: count for name, count in counts.items() if count and name != "OK"}


def _bins(points) -> list:
    return [_bin(name, points.where(part)) for name, part in distance_bins(points).items()]


def _bin(name, points) -> Bin:
    hits = delta1(points.answer_m, points.label_m)
    return Bin(
        name,
        measure(points.answer_m, points.label_m, points.askable),
        share_interval(hits, np.ones(len(hits)), points.scene),
    )


_MEASURES = ("delta1", "(95 %)", "answered", "askable", "AbsRel", "RMSE m")


def _sections(report):
    """The parts of the text: heading, scores, their legend, bins, intervals, published figures."""
    counts = report.right.pooled
    yield (
        f"{report.name}: {counts.points} points of {report.images} images\n"
        f"labels: {report.label_kind}, answers: {report.answer_kind}, {report.seconds:.1f} s"
    )
    yield text_table(("", *_MEASURES), _score_rows(report))
    yield "\n".join(_legend(report))
    if report.bins:
        rows = (
            (
                f"{part.group} ({part.measures.points} points)",
                *_cells(part.measures, part.interval),
            )
            for part in report.bins
        )
        yield text_table(("by true distance", *_MEASURES), rows)
    if report.uncertainty:
        yield tables(report.uncertainty)
    if report.elsewhere:
        yield _elsewhere(report)


def _score_rows(report):
    against = f"against {report.label_kind}" if report.label_kind in KINDS else "against labels"
    unlike = report.answer_kind not in (report.label_kind, ConstantAnswers.kind)
    only = {"": Reading(report.right, report.published)}
    for name, reading in (report.readings or only).items():
        mark = f"{name}{'*' if name == report.report else ''}, " if name else ""
        yield from _score_pair(f"{mark}{against}", reading.right)
        if unlike:
            yield from _score_pair(f"{mark}as published ({report.answer_kind})", reading.published)
    title = f"best constant, with hindsight: {report.best_constant_m:.2f} m"
    yield title, f"{report.best_constant_delta1:.4f}", *[""] * (len(_MEASURES) - 1)


def _score_pair(title, scores):
    yield f"{title}, pooled", *_cells(scores.pooled, scores.interval)
    yield "  mean of images", *_cells(scores.by_image, scores.by_image_interval)


def _cells(m, interval):
    low, high = interval
    return (
        f"{m.delta1:.4f}",
        f"{low:.3f} to {high:.3f}",
        f"{m.delta1_answered:.4f}",
        f"{m.delta1_askable:.4f}",
        f"{m.abs_rel:.3f}",
        f"{m.rmse_m:.3f}",
    )


def _legend(report):
    m = report.right.pooled
    failures = ", ".join(f"{count} {name}" for name, count in report.failures.items()) or "none"
    failed = m.points - m.answered
    yield f"delta1    share of all {m.points} points answered within a factor of {DELTA1_RATIO};"
    yield f"          {failed} failures count as wrong"
    yield f"answered  delta1 of the {m.answered} points with an answer, without failures"
    yield f"askable   delta1 of the {m.askable} points that could be asked at their own pixel"
    drawn = "images" if report.scenes == report.images else f"{report.scenes} scenes"
    yield f"(95 %)    by bootstrap over {drawn}; status other than OK: {failures}"
    yield "AbsRel    mean of |answer - label| / label; RMSE: root of the mean squared error;"
    yield "          both of points with an answer"
    yield "pooled    every point counts alike; in a mean of images every image does"
    if report.readings:
        yield "greedy    the digits that the model says; median: the middle of their distribution;"
        yield "          *: the one that the checkpoint answers with"


def _elsewhere(report):
    return text_table(
        ("published, not measured here", "delta1", "source (other images, points and kinds)"),
        [(one["model"], f"{one['delta1']:.3f}", one["source"]) for one in report.elsewhere],
        left=(0, 2),
    )
