# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How good are maps? Every pixel whose distance is known, and the ten points an image of DepthVLM.

delta1 compares ratios, which are the same along the ray and along the optical axis. What is not
told is wrong. Figures are means over images, as DepthVLM's (arXiv 2605.15876, appendix B).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.data.records import Record, on_image
from depthlm_ros.errors import RecordError
from depthlm_ros.evaluation.metrics import bootstrap_interval, delta1
from depthlm_ros.predict import Predictor
from depthlm_ros.ranges import RangeMap
from depthlm_ros.view import Frame, unify_focal
from depthlm_ros.viz.tables import text_table

RESIZED = 28, 32  # multiples of pixels to which the release resizes an image, one after the other
POINTS, SEED = 10, 42  # an image, and of the first image's draw (DepthVLM, as released)
# Metres of a label, in the kind of its file, that the released evaluation counts, by data set.
KEPT_M = {
    "argoverse2": (0.05, 120.0),
    "waymo": (0.05, 70.0),
    "ddad": (0.05, 120.0),
    "nuscenes": (0.05, 80.0),
    "eth3d": (0.01, 50.0),
    "scannetpp": (0.001, 10.0),
    "sunrgbd": (0.005, 8.0),
    "ibims1": (0.005, 25.0),
    "nyuv2": (0.005, 10.0),
}


class MappedScene(NamedTuple):
    """A frame with the truth of its pixels.

    distance_m: (h, w) metres along the ray, NaN unknown; the corners are the frame's.
    points: (N, 2) pixels of the frame that the benchmark names, None to draw them; those of
        unknown distance are left out.
    """

    frame: Frame
    distance_m: np.ndarray
    points: np.ndarray | None = None


def of_records(
    records: Iterable[Record], kept_m: tuple[float, float] | None = None
) -> Iterator[MappedScene]:
    """The scenes of records with depth images.

    kept_m: the least and the most metres, in the record's own kind, that count as measured, see
        KEPT_M; None for all.

    RecordError where a record has no depth image, or nothing of it counts.
    """
    for record in records:
        points = record.pixels if len(record) else None
        distance_m = record.depth_map_as("distance")
        if kept_m:
            with np.errstate(invalid="ignore"):
                own = record.depth_map()
                distance_m = np.where((own >= kept_m[0]) & (own <= kept_m[1]), distance_m, np.nan)
            if not np.isfinite(distance_m).any():
                raise RecordError(
                    f"{record.where}: no pixel of its depth image lies within {kept_m[0]:g} to"
                    f" {kept_m[1]:g} m, which the protocol counts: is it of another data set?"
                )
        yield MappedScene(record.frame(), distance_m, points)


@dataclass(frozen=True)
class MapMeasures:
    """Means over images; shares in [0, 1].

    images: how many. pixels: known ones, in all.
    delta1: of all known pixels; interval: 95 % of it by bootstrap over images.
    abs_rel: mean of |told - true| / true of those that are told.
    inside: share of the true values in the 90 % interval, NaN where no pixel has one; log_width:
        median of log(upper / lower) within an image.
    points: delta1 of POINTS an image, read where they are; points_published: read as the released
        evaluation indexes them, see published_place.
    """

    images: int
    pixels: int
    delta1: float
    interval: tuple[float, float]
    abs_rel: float
    inside: float
    log_width: float
    points: float
    points_published: float

    def table(self) -> str:
        """For reading."""
        low, high = self.interval
        rows = [
            ("all known pixels", f"{self.delta1:.3f}", f"{low:.3f} to {high:.3f}"),
            (f"{POINTS} points an image", f"{self.points:.3f}", ""),
            ("the same, indexed as published", f"{self.points_published:.3f}", ""),
        ]
        head = (f"{self.images} images, {self.pixels} pixels", "delta1", "(95 %)")
        table = text_table(head, rows)
        return (
            f"{table}\n\nabs_rel {self.abs_rel:.3f}; true value inside the 90 % interval"
            f" {self.inside:.3f}, median log(upper/lower) {self.log_width:.2f}"
        )


