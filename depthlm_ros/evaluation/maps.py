# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How good are maps? Every pixel whose distance is known, and the ten points an image of DepthVLM.

delta1 compares ratios, which are the same along the ray and along the optical axis. What is not
told is wrong. Figures are means over images, as DepthVLM's (arXiv 2605.15876, appendix B).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from math import nan
from typing import NamedTuple

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.data.records import KINDS, Record, on_image
from depthlm_ros.errors import RecordError
from depthlm_ros.evaluation.evaluate import Answerer
from depthlm_ros.evaluation.metrics import delta1, known_mean, scene_numbers, share_interval
from depthlm_ros.predict import Predictor
from depthlm_ros.ranges import RangeMap
from depthlm_ros.view import Frame
from depthlm_ros.viz.tables import text_table

CANONICAL_PX = 1000.0  # the focal length of the release
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
    kind: of the metres that the file holds, "distance" | "z".
    """

    frame: Frame
    distance_m: np.ndarray
    points: np.ndarray | None = None
    kind: str = "distance"


def scene_of(record: Record, kept_m: tuple[float, float] | None = None) -> MappedScene:
    """The scene of a record with a depth image; RecordError where it has none.

    kept_m: the least and the most metres, in the record's own kind, that count as measured, see
        KEPT_M; None for all.
    """
    distance_m = record.depth_map_as("distance")
    if kept_m:
        with np.errstate(invalid="ignore"):
            own = record.depth_map()
            distance_m = np.where((own >= kept_m[0]) & (own <= kept_m[1]), distance_m, np.nan)
    points = record.pixels if len(record) else None
    return MappedScene(record.frame(), distance_m, points, record.stated_kind())


def limits(record: Record, kept_m: tuple[float, float] | None) -> str:
    """Where records begin and which of their metres count, in words."""
    told = f", of which {kept_m[0]:g} to {kept_m[1]:g} m count" if kept_m else ""
    return f"{record.where}{told}"


@dataclass(frozen=True)
class ImageMeasures:
    """The part of one image in MapMeasures, see there. Without a known pixel all else is NaN."""

    pixels: int
    delta1: float = nan
    abs_rel: float = nan
    inside: float = nan
    log_width: float = nan
    points: float = nan
    points_published: float = nan


@dataclass(frozen=True)
class MapMeasures:
    """Means over images; shares in [0, 1].

    images: how many. left_out: those besides of which no pixel counts. pixels: known ones, in all.
    delta1: of all known pixels; interval: 95 % of it by bootstrap over scenes.
    abs_rel: mean of |told - true| / true of those that are told.
    inside: share of the true values in the 90 % interval, NaN where no pixel has one; log_width:
        median of log(upper / lower) within an image.
    points: delta1 of POINTS an image, read where they are; points_published: read and counted as
        the released evaluation does, see _as_published and
        published_place.
    """

    images: int
    left_out: int
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
        table = text_table((self.counts(), "delta1", "(95 %)"), rows)
        return (
            f"{table}\n\nabs_rel {self.abs_rel:.3f}; true value inside the 90 % interval"
            f" {self.inside:.3f}, median log(upper/lower) {self.log_width:.2f}"
        )

    def counts(self) -> str:
        """How much was measured, in words."""
        without = f", {self.left_out} without one left out" if self.left_out else ""
        return f"{self.images} images, {self.pixels} pixels{without}"


def measure_maps(scenes: Iterable[MappedScene], predictor: Predictor) -> MapMeasures:
    """The measures of a predictor's maps. Raises UnsupportedError where it has none, RecordError
    where no pixel of any scene is known."""
    each = (("", measure_map(scene, predictor, number)) for number, scene in enumerate(scenes))
    return mean_of_images(each)


def mean_of_images(
    each: Iterable[tuple[str, ImageMeasures]],
    progress: Callable[[int], object] | None = None,
    of: str = "these images",
) -> MapMeasures:
    """The measures of images, each with the name of its scene. Raises RecordError where no pixel
    of any is known.

    progress(images): called after each. of: which images, for the error.
    """
    rows = []
    for row in each:
        rows.append(row)
        if progress:
            progress(len(rows))
    scenes = [scene for scene, row in rows if row.pixels]
    known = [row for _, row in rows if row.pixels]
    if rows and not known:
        raise RecordError(f"no pixel of the depth image counts in any of {len(rows)} images: {of}")
    table = {
        field.name: np.array([getattr(row, field.name) for row in known], np.float64)
        for field in fields(ImageMeasures)
    }
    pixels = int(table.pop("pixels").sum())
    interval = share_interval(table["delta1"], np.ones(len(known)), scene_numbers(scenes))
    means = {name: known_mean(column) for name, column in table.items()}
    return MapMeasures(len(known), len(rows) - len(known), pixels, interval=interval, **means)


def measure_map(scene: MappedScene, predictor: Predictor, number: int) -> ImageMeasures:
    """The measures of a predictor's map of image `number`, from 0, which decides about the points
    that are drawn. Raises UnsupportedError where the predictor has no maps."""
    known = np.isfinite(scene.distance_m)
    if not known.any():
        return ImageMeasures(0)
    answer = predictor.map(scene.frame)
    size = known.shape[::-1]
    v, u = np.nonzero(known)
    places = on_image(np.stack([u, v], 1), scene.frame.camera, size)
    truth = scene.distance_m[known].astype(np.float64)
    value, lower, upper = read(answer, places)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.where(np.isfinite(lower), (lower <= truth) & (truth <= upper), nan)
        width = np.log(upper / lower)
        off = np.abs(value - truth) / truth
    places, label = _points(scene, known, number)
    taken, published = _as_published(scene, places, label)
    at_points, at_published = read(answer, places)[0], _told_there(scene, answer, taken, predictor)
    return ImageMeasures(
        pixels=len(truth),
        delta1=float(delta1(value, truth).mean()),
        abs_rel=known_mean(off),
        inside=known_mean(inside),
        log_width=float(np.median(width)) if np.isfinite(width).all() else nan,
        points=known_mean(delta1(at_points, label)),
        points_published=known_mean(delta1(at_published, published)),
    )


def measure_points(
    record: Record, answerer: Answerer, number: int, kept_m: tuple[float, float] | None = None
) -> ImageMeasures:
    """The points of image `number` alone, asked one by one: for who has no maps. pixels are those
    that are known of the depth image. kept_m: see scene_of."""
    scene = scene_of(record, kept_m)
    known = np.isfinite(scene.distance_m)
    if not known.any():
        return ImageMeasures(0)
    places, label = _points(scene, known, number)
    taken, published = _as_published(scene, places, label)
    asked, back = np.unique(np.concatenate([places, taken]), axis=0, return_inverse=True)
    answers = answerer(replace(record, pixels=asked, label_m=np.ones(len(asked)))).answer_m
    camera, is_z = record.camera, record.stated_kind() == "z"
    distance_m = camera.distance_from_z(asked, answers) if is_z else answers
    z_m = answers if is_z else camera.z_from_distance(asked, answers)
    if answerer.kind not in KINDS:  # a constant is of whichever kind the label is
        z_m = answers
    back = back.ravel()
    return ImageMeasures(
        pixels=int(known.sum()),
        points=known_mean(delta1(distance_m[back[: len(places)]], label)),
        points_published=known_mean(delta1(z_m[back[len(places) :]], published)),
    )


def _points(scene: MappedScene, known: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) pixels of an image's points and (N,) their metres along the ray."""
    camera, places = scene.frame.camera, scene.points
    if places is None:
        places = on_image(drawn(known, number), camera, known.shape[::-1])
    label = read_map(scene.distance_m, places, camera)
    is_known = np.isfinite(label)
    return places[is_known], label[is_known]


