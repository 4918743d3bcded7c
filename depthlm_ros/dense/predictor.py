# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A Predictor whose checkpoint has a dense head: in style dense pixels are looked up in a map of
the whole view; in all other styles they are asked, on the same weights.

A frame at half the size gives half as large a map: entries are read between middles of pixels,
where the image's content is, not where the published rule for single pixels truncates to. Windows
of a large view are blended where they overlap.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.nn import functional as F

from depthlm_ros.batcher import Job
from depthlm_ros.camera import Camera, as_pixels
from depthlm_ros.checkpoints import DENSE, Checkpoint
from depthlm_ros.dense.engine import DenseEngine
from depthlm_ros.dense.head import LARGEST_LOG_M, DepthMap
from depthlm_ros.engines.capacity import threads
from depthlm_ros.engines.local.engine import LocalEngine
from depthlm_ros.errors import CameraError
from depthlm_ros.predict import AskingPredictor, averaged, cancelled_by_errors, checked, paired
from depthlm_ros.ranges import STRIP, RangeMap, Ranges, RangesJob, Status
from depthlm_ros.view import Frame, View

TAIL = log(10)  # of a Laplace distribution: in so many scales from its middle lie 5 %
LARGEST_SCALE = 3.0  # of log metres: an interval wider than a factor of 1000 says nothing more
GRIDS = 4  # grids of cameras, of which rays and places in the view are kept
EDGE = 1e-3  # of a pixel, by which rounding may put one outside of every window


