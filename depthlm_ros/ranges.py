# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Ranges: the answers to N pixels. RangesJob: such answers on their way. RangeMap: every pixel."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import inf
from typing import Any, Protocol

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint

# Width of the interval from 5 % to 95 % of a normal distribution, in standard deviations.
INTERVAL_SIGMAS = 3.29
STRIP = 500_000  # pixels of a map that are computed at once


class Status(IntEnum):
    """What became of one pixel; the numbers of depthlm_interfaces/msg/PixelDistances."""

    OK = 0
    SNAPPED = 1  # too close to the border for an arrow: the nearest askable pixel was asked
    OUTSIDE = 2  # outside the image
    INVALID = 3  # not a number, or without a ray
    NO_NUMBER = 4  # the model's reply held no distance
    TIMED_OUT = 5
    CANCELLED = 6


@dataclass(frozen=True)
class Ranges:
    """The answers to N pixels; entry i answers pixel i. Float64, NaN where unknown.

    distance_m: (N,) metres along the ray.
    z_m: (N,) metres along the optical axis.
    lower_m, upper_m: (N,) 5 % and 95 % quantiles of the distance.
    stddev_m: (N,) the width of that interval / 3.29.
    points: (N, 3) metres in the optical frame.
    status: (N,) uint8 of Status.
    asked: (N, 2) the pixels (u, v) of the frame that were asked.
    uncertain: (N,) bool, whether there is an answer whose interval is so wide that it is no better
        than a constant (Calibration.unknown_ratio).
    """

    distance_m: np.ndarray
    z_m: np.ndarray
    lower_m: np.ndarray
    upper_m: np.ndarray
    stddev_m: np.ndarray
    points: np.ndarray
    status: np.ndarray
    asked: np.ndarray
    uncertain: np.ndarray

    @classmethod
    def along(
        cls,
        rays: np.ndarray,
        values: np.ndarray,
        status: np.ndarray,
        asked: np.ndarray,
        unknown_ratio: float = inf,
    ) -> "Ranges":
        """Ranges of values (N, 3), distance, lower and upper in metres, along unit rays (N, 3).

        unknown_ratio: upper / lower from which on an answer is uncertain.
        """
        distance, lower, upper = values.T
        return cls(
            distance_m=distance,
            z_m=distance * rays[:, 2],
            lower_m=lower,
            upper_m=upper,
            stddev_m=(upper - lower) / INTERVAL_SIGMAS,
            points=distance[:, None] * rays,
            status=status,
            asked=asked,
            uncertain=is_uncertain(lower, upper, unknown_ratio),
        )

    @classmethod
    def of_checkpoint(
        cls,
        values: np.ndarray,
        status: np.ndarray,
        asked: np.ndarray,
        camera: Camera,
        checkpoint: Checkpoint,
        style: str,
        rays: np.ndarray | None = None,
    ) -> "Ranges":
        """Ranges of what a checkpoint answered in a style, with its calibration.

        values: (N, 3) value, lower and upper in metres of the style's kind, NaN where unknown.
        rays: (N, 3) of pixels that all have one, where they are known already.
        """
        calibration = checkpoint.calibration_of(style)
        if calibration:
            lower, upper = calibration.widened(values[:, 1], values[:, 2])
            values = np.stack([values[:, 0], lower, upper], axis=1)
        if rays is None:
            asked = np.where((status != Status.INVALID)[:, None], asked, np.nan)
            rays = np.full((len(status), 3), np.nan)
            inside = (status != Status.INVALID) & (status != Status.OUTSIDE)
            rays[inside] = camera.rays(asked[inside])
        if checkpoint.kind_of(style) == "z":
            values = values / rays[:, 2:]
        return cls.along(rays, values, status, asked, checkpoint.unknown_ratio(style))

    def __len__(self) -> int:
        return len(self.status)


def is_uncertain(lower_m: np.ndarray, upper_m: np.ndarray, unknown_ratio: float) -> np.ndarray:
    """Whether intervals are as wide as unknown_ratio or wider; never where there is none."""
    with np.errstate(invalid="ignore"):
        return np.isfinite(upper_m) & (upper_m >= unknown_ratio * lower_m)


