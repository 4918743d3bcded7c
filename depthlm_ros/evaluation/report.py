# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Evaluated points -> a report, as a table and as JSON.

Every failure counts as wrong. Each answer is scored twice: as published, the model's number
against the label as they come, and physically right, converted by the camera to the label's kind.
Each is read twice where the model gives a distribution: its greedy digits and its median.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from depthlm_ros.data.records import KINDS, strict_json
from depthlm_ros.evaluation.evaluate import ConstantAnswers
from depthlm_ros.evaluation.metrics import (
    Measures,
    best_constant,
    delta1,
    mean_of,
    measure,
    share_interval,
)
from depthlm_ros.evaluation.published import published
from depthlm_ros.evaluation.uncertainty import Uncertainty, distance_bins, table, uncertainty
from depthlm_ros.ranges import Status


@dataclass(frozen=True)
class Scores:
    """pooled: over all points (DepthLM). by_picture: mean over pictures (DepthVLM).

    interval, by_picture_interval: 95 % of their delta1, by bootstrap over pictures.
    """

    pooled: Measures
    interval: tuple
    by_picture: Measures
    by_picture_interval: tuple


@dataclass(frozen=True)
class Reading:
    """The Scores of one way to read the replies, in the labels' kind and as published."""

    right: Scores
    published: Scores


@dataclass(frozen=True)
class Bin:
    """The told answers to the points of one bin of true distance; interval: 95 % of delta1."""

    group: str
    measures: Measures
    interval: tuple


@dataclass(frozen=True)
class Report:
    """What there is to say about answered points.

    label_kind: of the records, "not stated" where nobody says. answer_kind: the kind that the
    model speaks. report: the reading that it gives, "greedy" | "median". seconds: spent, reading
    pictures included. right, published: Scores of what it gives; readings: of either reading.
    failures: how often each status but OK. best_constant_m, best_constant_delta1: the best single
    answer with hindsight. elsewhere: what others have published for the dataset.
    """

    name: str
    pictures: int
    label_kind: str
    answer_kind: str
    report: str
    seconds: float
    right: Scores
    published: Scores
    readings: dict
    failures: dict
    bins: list
    best_constant_m: float
    best_constant_delta1: float
    uncertainty: Uncertainty | None
    elsewhere: list

    def to_json(self) -> str:
        """All of it; null where a figure is not defined."""
        return strict_json(asdict(self))

    def table(self) -> str:
        """All of it for reading."""
        return "\n".join(_lines(self))


def report_on(points, answerer, seconds, dataset="") -> Report:
    """The Report of an answerer's Points; dataset: one of published.DATASETS, or ""."""
    told = _reading(points, points.told_m)
    constant_m, constant = best_constant(points.label_m)
    return Report(
        name=answerer.name,
        pictures=len(np.unique(points.picture)),
        label_kind=points.label_kind,
        answer_kind=points.answer_kind,
        report=answerer.report,
        seconds=seconds,
        right=told.right,
        published=told.published,
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
    numbers = np.unique(points.picture)
    ends = np.searchsorted(points.picture, [*numbers, np.inf])
    parts = [slice(*pair) for pair in pairwise(ends)]
    each = [measure(metres[p], points.label_m[p], askable[p]) for p in parts]
    shares, counts = [m.delta1 for m in each], [m.points for m in each]
    return Scores(
        pooled=measure(metres, points.label_m, askable),
        interval=share_interval(np.multiply(shares, counts), counts),
        by_picture=mean_of(each),
        by_picture_interval=share_interval(shares, np.ones(len(each))),
    )


def _failures(points) -> dict:
    counts = {status.name: int((points.status == status).sum()) for status in Status}
    return {name: count for name, count in counts.items() if count and name != "OK"}


def _bins(points) -> list:
    return [_bin(name, points.where(part)) for name, part in distance_bins(points).items()]


def _bin(name, points) -> Bin:
    _, picture = np.unique(points.picture, return_inverse=True)
    hits = np.bincount(picture, delta1(points.told_m, points.label_m))
    return Bin(
        name,
        measure(points.told_m, points.label_m, points.askable),
        share_interval(hits, np.bincount(picture)),
    )


def _lines(report):
    """The table."""
    counts = report.right.pooled
    yield f"{report.name}: {counts.points} points of {report.pictures} pictures"
    yield f"labels: {report.label_kind}, answers: {report.answer_kind}, {report.seconds:.1f} s"
    yield ""
    yield from _score_lines(report)
    title = f"best constant, with hindsight: {report.best_constant_m:.2f} m"
    yield f"{title:<42}{report.best_constant_delta1:8.4f}"
    yield ""
    yield from _legend(report)
    yield ""
    yield from _bin_lines(report)
    if report.uncertainty:
        yield ""
        yield from table(report.uncertainty)
    if report.elsewhere:
        yield ""
        yield from _elsewhere_lines(report)


_HEAD = f"{'delta1':>8}{'(95 %)':>18}{'answered':>10}{'askable':>9}{'AbsRel':>8}{'RMSE m':>8}"


def _score_lines(report):
    against = f"against {report.label_kind}" if report.label_kind in KINDS else "against labels"
    unlike = report.answer_kind not in (report.label_kind, ConstantAnswers.kind)
    yield f"{'':42}{_HEAD}"
    only = {"": Reading(report.right, report.published)}
    for name, reading in (report.readings or only).items():
        mark = f"{name}{'*' if name == report.report else ''}, " if name else ""
        yield from _score_pair(f"{mark}{against}", reading.right)
        if unlike:
            yield from _score_pair(f"{mark}as published ({report.answer_kind})", reading.published)


def _score_pair(title, scores):
    yield _row(f"{title}, pooled", scores.pooled, scores.interval)
    yield _row("  mean of pictures", scores.by_picture, scores.by_picture_interval)


def _row(title, m, interval) -> str:
    low, high = interval
    return (
        f"{title:<42}{m.delta1:8.4f}{f'{low:.3f} to {high:.3f}':>18}{m.delta1_answered:10.4f}"
        f"{m.delta1_askable:9.4f}{m.abs_rel:8.3f}{m.rmse_m:8.3f}"
    )


def _legend(report):
    m = report.right.pooled
    failures = ", ".join(f"{count} {name}" for name, count in report.failures.items()) or "none"
    yield f"delta1    among all {m.points} points, {m.points - m.answered} failures wrong"
    yield f"answered  delta1 among the {m.answered} with an answer, failures dropped"
    yield f"askable   delta1 among the {m.askable} that could be asked at their own pixel"
    yield f"(95 %)    by bootstrap over pictures; not OK: {failures}"
    if report.readings:
        yield "*         the reading that the checkpoint's row asks for"


def _bin_lines(report):
    yield f"{'by true distance':<42}{_HEAD}"
    for row in report.bins:
        yield _row(f"{row.group} ({row.measures.points} points)", row.measures, row.interval)


def _elsewhere_lines(report):
    yield "published, not measured here (other pictures, points and kinds; see each source)"
    for row in report.elsewhere:
        yield f"{row['model']:<20}{row['delta1']:8.3f}   {row['source']}"
