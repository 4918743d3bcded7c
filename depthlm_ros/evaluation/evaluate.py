# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records x answerer -> Points: every labelled point with what was answered.

An answerer is a predictor, a constant, or either with its answers saved to a file (resume.py).
What is made of the points: report.py, uncertainty.py, fit.py.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from depthlm_ros.data.records import Record
from depthlm_ros.errors import RecordError
from depthlm_ros.evaluation.metrics import scene_numbers
from depthlm_ros.predict import Predictor
from depthlm_ros.ranges import Status


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers to the N points of one record, all (N,); metres of the labels' kind, NaN: none.

    answer_m: what the predictor answers.
    greedy_m: the greedy digits, as published; NaN where the answerer has none.
    median_m: the median of their distribution; NaN where it was not read.
    lower_m, upper_m: the 90 % interval.
    stretch: factor from metres of the labels' kind to metres of the model's kind.
    status: see ranges.Status.
    """

    answer_m: np.ndarray
    greedy_m: np.ndarray
    median_m: np.ndarray
    lower_m: np.ndarray
    upper_m: np.ndarray
    stretch: np.ndarray
    status: np.ndarray


@dataclass(frozen=True, eq=False)
class Points(Answers):
    """The points of all images, end to end.

    label_m: the truth.
    image: number of the image, from 0.
    scene: number of the image's scene; what is alike is of one scene.
    focal_px: focal length (fx) of its camera.
    label_kind: "distance" | "z" | "not stated", or several.
    answer_kind: the kind that the model answers in.
    """

    label_m: np.ndarray
    image: np.ndarray
    scene: np.ndarray
    focal_px: np.ndarray
    label_kind: str
    answer_kind: str

    def __len__(self) -> int:
        return len(self.label_m)

    def where(self, chosen: np.ndarray) -> "Points":
        """Some of them; chosen: (N,) bool."""
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


class Answerer(Protocol):
    """Answers records.

    name: for the report.
    kind: the kind of its numbers, "distance" | "z" | "as labelled".
    report: how its replies are read, "greedy" | "median" | "constant".
    """

    name: str
    kind: str
    report: str

    def __call__(self, record: Record) -> Answers:
        """The answers to the points of one record."""


def evaluate(
    records: Iterable[Record],
    answerer: Answerer,
    progress: Callable[[int], object] | None = None,
) -> Points:
    """The Points of records, asked one image at a time.

    progress(images): called after each. Raises RecordError, also for a record with a depth image
    alone, or the engine's error.
    """
    parts, labels, scenes, focal_px, kinds = [], [], [], [], set()
    for record in records:
        need_pixels(record)
        parts.append(answerer(record))
        labels.append(record.label_m)
        scenes.append(record.scene)
        focal_px.append(record.camera.fx)
        kinds.add(record.kind or "not stated")
        if progress:
            progress(len(parts))
    counts = [len(label) for label in labels]
    return Points(
        **{f.name: _joined([getattr(p, f.name) for p in parts]) for f in fields(Answers)},
        label_m=_joined(labels),
        image=np.repeat(np.arange(len(parts)), counts),
        scene=np.repeat(scene_numbers(scenes), counts),
        focal_px=np.repeat(focal_px, counts),
        label_kind=" and ".join(sorted(kinds)),
        answer_kind=answerer.kind,
    )


def need_pixels(record: Record) -> None:
    """RecordError where a record has a depth image alone."""
    if record.depth_path and not len(record):
        raise RecordError(
            f"{record.where}: this record has a depth image and no pixel_coords to ask about:"
            " measure whole maps with --protocol depthvlm"
        )


def _joined(parts) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0)


class PredictorAnswers:
    """Asks a predictor; the kind of the labels must be stated.

    style: how to point, "" as the checkpoint says.
    """

    def __init__(self, predictor: Predictor, style: str = ""):
        self._predictor = predictor
        self._style = style
        checkpoint = predictor.checkpoint
        self.kind = checkpoint.kind_of(style)
        self.report = checkpoint.report
        self.name = f"{checkpoint.name} ({checkpoint.calibration_key(style)})"

    def __call__(self, record: Record) -> Answers:
        label_kind = record.stated_kind()
        job = self._predictor.start(record.frame(), record.pixels, style=self._style)
        ranges = job.wait()
        greedy, median = (job.snapshot(report).distance_m for report in ("greedy", "median"))
        in_z = record.camera.rays(ranges.asked)[:, 2]  # z of a metre along the ray
        of = {"distance": np.ones(len(record)), "z": in_z}
        metres = (ranges.distance_m, greedy, median, ranges.lower_m, ranges.upper_m)
        return Answers(
            *(m * of[label_kind] for m in metres), of[self.kind] / of[label_kind], ranges.status
        )


class ConstantAnswers:
    """The same number for every point: what a model must beat.

    It is of the labels' kind, whichever that is, so none has to be stated.
    """

    kind = "as labelled"
    report = "constant"

    def __init__(self, metres: float):
        self._metres = metres
        self.name = f"constant {metres:g} m"

    def __call__(self, record: Record) -> Answers:
        count = len(record)
        unknown = np.full(count, np.nan)
        constant, stretch = np.full(count, self._metres), np.ones(count)
        return Answers(constant, *[unknown] * 4, stretch, np.zeros(count, np.uint8))
