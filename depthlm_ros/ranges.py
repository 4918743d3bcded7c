# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Ranges: what is known of N pixels, and RangesJob, the replies of an engine read as Ranges.

Knows cameras, replies and jobs; nothing about who asked, nor how a question is put.
"""

import time
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from math import nan
from operator import attrgetter

import numpy as np

from depthlm_ros.engines import Reply

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

    @classmethod
    def along(cls, rays, told, status, asked) -> "Ranges":
        """Ranges of told (N, 3), distance, lower and upper in metres, along unit rays (N, 3)."""
        distance, lower, upper = told.T
        return cls(
            distance_m=distance,
            z_m=distance * rays[:, 2],
            lower_m=lower,
            upper_m=upper,
            stddev_m=(upper - lower) / 3.29,
            points=distance[:, None] * rays,
            status=status,
            asked=asked,
        )

    def __len__(self):
        return len(self.status)


class RangesJob:
    """Jobs of the windows of one frame, read as Ranges; the interface of batcher.Job.

    parts: [(job, rows)], the pixels that each job asks about.
    """

    def __init__(self, parts, plan, camera, checkpoint, style):
        self.parts = parts
        self._plan = plan
        self._camera = camera
        self._checkpoint = checkpoint
        self._calibration = checkpoint.calibration.get(style)

    @property
    def total(self) -> int:
        """Pixels that were sent to the model."""
        return sum(job.total for job, _ in self.parts)

    @property
    def done(self) -> int:
        """Pixels answered so far."""
        return sum(job.done for job, _ in self.parts)

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return all(job.finished for job, _ in self.parts)

    def cancel(self) -> None:
        """Stop after the step under way; what is answered stays."""
        for job, _ in self.parts:
            job.cancel()

    def expire(self) -> None:
        """Finish now, as when the deadline passes: what is not answered is TIMED_OUT."""
        for job, _ in self.parts:
            job.expire()

    def wait(self, timeout=None) -> Ranges:
        """Ranges when finished or after `timeout` seconds; raises what the engine raised."""
        end = None if timeout is None else time.monotonic() + timeout
        for job, _ in self.parts:
            job.wait(None if end is None else max(end - time.monotonic(), 0))
        return self.snapshot()

    def add_done_callback(self, callback) -> None:
        """Call callback(self) once all parts are finished."""
        if not self.parts:
            callback(self)
            return
        countdown = _Countdown(len(self.parts), lambda: callback(self))
        for job, _ in self.parts:
            job.add_done_callback(countdown)

    @property
    def error(self):
        """What the engine raised, or None."""
        return next((job.error for job, _ in self.parts if job.error), None)

    def snapshot(self, report="") -> Ranges:
        """Ranges so far; unanswered pixels are NaN with TIMED_OUT or CANCELLED.

        report: "greedy" or "median", how to read the replies instead of as the checkpoint says.
        """
        use_median = (report or self._checkpoint.report) == "median"
        status = self._plan.status.copy()
        told = np.full((len(status), 3), nan)  # value, lower, upper in the checkpoint's kind
        for job, rows in self.parts:
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
        return Ranges.along(rays, told, status, asked)


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
