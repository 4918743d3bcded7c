# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A Predictor whose checkpoint has a dense head: in style dense pixels are looked up in a map of
the whole view; in all other styles they are asked, on the same weights.

A frame at half the size gives half as large a map: entries are read between middles of pixels,
where the image's content is, not where the published rule for single pixels truncates to. Windows
of a large view are blended where they overlap.
"""

from __future__ import annotations

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
from depthlm_ros.engines.local.engine import LocalEngine
from depthlm_ros.errors import CameraError
from depthlm_ros.predict import AskingPredictor, averaged, checked, paired
from depthlm_ros.ranges import RangeMap, Ranges, RangesJob, Status
from depthlm_ros.view import Frame, View, unify_focal

TAIL = log(10)  # of a Laplace distribution: in so many scales from its middle lie 5 %
LARGEST_SCALE = 3.0  # of log metres: an interval wider than a factor of 1000 says nothing more
STRIP = 500_000  # pixels that are read at once
EDGE = 1e-3  # of a pixel, by which rounding may put one outside of every window


class DensePredictor(AskingPredictor):
    """engine: a LocalEngine whose checkpoint has a head; see Predictor for the methods.

    The map is the model's, whatever the metres that its questions are answered in: kind, interval
    and calibration are those of style dense.
    """

    def __init__(self, engine: LocalEngine, checkpoint: Checkpoint) -> None:
        self._dense = DenseEngine(engine)
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
        asked = as_pixels(pixels)
        status = checked(frame.camera, asked)
        wanted = asked[status == Status.OK]
        views = self._windows(frame)
        counts = [len(wanted)]  # one view shows all of its frame
        if len(views) > 1:
            counts = [int(_inside(view, view.content(wanted)).sum()) for view in views]
        views = [view for view, count in zip(views, counts, strict=True) if count]
        halves = self._halves(views, priority, deadline)
        parts = [
            [_Part(job, count) for job in jobs]
            for *jobs, count in zip(*(half.jobs for half in halves), filter(None, counts))
        ]
        plan = _Plan(frame.camera, asked, status, halves)
        return RangesJob(paired(parts), lambda report: plan.ranges(self.checkpoint))

    def map(self, frame: Frame) -> RangeMap:
        """Every pixel of the frame, in its size."""
        halves = self._halves(self._windows(frame))
        for half in halves:
            for job in half.jobs:
                job.wait()
        width, height = frame.camera.width, frame.camera.height
        told = np.empty((3, height, width), np.float32)
        rows = max(STRIP // width, 1)
        for top in range(0, height, rows):
            v, u = np.mgrid[top : min(top + rows, height), :width]
            pixels = np.stack([u.ravel(), v.ravel()], axis=1).astype(float)
            status = np.zeros(len(pixels), np.uint8)
            found = _Plan(frame.camera, pixels, status, halves).ranges(self.checkpoint)
            strip = np.stack([found.distance_m, found.lower_m, found.upper_m])
            told[:, top : top + rows] = strip.reshape(3, -1, width)
        unknown_ratio = self.checkpoint.unknown_ratio(DENSE)
        return RangeMap(told[0], told[1], told[2], frame.camera, unknown_ratio)

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
        view = unify_focal(frame, self.checkpoint.focal_px, self.checkpoint.axes)
        token, camera = self.engine.limits.token, view.camera
        if min(camera.width, camera.height) < token:
            raise CameraError(
                f"at {self.checkpoint.focal_px:g} px this {frame.camera.width} x"
                f" {frame.camera.height} image with fx = {frame.camera.fx:g} becomes a view of"
                f" {camera.width} x {camera.height}, smaller than the {token} x {token} px of one"
                " image token, of which no map can be told: check the intrinsics, or give a larger"
                " part of the image"
            )
        return self._views(frame)


@dataclass(frozen=True)
class _Half:
    """Views, and of each the job whose only reply is its DepthMap."""

    views: Sequence[View]
    jobs: Sequence[Job]

    def told(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See looked_up()."""
        return looked_up(pixels, self.views, [job.snapshot()[0] for job in self.jobs])