@dataclass(frozen=True)
class RangeMap:
    """Distances of a whole frame. NaN where unknown.

    distance_m: (H, W) metres along the rays.
    lower_m, upper_m: (H, W) 5 % and 95 % quantiles of the distance.
    camera: whose pixels the entries are; its size is (W, H), which may be coarser than the frame.
    unknown_ratio: upper / lower from which on an entry is uncertain, see Ranges.
    """

    distance_m: np.ndarray
    lower_m: np.ndarray
    upper_m: np.ndarray
    camera: Camera
    unknown_ratio: float = inf

    @property
    def uncertain(self) -> np.ndarray:
        """(H, W) bool, see Ranges."""
        return is_uncertain(self.lower_m, self.upper_m, self.unknown_ratio)

    @property
    def points(self) -> np.ndarray:
        """(H, W, 3) metres in the optical frame."""
        return self._with_rays(lambda metres, rays: metres[..., None] * rays, 3)

    @property
    def z_m(self) -> np.ndarray:
        """(H, W) metres along the optical axis."""
        return self._with_rays(lambda metres, rays: metres * rays[..., 2])

    @property
    def stddev_m(self) -> np.ndarray:
        """(H, W) the width of the interval / 3.29."""
        return (self.upper_m - self.lower_m) / INTERVAL_SIGMAS

    def _with_rays(
        self, made: Callable[[np.ndarray, np.ndarray], np.ndarray], *last: int
    ) -> np.ndarray:
        """(H, W, *last) of what is made of distances (h, W) and rays (h, W, 3), a strip of rows
        after the other: the rays of a large photo take gigabytes."""
        height, width = self.distance_m.shape
        found, rows = np.empty((height, width, *last)), max(STRIP // width, 1)
        for top in range(0, height, rows):
            metres = self.distance_m[top : top + rows]
            v, u = np.mgrid[top : top + len(metres), :width]
            rays = self.camera.rays(np.stack([u.ravel(), v.ravel()], axis=1))
            found[top : top + rows] = made(metres, rays.reshape(*metres.shape, 3))
        return found


class Part(Protocol):
    """What a RangesJob waits for: a batcher.Job, or any job with its interface."""

    @property
    def total(self) -> int: ...

    @property
    def done(self) -> int: ...

    @property
    def finished(self) -> bool: ...

    @property
    def error(self) -> Exception | None: ...

    def cancel(self) -> None: ...

    def expire(self) -> None: ...

    def wait(self, timeout: float | None = None) -> object: ...

    def add_done_callback(self, callback: Callable[[object], None]) -> None: ...


class _Parts:
    """Several parts as one. Thread-safe."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return all(part.finished for part in self._parts)

    @property
    def error(self) -> Exception | None:
        """What the engine raised in one of them, or None."""
        return next((part.error for part in self._parts if part.error), None)

    def cancel(self) -> None:
        """Stop after the step under way; what is answered stays, the rest is CANCELLED."""
        for part in self._parts:
            part.cancel()

    def expire(self) -> None:
        """Finish now, as when the deadline passes: what is not answered is TIMED_OUT."""
        for part in self._parts:
            part.expire()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call callback(self) once all parts are finished, in the thread that finishes the last;
        now if they are."""
        if not self._parts:
            callback(self)
            return
        countdown = _Countdown(len(self._parts), lambda: callback(self))
        for part in self._parts:
            part.add_done_callback(countdown)

    def _wait(self, timeout: float | None) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        for part in self._parts:
            part.wait(None if end is None else max(end - time.monotonic(), 0.0))


class Both(_Parts):
    """Two parts about the same pixels, of which every pixel needs both; itself a Part."""

    def __init__(self, first: Part, second: Part) -> None:
        super().__init__((first, second))
        self.total = first.total

    @property
    def done(self) -> int:
        """How many pixels both have answered, as far as they answer in one order."""
        return min(part.done for part in self._parts)

    def wait(self, timeout: float | None = None) -> None:
        """Until both are finished or `timeout` seconds are over; raises what one raised."""
        self._wait(timeout)


class RangesJob(_Parts):
    """The answers to some pixels of a frame, on their way. Thread-safe.

    parts: the jobs that it consists of; without any it is finished.
    read: (report) -> Ranges as far as the parts are answered; what is not is NaN with TIMED_OUT
        or CANCELLED. report: "greedy" or "median", "" for what the checkpoint says.
    """

    def __init__(self, parts: Sequence[Part], read: Callable[[str], Ranges]) -> None:
        super().__init__(parts)
        self._read = read

    @property
    def total(self) -> int:
        """How many pixels the model was given."""
        return sum(part.total for part in self._parts)

    @property
    def done(self) -> int:
        """How many of them are answered."""
        return sum(part.done for part in self._parts)

    def wait(self, timeout: float | None = None) -> Ranges:
        """Ranges when finished or after `timeout` seconds; raises what the engine raised."""
        self._wait(timeout)
        return self.snapshot()

    def snapshot(self, report: str = "") -> Ranges:
        """Ranges so far. report: how to read the replies, instead of as the checkpoint says."""
        return self._read(report)


class _Countdown:
    """Calls `action` when it is called for the last of `count` times, from whichever thread."""

    def __init__(self, count: int, action: Callable[[], None]) -> None:
        self._left: list[None] = [None] * (count - 1)
        self._action = action

    def __call__(self, _: object) -> None:
        try:
            self._left.pop()
        except IndexError:
            self._action()
