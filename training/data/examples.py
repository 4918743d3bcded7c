# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Images with known distances, dense or at a few pixels, behind one interface.

An Example answers: which pixels of a view may be asked in a style, and how far are they?
Knows nothing about questions' words, models or batches.
"""

from dataclasses import dataclass, replace

import numpy as np

from depthlm_ros.data.records import map_pixels
from depthlm_ros.errors import InputError, RecordError
from depthlm_ros.view import Frame
from training.data.colours import another_look

TRIES = 1000  # draws before a dense image counts as one without a distance


@dataclass(frozen=True, eq=False)
class Dense:
    """A distance for every pixel.

    distance_m: (h, w) metres along the ray, NaN where unknown; its corners are the frame's, its
    size may differ.
    """

    frame: Frame
    distance_m: np.ndarray
    name: str

    @property
    def pixels(self) -> np.ndarray:
        """(h * w, 2) pixels of the frame where the distances are, row by row."""
        return map_pixels(self.distance_m.shape, self.frame.camera)

    def mirrored(self) -> "Dense":
        """Left and right exchanged."""
        distance_m = self.distance_m[:, ::-1]
        return replace(self, frame=_mirrored(self.frame), distance_m=distance_m)

    def turned(self) -> "Dense":
        """By a quarter, anticlockwise."""
        return replace(self, frame=_turned(self.frame), distance_m=np.rot90(self.distance_m))

    def metres(self, view, pixels) -> np.ndarray:
        """(N,) metres along the rays of view pixels (N, 2), NaN where unknown."""
        height, width = self.distance_m.shape
        camera = self.frame.camera
        scale = width / camera.width, height / camera.height
        places = np.floor(view.to_frame(pixels) * scale).astype(int)
        u, v = np.clip(places, 0, (width - 1, height - 1)).T
        return self.distance_m[v, u].astype(np.float64)

    def drawn(self, view, style, count, rng) -> list:
        """`count` times ((u, v) of the view, metres along the ray)."""
        found = []
        for _ in range(TRIES * count):
            if len(found) == count:
                break
            pixel = rng.integers((view.camera.width, view.camera.height))
            if style.can_ask(view, pixel):
                metres = float(self.metres(view, pixel)[0])
                found += [(pixel, metres)] * bool(np.isfinite(metres))
        if len(found) < count:
            raise InputError(f"{self.name}: hardly a pixel with a distance can be asked")
        return found


@dataclass(frozen=True, eq=False)
class Sparse:
    """Labels at a few pixels. pixels (N, 2) of the frame; distance_m (N,) along the ray."""

    frame: Frame
    pixels: np.ndarray
    distance_m: np.ndarray
    name: str

    def mirrored(self) -> "Sparse":
        """Left and right exchanged."""
        pixels = np.stack([self.frame.camera.width - 1 - self.pixels[:, 0], self.pixels[:, 1]], 1)
        return replace(self, frame=_mirrored(self.frame), pixels=pixels)

    def turned(self) -> "Sparse":
        """By a quarter, anticlockwise."""
        pixels = np.stack([self.pixels[:, 1], self.frame.camera.width - 1 - self.pixels[:, 0]], 1)
        return replace(self, frame=_turned(self.frame), pixels=pixels)

    def metres(self, view, pixels) -> np.ndarray:
        """All NaN: nothing is known of places without a label."""
        return np.full(len(pixels), np.nan)

    def drawn(self, view, style, count, rng) -> list:
        """At most `count` of the labelled pixels that the view shows, each once; see Dense."""
        places = view.to_view(self.pixels)
        inside = (places >= 0).all(1) & (places < (view.camera.width, view.camera.height)).all(1)
        rows = [i for i in np.flatnonzero(inside) if style.can_ask(view, places[i])]
        if not rows:
            raise RecordError(f"{self.name}: no labelled pixel can be asked in this crop")
        chosen = rng.permutation(rows)[:count]
        return [(places[i], float(self.distance_m[i])) for i in chosen]


@dataclass(frozen=True)
class Unmeasured:
    """An image of which only one question's answer is known."""

    name: str

    def metres(self, view, pixels) -> np.ndarray:
        """All NaN."""
        return np.full(len(pixels), np.nan)


