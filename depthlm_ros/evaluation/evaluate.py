# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records x answerer -> Points: every labelled point with what was answered.

An answerer is a predictor, a constant, or either with its answers kept in a file. Knows nothing
about how a predictor answers, nor what is made of the points (report.py, calibration.py).
"""

from dataclasses import dataclass, fields

import numpy as np

from depthlm_ros.ranges import Status


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers to the N points of one record, all (N,); metres of the labels' kind, NaN: none.

    told_m: what the predictor answers. greedy_m, median_m: the digits as published, and the
    median of their distribution (both NaN where there are none). lower_m, upper_m: its 90 %
    interval. stretch: times this a metre is one of the kind that the model speaks. status: see
    ranges.Status.
    """

    told_m: np.ndarray
    greedy_m: np.ndarray
    median_m: np.ndarray
    lower_m: np.ndarray
    upper_m: np.ndarray
    stretch: np.ndarray
    status: np.ndarray


@dataclass(frozen=True, eq=False)
class Points(Answers):
    """The points of all pictures, end to end.

    label_m: the truth. picture: number of the picture. focal_px: of its camera (fx).
    label_kind: "distance" | "z" | "not stated", or several. answer_kind: what the model speaks.
    """

    label_m: np.ndarray
    picture: np.ndarray
    focal_px: np.ndarray
    label_kind: str
    answer_kind: str

    def __len__(self):
        return len(self.label_m)

    def where(self, chosen) -> "Points":
        """Some of them: chosen (N,) bool."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return Points(
            **{n: v[chosen] if isinstance(v, np.ndarray) else v for n, v in columns.items()}
        )

    def with_interval(self) -> "Points":
        """Those whose interval is known."""
        return self.where(np.isfinite(self.lower_m) & np.isfinite(self.upper_m))

    @property
    def askable(self) -> np.ndarray:
        """(N,) bool: asked at the labelled pixel itself."""
        return ~np.isin(self.status, (Status.SNAPPED, Status.OUTSIDE, Status.INVALID))


def evaluate(records, answerer, progress=None) -> Points:
    """The Points of records, asked one picture at a time.

    progress(pictures): called after each. Raises RecordError or the engine's error.
    """
    parts, labels, focal_px, kinds = [], [], [], set()
    for record in records:
        parts.append(answerer(record))
        labels.append(record.label_m)
        focal_px.append(record.camera.fx)
        kinds.add(record.kind or "not stated")
        if progress:
            progress(len(parts))
    counts = [len(label) for label in labels]
    return Points(
        **{f.name: _joined([getattr(p, f.name) for p in parts]) for f in fields(Answers)},
        label_m=_joined(labels),
        picture=np.repeat(np.arange(len(parts)), counts),
        focal_px=np.repeat(focal_px, counts),
        label_kind=" and ".join(sorted(kinds)),
        answer_kind=answerer.kind,
    )


def _joined(parts) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0)


class PredictorAnswers:
    """Asks a predictor; the labels' kind must be known."""

    def __init__(self, predictor, style: str = ""):
        self._predictor = predictor
        self._style = style
        checkpoint = predictor.checkpoint
        self.kind = checkpoint.kind
        self.report = checkpoint.report
        self.name = f"{checkpoint.name} ({style or checkpoint.style})"

    def __call__(self, record) -> Answers:
        label_kind = record.stated_kind()
        job = self._predictor.start(record.frame(), record.pixels, style=self._style)
        told = job.wait()
        greedy, median = (job.snapshot(report).distance_m for report in ("greedy", "median"))
        in_z = record.camera.rays(told.asked)[:, 2]  # z of a metre along the ray
        of = {"distance": np.ones(len(record)), "z": in_z}
        metres = (told.distance_m, greedy, median, told.lower_m, told.upper_m)
        return Answers(
            *(m * of[label_kind] for m in metres), of[self.kind] / of[label_kind], told.status
        )


class ConstantAnswers:
    """The same number for every point: what a model must beat.

    It is meant in the labels' kind, whichever that is, so none has to be stated.
    """

    kind = "as labelled"
    report = "constant"

    def __init__(self, metres: float):
        self._metres = metres
        self.name = f"constant {metres:g} m"

    def __call__(self, record) -> Answers:
        count = len(record)
        unknown = np.full(count, np.nan)
        told, stretch = np.full(count, self._metres), np.ones(count)
        return Answers(told, *[unknown] * 4, stretch, np.zeros(count, np.uint8))
