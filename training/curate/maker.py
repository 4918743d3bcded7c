# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""One Sample -> its image, its depth image and its Record: what every data set has in common.

The image is straightened, points are projected, those that it does not show are dropped, the range
holds, and some of what is left become labels. Knows nothing about any one data set, nor about how
many images there are.
"""

import re
import shutil
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.data.files import read_image
from depthlm_ros.data.records import Record
from depthlm_ros.errors import CameraError, ImageError, InputError, first_line
from training.curate.geometry import is_hidden, nearest_per_pixel, nth_true
from training.curate.rectify import (
    cell_pixels,
    is_pinhole,
    pinhole_of,
    rectified,
    rectified_depth,
    seen_cells,
)
from training.curate.sample import DataSet, Key, Sample, Skip
from training.curate.stored import depth_counts, depth_scale, write_depth, write_jpeg, writing

PIXELS = 100  # labels of an image, as DepthLM's scripts draw
MARGIN = 0.01  # of x / z and y / z, around what an image can show
BINS = 16  # of equal ratio, between the nearest and the farthest label of an image


@dataclass(frozen=True)
class Wishes:
    """What the user may choose. All of it but the number of processes decides about the bytes.

    pixels: most labels of an image.
    even: pixels are drawn evenly over log distance, instead of over the image.
    depth: depth images too.
    limit: this many images of the set, evenly spread, 0 for all.
    seed: of the drawing.
    """

    pixels: int = PIXELS
    even: bool = False
    depth: bool = False
    limit: int = 0
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Made:
    """What became of one image.

    record: None where it was skipped, for a reason with a detail.
    dropped: points or cells that became no label, by reason.
    time_gap_s: between image and depth sensor.
    seconds: by what they were spent on.
    """

    record: Record | None = None
    reason: str = ""
    detail: str = ""
    dropped: Counter[str] = field(default_factory=Counter)
    time_gap_s: float = 0.0
    seconds: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, eq=False)
class Maker:
    """Makes the image and the record of one key; it is sent to other processes."""

    data_set: DataSet
    folder: Path
    wishes: Wishes

    def __call__(self, key: Key) -> Made:
        """Never fails for one image; InputError where the whole set cannot be used, or the disk
        takes no more."""
        clock = Clock()
        try:
            with clock("reading"):
                sample = self._read(key)
            return self._made(sample, clock)
        except Skip as skip:
            return Made(reason=skip.reason, detail=skip.detail or str(key), seconds=clock.seconds)
        except ImageError as error:
            return Made(reason="truncated image", detail=str(error), seconds=clock.seconds)
        except CameraError as error:
            detail = f"{key}: {error}"
            return Made(reason="broken calibration", detail=detail, seconds=clock.seconds)

    def _read(self, key: Key) -> Sample:
        try:
            return self.data_set.read(key)
        except (Skip, InputError):
            raise
        except Exception as error:  # files of strangers, read by several libraries
            told = f"{type(error).__name__}: {first_line(error)}, of {str(key)[:90]}"
            raise Skip("unreadable data", told) from error

    def _made(self, sample: Sample, clock: "Clock") -> Made:
        camera = pinhole_of(sample.camera)
        dropped: Counter[str] = Counter()
        with clock("labels"):
            pixels, metres, depth = self._labels(sample, camera, dropped)
        image = self._image(sample, clock)
        depth_path = None
        if depth is not None:
            depth_path = self._path("depth", sample.name, ".png")
            with clock("writing depth"):
                write_depth(depth_path, depth)
        record = Record(
            image=image,
            camera=camera,
            pixels=np.clip(np.round(pixels, 2), -0.5, (camera.width - 0.51, camera.height - 0.51)),
            label_m=np.round(metres, 4),
            kind=sample.kind,
            where=sample.name,
            source=self.data_set.name,
            scene=sample.scene,
            depth_path=depth_path,
            depth_scale=float(self._depth_scale()) if depth_path else 1000.0,
        )
        return Made(record, "", "", dropped, sample.time_gap_s, clock.seconds)

    def _labels(
        self, sample: Sample, camera: Camera, dropped: Counter[str]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """(pixels (N, 2), metres (N,) of the sample's kind, the depth image or None: (h, w) uint16
        raw units)."""
        if (sample.points is None) == (sample.depth is None):
            raise InputError(f"{sample.name}: a sample has points or a depth map, one of them")
        rng = np.random.default_rng([self.wishes.seed, zlib.crc32(sample.name.encode())])
        found = self._of_points if sample.depth is None else self._of_map
        pixels, metres, depth = found(sample, camera, dropped, rng)
        if not len(metres):
            told = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
            raise Skip("no points", f"{sample.name}: {told or 'nothing was measured'}")
        return pixels, metres, depth

    def _of_points(
        self, sample: Sample, camera: Camera, dropped: Counter[str], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        points = np.asarray(sample.points, np.float64).reshape(-1, 3)
        x, y, z = np.ascontiguousarray(points.T)
        known = np.isfinite(x + y + z)
        wide = max(camera.cx, camera.width - camera.cx) / camera.fx + MARGIN
        high = max(camera.cy, camera.height - camera.cy) / camera.fy + MARGIN
        with np.errstate(invalid="ignore"):  # lidars see all around: most points end here
            chosen = np.flatnonzero(np.abs(x) < wide * z)
            chosen = chosen[(np.abs(y[chosen]) < high * z[chosen]) & known[chosen]]
        count = int(np.count_nonzero(known))
        dropped["not finite"] = len(points) - count
        dropped["outside the image"] = count - len(chosen)
        points = np.stack([x[chosen], y[chosen], z[chosen]]).T  # in columns: numpy's faster order
        pixels = camera.pixels(points)
        metres = points[:, 2].copy() if sample.kind == "z" else np.linalg.norm(points, axis=1)
        kept = _seen(pixels, metres, camera, dropped)
        near, far = self.data_set.range_m
        inside = (metres[kept] >= near) & (metres[kept] <= far)
        kept, dropped["out of range"] = kept[inside], int((~inside).sum())
        pixels, metres, depth = pixels[kept], metres[kept], None
        if self.wishes.depth:
            depth = np.zeros((camera.height, camera.width), np.uint16)
            u, v = np.floor(pixels.T + 0.5).astype(int)
            depth[v, u] = depth_counts(metres, self._depth_scale())
        chosen = _drawn(len(metres), lambda: metres, self.wishes, rng)
        return pixels[chosen], metres[chosen], depth

    def _of_map(
        self, sample: Sample, camera: Camera, dropped: Counter[str], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        measured = np.asarray(sample.depth, np.float32)
        near, far = self.data_set.range_m
        with np.errstate(invalid="ignore"):
            known = int(np.count_nonzero(measured > 0))
            inside = (measured >= near) & (measured <= far)
        seen = inside & seen_cells(measured.shape, sample.camera)
        kept, count = int(np.count_nonzero(inside)), int(np.count_nonzero(seen))
        dropped["unknown"] = measured.size - known
        dropped["out of range"] = known - kept
        dropped["outside the image"] = kept - count
        chosen = nth_true(seen, _drawn(count, lambda: measured[seen], self.wishes, rng))
        depth = None
        if self.wishes.depth:
            raw = depth_counts(measured, self._depth_scale())
            depth = rectified_depth(np.multiply(raw, inside, out=raw), sample.camera)
        pixels = cell_pixels(chosen, measured.shape, sample.camera)
        return pixels, measured.ravel()[chosen].astype(np.float64), depth

    def _image(self, sample: Sample, clock: "Clock") -> Path:
        """The image's file, written. A copied one is read too: a broken one shows now."""
        given, lens = sample.image, sample.camera
        if isinstance(given, Path) and not given.is_file():
            raise Skip("no image file", str(given))
        with clock("decoding"):
            image = read_image(given, upright=False) if isinstance(given, Path) else given
        if image.shape[:2] != (lens.height, lens.width):
            raise Skip(
                "image of another size",
                f"{sample.name}: {image.shape[1]} x {image.shape[0]}, and the calibration is for"
                f" {lens.width} x {lens.height}",
            )
        if isinstance(given, Path) and is_pinhole(lens):
            path = self._path("images", sample.name, given.suffix.lower())
            with clock("writing images"), writing(path):
                shutil.copyfile(given, path)
            return path
        path = self._path("images", sample.name, ".jpg")
        with clock("straightening"):
            straight = rectified(image, lens)
        with clock("writing images"):
            write_jpeg(path, straight)
        return path

    def _path(self, what: str, name: str, suffix: str) -> Path:
        """The file of a sample, its folder made; what no file name may hold is escaped."""
        parts = [quote(part, safe=" +,=@") for part in name.split("/")]
        parts = [re.sub(r"^\.+$", lambda dots: "%2E" * len(dots[0]), part) for part in parts]
        path = self.folder / what / Path(*[part for part in parts if part])
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(path.name + suffix)

    def _depth_scale(self) -> int:
        return depth_scale(self.data_set.range_m[1])