def _as_published(
    scene: MappedScene, places: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) pixels at which the released evaluation looks for points (N, 2) of known distance
    (N,), and (N,) the numbers with which it compares z there.

    It takes pixels of the depth image for pixels of the image, whatever their sizes (those of
    ScanNet++, 256 x 192 for 1920 x 1440, all come to lie in the top-left 13 % of both sides).
    It reads the label there, up to a cell beside the point: rounded to a pixel of the image at
    CANONICAL_PX, to whose size it brings the depth image, nearest. Where none is known it takes
    the point's own (there masks are left aside, here they are not: such cells have no label).
    It takes the number in the file for z, also where it is a distance (Argoverse 2, Waymo).
    """
    camera = scene.frame.camera
    size = np.array([camera.width, camera.height])
    cells = np.array(scene.distance_m.shape[::-1])
    taken = (places + 0.5) * (cells / size) - 0.5
    canonical = np.round(size * (CANONICAL_PX / camera.fx))
    at = np.floor(np.round(taken * (canonical / size)) * (1 / (canonical / cells)))  # as OpenCV
    at = np.clip(at, 0, cells - 1)
    u, v = at.astype(int).T
    label = scene.distance_m[v, u].astype(np.float64)
    lost = ~np.isfinite(label)
    seen = on_image(at, camera, tuple(cells))
    label, seen = np.where(lost, truth, label), np.where(lost[:, None], places, seen)
    return taken, camera.z_from_distance(seen, label) if scene.kind == "z" else label


def _told_there(
    scene: MappedScene, answer: RangeMap, taken: np.ndarray, predictor: Predictor
) -> np.ndarray:
    """(N,) z that the released evaluation takes from a map at pixels (N, 2), NaN outside of it."""
    camera, checkpoint = scene.frame.camera, predictor.checkpoint
    shifted = published_place(camera, taken, checkpoint.focal_px, checkpoint.axes)
    inside = camera.contains(shifted)
    z_m = np.full(len(taken), nan)
    z_m[inside] = camera.z_from_distance(shifted[inside], read(answer, shifted[inside])[0])
    return z_m


def drawn(known: np.ndarray, number: int) -> np.ndarray:
    """(N, 2) pixels of a map whose known places are given: POINTS of them, the same for image
    `number` in every run."""
    places = np.argwhere(known)
    state = np.random.RandomState(SEED + number)
    chosen = state.choice(len(places), min(POINTS, len(places)), replace=False)
    return places[chosen][:, ::-1].astype(np.float64)


def published_place(
    camera: Camera, pixels: np.ndarray, focal_px: float, axes: str = "fx"
) -> np.ndarray:
    """Pixels (N, 2) of a camera's image whose value the released evaluation takes for those of
    `pixels`, of a map of it at a focal length [px].

    It rounds the size of the image at that focal length, and a point to its pixels, and looks the
    point up at these numbers in the map, whose sides were rounded to multiples of 28 and then of
    32, without scaling: the error grows to the right and down. What lies outside of the map is
    left out there, and wrong here. axes: see view.unify_focal.
    """
    size = np.array([camera.width, camera.height])
    focal = np.array([camera.fx, camera.fx if axes == "fx" else camera.fy])
    seen = canonical = np.round(size * (focal_px / focal))
    for multiple in RESIZED:
        seen = np.maximum(np.round(seen / multiple), 1) * multiple
    rounded = np.round(pixels * (canonical / size))
    return (rounded + 0.5) * (size / seen) - 0.5


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
