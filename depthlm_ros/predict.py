# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Predictor: a frame and pixels in, Ranges out. What node, command line and evaluation call.

Knows nothing about ROS, and of engines only the contract.
"""

import time
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import chain
from math import nan
from operator import attrgetter
from typing import Protocol

import numpy as np

from depthlm_ros.batcher import Batcher
from depthlm_ros.camera import as_pixels
from depthlm_ros.checkpoints import Checkpoint, find_checkpoint
from depthlm_ros.engines import Reply, make_engine
from depthlm_ros.view import Frame, unify_focal

_NUMBERS = attrgetter("value", "median", "lower", "upper")
_NO_REPLY = Reply(nan, "")


class Status(IntEnum):
    """What became of one pixel; the numbers of depthlm_interfaces/msg/PixelDistances."""

    OK = 0
    SNAPPED = 1  # too near the border for an arrow: the nearest askable pixel was asked
    OUTSIDE = 2  # not on the picture
    INVALID = 3  # not a number, or without a ray
    NO_NUMBER = 4  # the model's reply held no distance
    TIMED_OUT = 5
    CANCELLED = 6


@dataclass(frozen=True)
class Ranges:
    """Answers to N pixels; row i answers pixel i. Float64, NaN where unknown.

    distance_m (N,): metres along the ray. z_m (N,): metres along the optical axis.
    lower_m, upper_m (N,): 5 % and 95 % quantiles of the distance, stddev_m their width / 3.29.
    points (N, 3): metres in the optical frame. status (N,) uint8. asked (N, 2): frame pixels.
    """

    distance_m: np.ndarray
    z_m: np.ndarray
    lower_m: np.ndarray
    upper_m: np.ndarray
    stddev_m: np.ndarray
    points: np.ndarray
    status: np.ndarray
    asked: np.ndarray

    def __len__(self):
        return len(self.status)


class Predictor(Protocol):
    """Whatever answers pixels of a frame."""

    def start(self, frame: Frame, pixels, style="", priority=0, deadline=None):
        """A job whose wait() and snapshot() return Ranges."""

    def ranges(self, frame: Frame, pixels, style="") -> Ranges:
        """start(...).wait()"""


def load_predictor(
    checkpoint="tiny", engine="local", row="", style="", grid_style="", warm_up=True, **options
) -> "AskingPredictor":
    """A predictor for "tiny", a checkpoint folder or a published name.

    engine: see engines.ENGINES; warm_up and options (device, dtype, threads, progress) go to
    make_engine. row: the published row to use for a folder that carries none. style, grid_style:
    how to point, for few pixels and for grids, instead of what the row says. Raises
    CheckpointError, MissingDependency, InputError or OutOfMemory.
    """
    found = choose_checkpoint(checkpoint, row, style, grid_style)
    return AskingPredictor(make_engine(engine, found, warm_up, **options), found)


def choose_checkpoint(checkpoint="tiny", row="", style="", grid_style="") -> Checkpoint:
    """The checkpoint that load_predictor would load, checked as far as goes without loading.

    Raises CheckpointError.
    """
    found = find_checkpoint(checkpoint, row)
    return replace(found, style=style or found.style, grid_style=grid_style or found.grid_style)


class AskingPredictor:
    """Asks an engine about each pixel. start() and the stepping belong to one thread."""

    def __init__(self, engine, checkpoint, step_s: float = 0.1):
        self.engine = engine
        self.checkpoint = checkpoint
        self.batcher = Batcher(engine, step_s)

    def start(self, frame, pixels, style="", priority=0, deadline=None) -> "RangesJob":
        """Ask about frame pixels (N, 2); style "" is the checkpoint's for few pixels."""
        asker = self.checkpoint.asker(style)
        plan = _plan(frame, as_pixels(pixels))
        views = unify_focal(frame, self.checkpoint.focal_px, self.checkpoint.axes).windows(
            self.checkpoint.largest_view
        )
        parts = []
        for view, rows, places in _shared_out(views, plan):
            questions = _questions(asker, view, plan, rows, places)
            scene = self.engine.open([view], asker)
            job = self.batcher.submit(scene, questions, priority, deadline)
            job.add_done_callback(lambda done: done.scene.close())
            parts.append((job, rows))
        return RangesJob(parts, plan, frame.camera, self.checkpoint, asker.name)

    def ranges(self, frame, pixels, style="") -> Ranges:
        """Ranges of frame pixels (N, 2), all answered."""
        return self.start(frame, pixels, style).wait()

    @property
    def device(self) -> str:
        """Where the model runs; "none" for an engine that has no model."""
        loaded = getattr(self.engine, "loaded", None)
        return str(loaded.device) if loaded else "none"

    def close(self) -> None:
        """Give the model back."""
        self.engine.close()


@dataclass
class _Plan:
    """Per pixel: its status so far and the frame pixel that is asked."""

    status: np.ndarray
    asked: np.ndarray


def _plan(frame, pixels) -> _Plan:
    status = np.full(len(pixels), Status.OK, np.uint8)
    status[~frame.camera.contains(pixels)] = Status.OUTSIDE
    with np.errstate(invalid="ignore"):
        rayless = ~np.isfinite(frame.camera.rays(np.nan_to_num(pixels))).all(axis=1)
    status[rayless & (status == Status.OK)] = Status.INVALID
    status[~np.isfinite(pixels).all(axis=1)] = Status.INVALID
    return _Plan(status, pixels.copy())