def of_shot(shot) -> Dense:
    """A rendered image as an Example."""
    return Dense(shot.frame, shot.distance_m, f"{shot.kind} {shot.seed}")


def of_record(record) -> Dense | Sparse:
    """A record as an Example, its images read now: its depth image where it has one, else its
    labels. RecordError where it cannot."""
    try:
        frame = record.frame()
    except RecordError:
        raise
    except InputError as error:
        raise RecordError(f"{record.where}: {error}") from error
    if record.depth_path:
        return Dense(frame, record.depth_map_as("distance"), record.where)
    return Sparse(frame, record.pixels, record.label_as("distance"), record.where)


def no_map(where: str) -> RecordError:
    """The error of a record that has no depth image where only that could teach something."""
    return RecordError(
        f"{where}: only single pixels have labels, and a stage that asks nothing learns from depth"
        " images (depth_path; training.curate --depth writes them): give it ask, or other data"
    )


def zoomed(example, factor):
    """A Dense or Sparse example of the same image as if its camera had 1 / factor of the focal
    length: what it shows then has 1 / factor of its z. InputError with lens distortion."""
    camera, pixels = example.frame.camera, example.pixels
    _refuse_distorted(camera, "zoomed")
    fx, fy, skew = (length / factor for length in (camera.fx, camera.fy, camera.skew))
    shorter = replace(camera, fx=fx, fy=fy, skew=skew)
    z_m = camera.z_from_distance(pixels, example.distance_m.ravel()) / factor
    distance_m = shorter.distance_from_z(pixels, z_m).reshape(example.distance_m.shape)
    frame = replace(example.frame, camera=shorter)
    return replace(example, frame=frame, distance_m=distance_m.astype(example.distance_m.dtype))


def sometimes_zoomed(example, span, rng):
    """The example or, half the time, zoomed by a factor within the span."""
    if rng.random() < 0.5:
        return example
    return zoomed(example, _factor(span, rng))


def quarter_turned(example, quarters):
    """A Dense or Sparse example as its camera would show it, turned about its axis clockwise by so
    many quarters. InputError with lens distortion or skew."""
    for _ in range(quarters):
        example = example.turned()
    return example


def brought_nearer(example, span, rng):
    """A random part of a Dense example, which gives a view as large as the whole did, and of
    1 / factor of its z; the factor is within the span. RecordError where single pixels alone have
    labels."""
    if not isinstance(example, Dense):
        raise RecordError(f"{example.name}: only a depth image can be brought nearer")
    factor = _factor(span, rng)
    camera, (rows, columns) = example.frame.camera, example.distance_m.shape
    width, height = round(camera.width / factor), round(camera.height / factor)
    left = int(rng.integers(camera.width - width + 1))
    top = int(rng.integers(camera.height - height + 1))
    u = ((left + np.arange(width) + 0.5) * columns / camera.width).astype(int)
    v = ((top + np.arange(height) + 0.5) * rows / camera.height).astype(int)
    image = np.ascontiguousarray(example.frame.image[top : top + height, left : left + width])
    frame = replace(example.frame, image=image, camera=camera.cropped(left, top, width, height))
    part = replace(example, frame=frame, distance_m=example.distance_m[np.ix_(v, u)])
    return zoomed(part, factor)


def _factor(span, rng) -> float:
    """One within a span, its logarithm uniform."""
    return float(np.exp(rng.uniform(*np.log(span))))


def varied(example, rng):
    """The example mirrored or not, as another camera might have shown it; see colours.py."""
    example = example.mirrored() if rng.random() < 0.5 else example
    image = another_look(example.frame.image, rng)
    return replace(example, frame=replace(example.frame, image=image))


def _mirrored(frame) -> Frame:
    _refuse_distorted(frame.camera, "mirrored")
    camera = replace(frame.camera, cx=frame.camera.width - 1 - frame.camera.cx)
    return replace(frame, image=np.ascontiguousarray(frame.image[:, ::-1]), camera=camera)


def _turned(frame) -> Frame:
    image = np.ascontiguousarray(np.rot90(frame.image))
    return replace(frame, image=image, camera=frame.camera.turned())


def _refuse_distorted(camera, how) -> None:
    if camera.distortion != "none":
        raise InputError(f"an image with lens distortion cannot be {how}: rectify it first")