def measure_maps(
    scenes: Iterable[MappedScene],
    predictor: Predictor,
    progress: Callable[[int], object] | None = None,
) -> MapMeasures:
    """The measures of a predictor's maps. Raises UnsupportedError where it has none.

    progress(images): called after each.
    """
    rows, pixels = [], 0
    for number, scene in enumerate(scenes):
        answer = predictor.map(scene.frame)
        known = np.isfinite(scene.distance_m)
        if not known.any():
            raise RecordError(f"image {number}: no pixel of its depth image is known")
        pixels += int(known.sum())
        rows.append(_of_image(scene, answer, known, number, predictor))
        if progress:
            progress(number + 1)
    table = np.array(rows, np.float64).reshape(-1, 6)

    def mean(times: np.ndarray) -> float:
        return float(times @ table[:, 0] / times.sum())

    means = [_mean(column) for column in table.T]
    interval = bootstrap_interval(mean, len(table))
    return MapMeasures(len(table), pixels, means[0], interval, *means[1:])


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else np.nan


def _of_image(
    scene: MappedScene, answer: RangeMap, known: np.ndarray, number: int, predictor: Predictor
) -> tuple[float, ...]:
    """The columns of MapMeasures from delta1 on, without its interval."""
    size = known.shape[::-1]
    v, u = np.nonzero(known)
    places = on_image(np.stack([u, v], 1), scene.frame.camera, size)
    truth = scene.distance_m[known].astype(np.float64)
    value, lower, upper = read(answer, places)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.where(np.isfinite(lower), (lower <= truth) & (truth <= upper), np.nan)
        width = np.log(upper / lower)
        off = np.abs(value - truth) / truth
    right = delta1(value, truth).mean()
    interval = (_mean(inside), float(np.median(width)) if np.isfinite(width).all() else np.nan)
    return (right, _mean(off), *interval, *_points(scene, answer, known, number, predictor))


def _points(
    scene: MappedScene, answer: RangeMap, known: np.ndarray, number: int, predictor: Predictor
) -> tuple[float, float]:
    """(delta1 of an image's points, the same as indexed by the released evaluation)."""
    camera = scene.frame.camera
    places = scene.points
    if places is None:
        places = on_image(drawn(known, number), camera, known.shape[::-1])
    truth = read_map(scene.distance_m, places, camera)
    is_known = np.isfinite(truth)
    places, truth = places[is_known], truth[is_known]
    if not len(places):
        return np.nan, np.nan
    hit = delta1(read(answer, places)[0], truth)
    shifted = published_place(scene.frame, places, predictor)
    known_places = camera.contains(shifted)
    published = np.full(len(places), np.nan)
    published[known_places] = read(answer, shifted[known_places])[0]
    return float(hit.mean()), float(delta1(published, truth).mean())


def drawn(known: np.ndarray, number: int) -> np.ndarray:
    """(N, 2) pixels of a map whose known places are given: POINTS of them, the same for image
    `number` in every run."""
    places = np.argwhere(known)
    state = np.random.RandomState(SEED + number)
    chosen = state.choice(len(places), min(POINTS, len(places)), replace=False)
    return places[chosen][:, ::-1].astype(np.float64)


def published_place(frame: Frame, pixels: np.ndarray, predictor: Predictor) -> np.ndarray:
    """Frame pixels (N, 2) whose value the released evaluation takes for those of `pixels`.

    It rounds a point to the image at the unified focal length, and looks it up at these numbers in
    the map, whose sides were rounded to multiples of 28 and then of 32, without scaling: the error
    grows to the right and down. What lies outside of the map is left out there, and wrong here.
    """
    checkpoint = predictor.checkpoint
    view = unify_focal(frame, checkpoint.focal_px, checkpoint.axes)
    size = np.array([view.camera.width, view.camera.height])
    seen = size
    for multiple in RESIZED:
        seen = np.maximum(np.round(seen / multiple), 1) * multiple
    rounded = np.round((pixels + 0.5) * view.scale - 0.5)
    return (rounded + 0.5) * (size / seen) / view.scale - 0.5


def read(answer: RangeMap, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(value, lower, upper), (N,) metres each along the rays of pixels (N, 2) of a map's frame."""
    value, lower, upper = (
        read_map(one, pixels, answer.camera)
        for one in (answer.distance_m, answer.lower_m, answer.upper_m)
    )
    return value, lower, upper


def read_map(values: np.ndarray, pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """(N,) values of a map (h, w) at the nearest of its places to pixels (N, 2) of a camera's
    image, whose corners are the map's."""
    height, width = values.shape
    scale = np.array([width / camera.width, height / camera.height])
    u, v = np.clip(np.floor((pixels + 0.5) * scale), 0, (width - 1, height - 1)).astype(int).T
    return values[v, u].astype(np.float64)
