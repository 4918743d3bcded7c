# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What is asked of the model, as values, and one request on its way: waited for, looked at,
cancelled, settled exactly once.

Knows neither ROS nor who asks; thread.py begins requests in the thread that owns the model.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from math import inf
from typing import Protocol

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import (
    Code,
    DepthLMError,
    EngineError,
    InputError,
    Problem,
    UnsupportedError,
    first_line,
)
from depthlm_ros.predict import Predictor
from depthlm_ros.ranges import Ranges, RangesJob
from depthlm_ros.regions import box_pixels
from depthlm_ros.scan import Region, grid_pixels, stride_shape
from depthlm_ros.view import Frame

GRID_STYLE = "grid"  # the checkpoint's style for grids, whichever that is
GRID_KIND = "grid"  # what the node's own grids are counted as
GRID_PRIORITY = -1  # grids give way to few pixels


class FrameSource(Protocol):
    """An image whose Frame is decoded when it is first wanted, by the thread that wants it."""

    @property
    def frame(self) -> Frame:
        """Raises ImageError or CameraError."""


class PixelSet(Protocol):
    """Which pixels of an image, once its size is known."""

    def on(self, camera: Camera) -> np.ndarray:
        """(N, 2) pixels of the camera's image; raises InputError."""


@dataclass(frozen=True)
class Pixels:
    """A list.

    values: (N, 2) float pixels.
    """

    values: np.ndarray

    def shape(self, camera: Camera) -> tuple[int, int]:
        """(columns, rows): one row, whatever the camera."""
        return len(self.values), 1

    def on(self, camera: Camera) -> np.ndarray:
        """The list, whatever the camera."""
        return self.values


@dataclass(frozen=True)
class Grid:
    """Pixels in columns and rows, row by row.

    region: (left, top, width, height) in pixels, None for the whole image.
    """

    columns: int
    rows: int
    region: Region | None = None

    def shape(self, camera: Camera) -> tuple[int, int]:
        """(columns, rows), whatever the camera."""
        return self.columns, self.rows

    def on(self, camera: Camera) -> np.ndarray:
        """(columns * rows, 2) middles of equal cells; InputError for a region that is wholly off
        the image, or too many cells."""
        _check_region(camera, self.region)
        return grid_pixels(camera, self.columns, self.rows, self.region)


@dataclass(frozen=True)
class Stride:
    """Every stride-th pixel along both axes, as a grid.

    stride: in pixels.
    region: as of a Grid.
    """

    stride: int
    region: Region | None = None

    def on(self, camera: Camera) -> np.ndarray:
        """(columns * rows, 2) as of a Grid of this shape."""
        return Grid(*self.shape(camera), self.region).on(camera)

    def shape(self, camera: Camera) -> tuple[int, int]:
        """(columns, rows)."""
        _, _, width, height = self.region or (0, 0, camera.width, camera.height)
        return stride_shape(width, height, self.stride)


def _check_region(camera: Camera, region: Region | None) -> None:
    if region is None:
        return
    left, top, width, height = region
    if left >= camera.width or top >= camera.height:
        raise InputError(
            f"the region {width} x {height} at ({left}, {top}) is wholly off the image of"
            f" {camera.width} x {camera.height}"
        )


@dataclass(frozen=True)
class Boxes:
    """Some pixels of each box.

    boxes: (left, top, width, height) of each, in pixels.
    samples: pixels of each, 0 for the default (regions.py).
    """

    boxes: tuple[tuple[float, float, float, float], ...]
    samples: int = 0

    def on(self, camera: Camera) -> np.ndarray:
        """(N, 2) of all boxes that are on the image; none where none is."""
        return box_pixels(camera, self.boxes, self.samples).pixels


@dataclass(frozen=True)
class PixelRequest:
    """Pixels of one image, to be measured.

    camera: its name, empty for an image that came with the request.
    frame: the image, decoded or still to be.
    pixels: which of them.
    style: how to point at the pixels; empty: the checkpoint's for few, GRID_STYLE: for grids.
    priority: higher goes first.
    deadline: time.monotonic() seconds at which it ends with what is answered; inf: never.
    kind: what it is counted as in statistics.
    """

    camera: str
    frame: Frame | FrameSource
    pixels: PixelSet
    style: str = ""
    priority: int = 0
    deadline: float = inf
    kind: str = "query"

    @classmethod
    def many(
        cls,
        camera: str,
        frame: Frame | FrameSource,
        pixels: PixelSet,
        style: str = GRID_STYLE,
        kind: str = GRID_KIND,
    ) -> "PixelRequest":
        """A request for many pixels, which gives way to all others and has no deadline."""
        return cls(camera, frame, pixels, style, GRID_PRIORITY, kind=kind)


