# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records x predictor -> report.

Every failure counts as wrong. Each answer is scored twice: as published, the model's number
against the label as they come, and physically right, converted by the camera to the label's kind.
Knows nothing about how a predictor answers, nor about files.
"""

import time
from dataclasses import asdict, dataclass

import numpy as np

from depthlm_ros.metrics import Measures, mean_of, measure
from depthlm_ros.predict import Status
from depthlm_ros.records import KINDS, strict_json


@dataclass(frozen=True)
class Answers:
    """Answers to the N points of one record, NaN where there is none.

    published_m (N,): in the kind that the model speaks. right_m (N,): in the kind of the labels.
    askable (N,) bool: asked at the labelled pixel itself.
    """

    published_m: np.ndarray
    right_m: np.ndarray
    askable: np.ndarray


@dataclass(frozen=True)
class Scores:
    """pooled: over all points (DepthLM). by_picture: mean over pictures (DepthVLM)."""

    pooled: Measures
    by_picture: Measures


@dataclass(frozen=True)
class Report:
    """What evaluate() found. label_kind: of the records, "not stated" where nobody says.

    answer_kind: the kind that the model speaks. seconds: spent, reading pictures included.
    """

    name: str
    pictures: int
    label_kind: str
    answer_kind: str
    seconds: float
    published: Scores
    right: Scores

    def to_json(self) -> str:
        """All of it; null where a figure is not defined."""
        return strict_json(asdict(self))

    def table(self) -> str:
        """All of it for reading."""
        counts = self.right.pooled
        lines = [
            f"{self.name}: {counts.points} points of {self.pictures} pictures",
            f"labels: {self.label_kind}, answers: {self.answer_kind}, {self.seconds:.1f} s",
            "",
            f"{'':34}{'delta1':>8}{'answered':>10}{'askable':>9}{'AbsRel':>8}{'RMSE m':>8}",
            *_rows(self._right_title(), self.right),
        ]
        if self.answer_kind not in (self.label_kind, ConstantAnswers.kind):
            lines += _rows(f"as published ({self.answer_kind})", self.published)
        return "\n".join([*lines, "", *_legend(counts)])

    def _right_title(self) -> str:
        return f"against {self.label_kind}" if self.label_kind in KINDS else "against the labels"


def _rows(title, scores):
    """Two lines of the table."""
    for name, m in ((f"{title}, pooled", scores.pooled), ("mean of pictures", scores.by_picture)):
        yield (
            f"{name:<34}{m.delta1:8.4f}{m.delta1_answered:10.4f}{m.delta1_askable:9.4f}"
            f"{m.abs_rel:8.3f}{m.rmse_m:8.3f}"
        )


def _legend(m):
    yield f"delta1    among all {m.points} points, {m.points - m.answered} failures wrong"
    yield f"answered  delta1 among the {m.answered} with an answer, failures dropped"
    yield f"askable   delta1 among the {m.askable} that could be asked at their own pixel"


def evaluate(records, answerer, progress=None) -> Report:
    """The Report of an answerer (PredictorAnswers, ConstantAnswers) on records.

    progress(pictures): called after each. Raises RecordError or ImageError.
    """
    begin, answers, labels, kinds = time.monotonic(), [], [], set()
    for record in records:
        answers.append(answerer(record))
        labels.append(record.label_m)
        kinds.add(record.kind or "not stated")
        if progress:
            progress(len(labels))
    return Report(
        name=answerer.name,
        pictures=len(labels),
        label_kind=" and ".join(sorted(kinds)),
        answer_kind=answerer.kind,
        seconds=time.monotonic() - begin,
        published=_scores([a.published_m for a in answers], labels, [a.askable for a in answers]),
        right=_scores([a.right_m for a in answers], labels, [a.askable for a in answers]),
    )


def _scores(answers, labels, askable) -> Scores:
    joined = (np.concatenate(part or [[]]) for part in (answers, labels, askable))
    each = [measure(*picture) for picture in zip(answers, labels, askable, strict=True)]
    return Scores(pooled=measure(*joined), by_picture=mean_of(each))


class PredictorAnswers:
    """Asks a predictor; the labels' kind must be known."""

    def __init__(self, predictor, style: str = ""):
        self._predictor = predictor
        self._style = style
        self.kind = predictor.checkpoint.kind
        self.name = f"{predictor.checkpoint.name} ({style or predictor.checkpoint.style})"

    def __call__(self, record) -> Answers:
        label_kind = record.stated_kind()
        ranges = self._predictor.ranges(record.frame(), record.pixels, self._style)
        metres = {"distance": ranges.distance_m, "z": ranges.z_m}
        not_askable = np.isin(ranges.status, (Status.SNAPPED, Status.OUTSIDE, Status.INVALID))
        return Answers(metres[self.kind], metres[label_kind], ~not_askable)


class ConstantAnswers:
    """The same number for every point: what a model must beat.

    It is meant in the labels' kind, whichever that is, so none has to be stated.
    """

    kind = "as labelled"

    def __init__(self, metres: float):
        self._metres = metres
        self.name = f"constant {metres:g} m"

    def __call__(self, record) -> Answers:
        same = np.full(len(record), self._metres)
        return Answers(same, same, np.ones(len(record), bool))