@dataclass(frozen=True)
class _Plan:
    """Pixels of a frame and the maps in which they are looked up.

    asked: (N, 2) pixels. status: (N,) of each if it is told. halves: the views that hold one of
    those that are OK, and the same mirrored where answers are averaged over both.
    """

    camera: Camera
    asked: np.ndarray
    status: np.ndarray
    halves: Sequence[_Half]

    def ranges(self, checkpoint: Checkpoint) -> Ranges:
        """Ranges as far as the maps are told; no more than one number a pixel has a map."""
        status, told = self.status.copy(), np.full((len(self.asked), 3), np.nan)
        wanted = np.flatnonzero(status == Status.OK)
        found = [half.told(self.asked[wanted]) for half in self.halves]
        told[wanted] = averaged([metres for metres, _ in found])
        is_told = np.all([known for _, known in found], axis=0)
        cancelled = any(job.cancelled for half in self.halves for job in half.jobs)
        lost = Status.CANCELLED if cancelled else Status.TIMED_OUT
        unknown = np.where(is_told, Status.NO_NUMBER, lost)
        status[wanted] = np.where(np.isfinite(told[wanted, 0]), Status.OK, unknown)
        return Ranges.of_checkpoint(told, status, self.asked, self.camera, checkpoint, DENSE)


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
    pixels: np.ndarray, views: Sequence[View], maps: Sequence[DepthMap | None]
) -> tuple[np.ndarray, np.ndarray]:
    """((N, 3) value, lower and upper in metres, NaN where unknown; (N,) whether all maps that hold
    the pixel are told) of frame pixels (N, 2).

    Where views overlap their maps are blended, each by how far the pixel lies inside it.
    """
    if len(views) == 1 and maps[0] is not None:  # the rule below, at a fraction of the cost
        told = _metres(_sampled(maps[0], _middle(views[0], pixels)), maps[0].is_log)
        return told, np.ones(len(pixels), bool)
    sums, weights = np.zeros((len(pixels), 2)), np.zeros(len(pixels))
    is_told, is_log = np.ones(len(pixels), bool), True
    for view, found in zip(views, maps, strict=True):
        middle = _middle(view, pixels)
        held = np.flatnonzero(_inside(view, view.content(pixels)))
        if found is None:
            is_told[held] = False
            continue
        size = view.camera.width, view.camera.height
        inside = np.minimum(middle[held], 1 - middle[held]) * size + EDGE
        weight = inside.prod(axis=1)
        sums[held] += weight[:, None] * _sampled(found, middle[held])
        weights[held] += weight
        is_log = found.is_log
    with np.errstate(divide="ignore", invalid="ignore"):
        told = _metres(sums / weights[:, None], is_log)
    told[~is_told] = np.nan
    return told, is_told


def _metres(read: np.ndarray, is_log: bool) -> np.ndarray:
    """(N, 3) value, lower and upper in metres of (N, 2) value and log scale, NaN where unknown."""
    value, log_scale = read.T
    with np.errstate(invalid="ignore", over="ignore"):
        metres = np.exp(np.minimum(value, LARGEST_LOG_M)) if is_log else value
        spread = np.exp(TAIL * np.minimum(np.exp(log_scale), LARGEST_SCALE))
        told = np.stack([metres, metres / spread, metres * spread], axis=1)
    told[~(metres > 0) | np.isinf(metres)] = np.nan
    return told


def _middle(view: View, pixels: np.ndarray) -> np.ndarray:
    """(N, 2) where a view shows frame pixels (N, 2), each axis from 0 to 1."""
    return (view.content(pixels) + 0.5) / (view.camera.width, view.camera.height)


def _inside(view: View, places: np.ndarray) -> np.ndarray:
    """(N,) whether places (N, 2) of a view's image lie on it."""
    size = np.array([view.camera.width, view.camera.height])
    return np.all((places > -0.5 - EDGE) & (places < size - 0.5 + EDGE), axis=1)


def _sampled(found: DepthMap, middle: np.ndarray) -> np.ndarray:
    """(N, 2) value and log scale of a map at places (N, 2), each from 0 to 1; NaN where there is
    none. Bilinear between middles of entries, of those that are known; NaN where the nearest
    entry is."""
    scale = found.log_scale
    layers = torch.stack([found.value, torch.full_like(found.value, torch.nan)], 1)  # (1, 2, h, w)
    if scale is not None:
        layers[:, 1] = scale
    grid = torch.from_numpy((2 * middle - 1).astype(np.float32))[None, None]
    given = {"grid": grid, "padding_mode": "border", "align_corners": False}
    known = layers[:, :1].isfinite()
    if known.all():
        sampled = F.grid_sample(layers, **given)
    else:
        shares = F.grid_sample(known.float(), **given)
        sampled = F.grid_sample(torch.where(known, layers, 0.0), **given) / shares
        nearest = F.grid_sample(known.float(), mode="nearest", **given)
        sampled = torch.where(nearest > 0, sampled, torch.nan)
    return sampled[0, :, 0].T.double().numpy()