@dataclass(frozen=True)
class Answered:
    """What a request came to.

    frame: the image that was asked about.
    ranges: row i is pixel i of the request.
    """

    frame: Frame
    ranges: Ranges


class Pending:
    """A request that the model has been given, or will be. Thread-safe.

    future: of its Answered, or of the DepthLMError that ended it.
    asked: time.monotonic() seconds of its arrival.
    on_settled(pending) is called when it has ended.
    """

    def __init__(
        self,
        request: PixelRequest,
        on_settled: Callable[["Pending"], None] = lambda pending: None,
    ) -> None:
        self.future: Future[Answered] = Future()
        self.kind = request.kind
        self.deadline = request.deadline
        self.asked = time.monotonic()
        self._request = request
        self._on_settled = on_settled
        self._frame: Frame | None = None
        self._job: RangesJob | None = None

    @property
    def done(self) -> int:
        """Pixels answered so far."""
        return self._job.done if self._job else 0

    @property
    def total(self) -> int:
        """Pixels that the model was given; 0 until it has begun."""
        return self._job.total if self._job else 0

    def snapshot(self) -> Answered | None:
        """Answered so far, the rest NaN; None until the model has begun."""
        if self._job is None or self._frame is None:
            return None
        return Answered(self._frame, self._job.snapshot())

    def begin(self, predictor: Predictor) -> None:
        """Decode the image and start the job; what either raises ends this request alone."""
        if self.future.done():
            return
        try:
            job = self._started(predictor)
        except DepthLMError as error:
            self.refuse(error)
            return
        except Exception as error:  # noqa: BLE001, an engine that cannot open it
            self.refuse(as_ours(error, "this image cannot be asked about"))
            return
        self._job = job
        if self.future.done():  # it was ended while the image was opened
            job.cancel()
        job.add_done_callback(self._settle)

    def _started(self, predictor: Predictor) -> RangesJob:
        request = self._request
        frame = request.frame if isinstance(request.frame, Frame) else request.frame.frame
        self._frame = frame
        style = request.style
        if style == GRID_STYLE:
            style = predictor.checkpoint.grid_style
        return predictor.start(
            frame,
            request.pixels.on(frame.camera),
            style=style,
            priority=request.priority,
            deadline=request.deadline,
        )

    def is_callers(self, error: BaseException) -> bool:
        """Whether an error that ended this request is its caller's: a cancel, pixels that cannot
        be, or an image that came with it and cannot be asked about."""
        if not isinstance(error, DepthLMError) or isinstance(error, UnsupportedError):
            return False
        asked_wrongly = error.code == Code.BAD_REQUEST and self.kind != GRID_KIND
        sent_wrongly = isinstance(error, InputError) and not self._request.camera
        return asked_wrongly or sent_wrongly or error.code == Code.CANCELLED

    def cancel(self) -> None:
        """End it now with what is answered; the other pixels are CANCELLED."""
        if self._job:
            self._job.cancel()
        else:
            text = "the request was cancelled before the model began with it"
            self.refuse(EngineError(text, Code.CANCELLED))

    def expire(self) -> None:
        """End it now with what is answered; the other pixels are TIMED_OUT."""
        if self._job:
            self._job.expire()
            return
        text = (
            "no answer in the time allowed: the model was busy and has not begun this request."
            " Ask fewer pixels per request, or allow more time (parameter query.timeout)"
        )
        self.refuse(EngineError(text, Code.TIMED_OUT))

    def refuse(self, error: DepthLMError) -> None:
        """End it now with an error, whatever is answered."""
        self._settled(lambda: self.future.set_exception(untraced(error)))
        if self._job:
            self._job.cancel()

    def _settle(self, job: RangesJob) -> None:
        if self.future.done():  # refused: what is answered is not read any more
            return
        if job.error is not None:
            failed = untraced(as_ours(job.error, "the engine failed"))
            self._settled(lambda: self.future.set_exception(failed))
        else:
            answered = self.snapshot()
            assert answered is not None
            self._settled(lambda: self.future.set_result(answered))

    def _settled(self, settle: Callable[[], None]) -> None:
        try:
            settle()
        except InvalidStateError:  # it was ended before: that holds
            return
        self._on_settled(self)


def untraced(error: DepthLMError) -> DepthLMError:
    """The same error without its traceback, whose frames hold the image until the next full
    garbage collection."""
    return type(error)(str(error), error.code)


def refusal(problem: Problem) -> DepthLMError:
    """The error with which a request ends for a problem of the whole node."""
    return EngineError(problem.text, problem.code)


def as_ours(error: Exception, what: str) -> DepthLMError:
    """The error itself if it is one of ours, else one that says what failed and how."""
    if isinstance(error, DepthLMError):
        return error
    return EngineError(f"{what}: {type(error).__name__}: {first_line(error)}")