class Clock:
    """Seconds of the processor, in this thread, by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Count the time inside for `what`."""
        began = time.thread_time()
        try:
            yield
        finally:
            self.seconds[what] += time.thread_time() - began  # type: ignore[assignment]


def _seen(
    pixels: np.ndarray, metres: np.ndarray, camera: Camera, dropped: Counter[str]
) -> np.ndarray:
    """Numbers of the points that the image shows; the others are counted in `dropped`."""
    count = int(np.count_nonzero(camera.contains(pixels)))
    kept, places, nearest = nearest_per_pixel(pixels, metres, camera.width, camera.height)
    hidden = is_hidden(nearest, places)
    dropped["outside the image"] += len(metres) - count
    dropped["behind another"] = count - len(kept)
    dropped["hidden"] = int(np.count_nonzero(hidden))
    return kept[~hidden]


def _drawn(
    count: int, metres: Callable[[], np.ndarray], wishes: Wishes, rng: np.random.Generator
) -> np.ndarray:
    """Of `count` candidates the numbers of those that become labels, in rising order.

    metres: gives those of the candidates (count,), where it matters.
    """
    if count <= wishes.pixels:
        return np.arange(count)
    share = None
    if wishes.even:
        steps = np.log(metres().astype(np.float64))
        span = max(float(np.ptp(steps)), 1e-6)
        bins = np.minimum(((steps - steps.min()) / span * BINS).astype(int), BINS - 1)
        share = 1 / np.bincount(bins, minlength=BINS)[bins]
        share /= share.sum()
    return np.sort(rng.choice(count, wishes.pixels, replace=False, p=share, shuffle=False))