def _shared_out(views, plan):
    """(view, rows, their pixels of the view): each pixel goes to the window in whose middle it
    lies best."""
    rows = np.flatnonzero(plan.status == Status.OK)
    if not len(rows):
        return
    centres = np.array([(v.camera.width / 2, v.camera.height / 2) for v in views])
    places = np.stack([v.to_view(plan.asked[rows]) for v in views])  # (views, rows, 2)
    best = np.abs(places - centres[:, None]).max(axis=2).argmin(axis=0)
    for index in np.unique(best):
        mine = best == index
        yield views[index], rows[mine], places[index, mine]


def _questions(asker, view, plan, rows, places) -> list:
    """One a row; a pixel without room for a marker is snapped, and says so."""
    for i in np.flatnonzero(~asker.can_ask(view, places)):
        places[i] = asker.nearest_askable(view, places[i])
        plan.status[rows[i]] = Status.SNAPPED
        plan.asked[rows[i]] = view.to_frame(places[i])[0]
    return [asker.question(view, place) for place in places.tolist()]


class RangesJob:
    """Jobs of the windows of one frame, read as Ranges; the interface of batcher.Job."""

    def __init__(self, parts, plan, camera, checkpoint, style):
        self._parts = parts
        self._plan = plan
        self._camera = camera
        self._checkpoint = checkpoint
        self._calibration = checkpoint.calibration.get(style)

    @property
    def total(self) -> int:
        """Pixels that were sent to the model."""
        return sum(job.total for job, _ in self._parts)

    @property
    def done(self) -> int:
        """Pixels answered so far."""
        return sum(job.done for job, _ in self._parts)

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return all(job.finished for job, _ in self._parts)

    def cancel(self) -> None:
        """Stop after the step under way; what is answered stays."""
        for job, _ in self._parts:
            job.cancel()

    def expire(self) -> None:
        """Finish now, as when the deadline passes: what is not answered is TIMED_OUT."""
        for job, _ in self._parts:
            job.expire()

    def wait(self, timeout=None) -> Ranges:
        """Ranges when finished or after `timeout` seconds; raises what the engine raised."""
        end = None if timeout is None else time.monotonic() + timeout
        for job, _ in self._parts:
            job.wait(None if end is None else max(end - time.monotonic(), 0))
        return self.snapshot()

    def add_done_callback(self, callback) -> None:
        """Call callback(self) once all parts are finished."""
        if not self._parts:
            callback(self)
            return
        countdown = _Countdown(len(self._parts), lambda: callback(self))
        for job, _ in self._parts:
            job.add_done_callback(countdown)

    @property
    def error(self):
        """What the engine raised, or None."""
        return next((job.error for job, _ in self._parts if job.error), None)

    def snapshot(self, report="") -> Ranges:
        """Ranges so far; unanswered pixels are NaN with TIMED_OUT or CANCELLED.

        report: "greedy" or "median", how to read the replies instead of as the checkpoint says.
        """
        use_median = (report or self._checkpoint.report) == "median"
        status = self._plan.status.copy()
        told = np.full((len(status), 3), nan)  # value, lower, upper in the checkpoint's kind
        for job, rows in self._parts:
            replies = job.snapshot()
            told[rows] = _numbers(replies, use_median)
            lost = Status.CANCELLED if job.cancelled else Status.TIMED_OUT
            answered = np.array([reply is not None for reply in replies])
            unknown = np.where(answered, Status.NO_NUMBER, lost)
            status[rows] = np.where(np.isfinite(told[rows, 0]), status[rows], unknown)
        return self._ranges(status, told)

    def _ranges(self, status, told) -> Ranges:
        if self._calibration:
            told[:, 1], told[:, 2] = self._calibration.widened(told[:, 1], told[:, 2])
        asked = np.where((status != Status.INVALID)[:, None], self._plan.asked, nan)
        rays = np.full((len(status), 3), nan)
        inside = (status != Status.INVALID) & (status != Status.OUTSIDE)
        rays[inside] = self._camera.rays(asked[inside])
        if self._checkpoint.kind == "z":
            told = told / rays[:, 2:]
        distance, lower, upper = told.T
        return Ranges(
            distance_m=distance,
            z_m=distance * rays[:, 2],
            lower_m=lower,
            upper_m=upper,
            stddev_m=(upper - lower) / 3.29,
            points=distance[:, None] * rays,
            status=status,
            asked=asked,
        )


def _numbers(replies, use_median) -> np.ndarray:
    """(N, 3) number, lower and upper of replies, NaN where there is none yet.

    The number is the median only where there is one: without a distribution there are digits.
    """
    flat = chain.from_iterable(_NUMBERS(reply or _NO_REPLY) for reply in replies)
    value, middle, lower, upper = np.fromiter(flat, float, 4 * len(replies)).reshape(-1, 4).T
    return np.stack([np.where(use_median & np.isfinite(middle), middle, value), lower, upper], 1)


class _Countdown:
    """Calls `action` when it is called for the last of `count` times, from whichever thread."""

    def __init__(self, count, action):
        self._left = [None] * (count - 1)
        self._action = action

    def __call__(self, _):
        try:
            self._left.pop()
        except IndexError:
            self._action()