class DensePredictor(AskingPredictor):
    """engine: a LocalEngine whose checkpoint has a head; see Predictor for the methods.

    The map is the model's, whatever the metres that its questions are answered in: kind, interval
    and calibration are those of style dense.
    """

    def __init__(self, engine: LocalEngine, checkpoint: Checkpoint) -> None:
        self._dense = DenseEngine(engine)
        self._grids = _Grids()
        super().__init__(self._dense, checkpoint)

    def start(
        self,
        frame: Frame,
        pixels: ArrayLike,
        *,
        style: str = "",
        priority: int = 0,
        deadline: float | None = None,
    ) -> RangesJob:
        """See Predictor. In style dense only the windows of a view that hold one of the pixels are
        computed, each in a step of its own."""
        if (style or self.checkpoint.style) != DENSE:
            return super().start(frame, pixels, style=style, priority=priority, deadline=deadline)
        views = self._windows(frame)
        asked = self._grids.of(frame.camera, as_pixels(pixels))
        counts = [len(asked.wanted)]  # one view shows all of its frame
        if len(views) > 1:
            places = asked.pixels[asked.wanted]
            counts = [int(_inside(view, view.content(places)).sum()) for view in views]
        views = [view for view, count in zip(views, counts, strict=True) if count]
        halves = self._halves(views, priority, deadline)
        parts = [
            [_Part(job, count) for job in jobs]
            for *jobs, count in zip(*(half.jobs for half in halves), filter(None, counts))
        ]
        plan = _Plan(asked, halves)
        # A map has one number a pixel: there is no report to choose.
        return RangesJob(paired(parts), lambda report: plan.ranges(self.checkpoint))

    def map(self, frame: Frame) -> RangeMap:
        """Every pixel of the frame, in its size."""
        halves = self._halves(self._windows(frame))
        jobs = [job for half in halves for job in half.jobs]
        with cancelled_by_errors(jobs):
            for job in jobs:
                job.wait()
        width, height = frame.camera.width, frame.camera.height
        values = np.empty((3, height, width), np.float32)
        rows = max(STRIP // width, 1)
        for top in range(0, height, rows):
            v, u = np.mgrid[top : min(top + rows, height), :width]
            pixels = np.stack([u.ravel(), v.ravel()], axis=1).astype(float)
            found = _Plan(_Asked(frame.camera, pixels), halves).ranges(self.checkpoint)
            strip = np.stack([found.distance_m, found.lower_m, found.upper_m])
            values[:, top : top + rows] = strip.reshape(3, -1, width)
        unknown_ratio = self.checkpoint.unknown_ratio(DENSE)
        return RangeMap(values[0], values[1], values[2], frame.camera, unknown_ratio)

    def _halves(
        self, views: Sequence[View], priority: int = 0, deadline: float | None = None
    ) -> list[_Half]:
        """The maps of these views, and where they are averaged also those of the mirrored ones."""
        seen = [views]
        if self.checkpoint.average_of(DENSE):
            seen.append([view.mirrored() for view in views])
        return [
            _Half(some, [self._map_of(view, priority, deadline) for view in some]) for some in seen
        ]

    def _map_of(self, view: View, priority: int = 0, deadline: float | None = None) -> Job:
        """The job whose only reply is the DepthMap of a view."""
        return self._batcher.submit(self._dense.seen(view), [None], priority, deadline)

    def _windows(self, frame: Frame) -> list[View]:
        """The views whose maps cover a frame; CameraError where not even one image token fits."""
        self._check_open()
        view = self.checkpoint.view(frame)
        token, camera = self.engine.limits.token, view.camera
        if min(camera.width, camera.height) < token:
            others = self.checkpoint.spoken()
            instead = f", or ask in style {others[0]}" if others else ""
            raise CameraError(
                f"at {self.checkpoint.focal_px:g} px this {frame.camera.width} x"
                f" {frame.camera.height} image with fx = {frame.camera.fx:g} becomes a view of"
                f" {camera.width} x {camera.height}, smaller than the {token} x {token} px of one"
                " image token, of which no map can be made: check the intrinsics, give a larger"
                f" part of the image{instead}"
            )
        return self._views(frame)


class _Asked:
    """Pixels of a camera's images, and what is the same for all of these.

    pixels: (N, 2). status: (N,) why a pixel cannot be asked, OK otherwise. wanted: indices of
    those that are OK. rays: (N, 3), where all are.
    """

    def __init__(self, camera: Camera, pixels: np.ndarray) -> None:
        self.camera, self.pixels = camera, pixels
        self.status = checked(camera, pixels)
        self.wanted = np.flatnonzero(self.status == Status.OK)
        self.rays = camera.rays(pixels) if len(self.wanted) == len(pixels) else None
        self._middles: dict[bool, tuple[tuple[object, ...], torch.Tensor]] = {}

    def middles(self, view: View) -> torch.Tensor:
        """Where a view shows those that are OK; see _middle. Kept for the next view that shows
        the frame alike, and for the next that is mirrored."""
        key = view.scale, view.offset, view.camera.width, view.camera.height
        kept = self._middles.get(view.is_mirrored)
        if kept is None or kept[0] != key:
            kept = self._middles[view.is_mirrored] = (
                key,
                _grid(_middle(view, self.pixels[self.wanted])),
            )
        return kept[1]


class _Grids:
    """The _Asked of the newest grids, by the identity of arrays that stay as they are."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, Camera], _Asked] = OrderedDict()

    def of(self, camera: Camera, pixels: np.ndarray) -> _Asked:
        """Made anew for an array that may be written to."""
        if pixels.flags.writeable or pixels.base is not None:
            return _Asked(camera, pixels)
        key = id(pixels), camera
        found = self._kept.get(key) or _Asked(camera, pixels)  # which keeps the array alive
        self._kept[key] = found
        self._kept.move_to_end(key)
        while len(self._kept) > GRIDS:
            self._kept.popitem(last=False)
        return found


@dataclass(frozen=True)
class _Half:
    """Views, and of each the job whose only reply is its DepthMap."""

    views: Sequence[View]
    jobs: Sequence[Job]

    def values(self, asked: _Asked) -> tuple[np.ndarray, np.ndarray]:
        """See looked_up()."""
        return looked_up(asked, self.views, [job.snapshot()[0] for job in self.jobs])


@dataclass(frozen=True)
class _Plan:
    """Pixels of a frame and the maps in which they are looked up.

    halves: the views that hold a pixel that is OK, and the same mirrored where answers are
        averaged over both.
    """

    asked: _Asked
    halves: Sequence[_Half]

    def ranges(self, checkpoint: Checkpoint) -> Ranges:
        """Ranges as far as the maps are computed."""
        asked, wanted = self.asked, self.asked.wanted
        read = [half.values(asked) for half in self.halves]
        found = averaged([metres for metres, _ in read])
        is_computed = np.all([known for _, known in read], axis=0)
        cancelled = any(job.cancelled for half in self.halves for job in half.jobs)
        lost = Status.CANCELLED if cancelled else Status.TIMED_OUT
        unknown = np.where(is_computed, Status.NO_NUMBER, lost).astype(np.uint8)
        of_wanted = np.where(np.isfinite(found[:, 0]), np.uint8(Status.OK), unknown)
        if len(wanted) == len(asked.pixels):  # as in every grid: nothing to be put in its place
            status, values = of_wanted, found
        else:
            status, values = asked.status.copy(), np.full((len(asked.pixels), 3), np.nan)
            status[wanted], values[wanted] = of_wanted, found
        return Ranges.of_checkpoint(
            values, status, asked.pixels, asked.camera, checkpoint, DENSE, asked.rays
        )


class _Part:
    """A job of one map, counted in the pixels that are looked up in it; see ranges.Part."""

    def __init__(self, job: Job, pixels: int) -> None:
        self._job = job
        self.total = pixels
        self.cancel, self.expire, self.wait = job.cancel, job.expire, job.wait
        self.add_done_callback = job.add_done_callback

    @property
    def done(self) -> int:
        """All of them or none."""
        return self.total * self._job.done

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self._job.finished

    @property
    def error(self) -> Exception | None:
        """What the model raised, or None."""
        return self._job.error


def looked_up(
    asked: _Asked, views: Sequence[View], maps: Sequence[DepthMap | None]
) -> tuple[np.ndarray, np.ndarray]:
    """((N, 3) value, lower and upper in metres, NaN where unknown; (N,) whether all maps that hold
    the pixel are computed) of the N wanted pixels.

    Where views overlap their maps are blended, each by how far the pixel lies inside it.
    """
    if len(views) == 1 and maps[0] is not None:  # the rule below, at a fraction of the cost
        values = _metres(_sampled(maps[0], asked.middles(views[0])), maps[0].is_log)
        return values, np.ones(len(asked.wanted), bool)
    pixels = asked.pixels[asked.wanted]
    sums, weights = np.zeros((len(pixels), 2)), np.zeros(len(pixels))
    is_computed, is_log = np.ones(len(pixels), bool), True
    for view, found in zip(views, maps, strict=True):
        middle = _middle(view, pixels)
        held = np.flatnonzero(_inside(view, view.content(pixels)))
        if found is None:
            is_computed[held] = False
            continue
        size = view.camera.width, view.camera.height
        inside = np.minimum(middle[held], 1 - middle[held]) * size + EDGE
        weight = inside.prod(axis=1)
        sums[held] += weight[:, None] * _sampled(found, _grid(middle[held])).T
        weights[held] += weight
        is_log = found.is_log
    with np.errstate(divide="ignore", invalid="ignore"):
        values = _metres((sums / weights[:, None]).T, is_log)
    values[~is_computed] = np.nan
    return values, is_computed


def _metres(read: np.ndarray, is_log: bool) -> np.ndarray:
    """(N, 3) value, lower and upper in metres of (2, N) value and log scale, NaN where unknown."""
    value, log_scale = read
    with np.errstate(invalid="ignore", over="ignore"):
        metres = np.exp(np.minimum(value, LARGEST_LOG_M)) if is_log else value
        metres = np.where((metres > 0) & np.isfinite(metres), metres, np.nan)
        spread = np.exp(TAIL * np.minimum(np.exp(log_scale), LARGEST_SCALE))
        values = np.stack([metres, metres / spread, metres * spread], axis=1)
    return values.astype(np.float64)


def _middle(view: View, pixels: np.ndarray) -> np.ndarray:
    """(N, 2) where a view shows frame pixels (N, 2), each axis from 0 to 1."""
    return (view.content(pixels) + 0.5) / (view.camera.width, view.camera.height)


def _inside(view: View, places: np.ndarray) -> np.ndarray:
    """(N,) whether places (N, 2) of a view's image lie on it."""
    size = np.array([view.camera.width, view.camera.height])
    return np.all((places > -0.5 - EDGE) & (places < size - 0.5 + EDGE), axis=1)


def _grid(middle: np.ndarray) -> torch.Tensor:
    """(1, 1, N, 2) float32 places from -1 to 1, as grid_sample wants them, of (N, 2) from 0 to
    1."""
    return torch.from_numpy((2 * middle - 1).astype(np.float32))[None, None]


@threads(1)  # milliseconds for a large cloud
def _sampled(found: DepthMap, grid: torch.Tensor) -> np.ndarray:
    """(2, N) float32 value and log scale of a map at the places of _grid(); NaN where there is
    none. Bilinear between middles of entries, of those that are known; NaN where the nearest
    entry is."""
    scale = found.log_scale
    layers = torch.stack([found.value, torch.full_like(found.value, torch.nan)], 1)  # (1, 2, h, w)
    if scale is not None:
        layers[:, 1] = scale
    given = {"grid": grid, "padding_mode": "border", "align_corners": False}
    known = layers[:, :1].isfinite()
    if known.all():
        sampled = F.grid_sample(layers, **given)
    else:
        shares = F.grid_sample(known.float(), **given)
        sampled = F.grid_sample(torch.where(known, layers, 0.0), **given) / shares
        nearest = F.grid_sample(known.float(), mode="nearest", **given)
        sampled = torch.where(nearest > 0, sampled, torch.nan)
    return sampled[0, :, 0].numpy()
