# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""One question on its way to the model: waited for, looked at, cancelled, settled exactly once.

Knows neither ROS nor who asks; worker.py begins it in the thread that owns the model.
"""

import time
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from math import inf

from depthlm_ros.errors import DepthLMError, EngineError, first_line
from depthlm_ros.predict import Ranges
from depthlm_ros.view import Frame


@dataclass(frozen=True)
class Answered:
    """ranges: row i is pixel i of the question about frame."""

    frame: Frame
    ranges: Ranges


class Pending:
    """A question that the model has been given, or will be. Thread-safe.

    future: of its Answered, or of the DepthLMError that ended it.
    deadline: time.monotonic() seconds at which it ends with what is answered by then; inf: never.
    on_settled(pending) is called when it has ended. kind: what it is counted as.
    frame: the picture asked about, None until the model has begun.
    """

    def __init__(self, frame_of, start, deadline=inf, kind="", on_settled=lambda pending: None):
        self.future = Future()
        self.kind = kind
        self.asked = time.monotonic()
        self.deadline = deadline
        self.frame = None
        self._frame_of = frame_of
        self._start = start
        self._on_settled = on_settled
        self._job = None

    @property
    def done(self) -> int:
        """Pixels answered so far."""
        return self._job.done if self._job else 0

    @property
    def total(self) -> int:
        """Pixels that the model was given; 0 until it has begun."""
        return self._job.total if self._job else 0

    def snapshot(self):
        """Answered so far, the rest NaN; None until the model has begun."""
        return Answered(self.frame, self._job.snapshot()) if self._job else None

    def begin(self, predictor) -> None:
        """Get the frame and start the job; what either raises ends this question alone."""
        if self.future.done():
            return
        try:
            self.frame = self._frame_of()
            job = self._start(predictor, self.frame)
        except Exception as error:  # noqa: BLE001, bad input, or an engine that cannot open it
            self.refuse(as_ours(error, "the picture cannot be asked about"))
            return
        self._job = job
        if self.future.done():  # it was ended while the picture was opened
            job.cancel()
        job.add_done_callback(self._settle)

    def cancel(self) -> None:
        """End it now with what is answered; the other pixels are CANCELLED."""
        self._end(lambda job: job.cancel(), "the question was cancelled before the model began")

    def expire(self) -> None:
        """End it now with what is answered; the other pixels are TIMED_OUT."""
        self._end(
            lambda job: job.expire(),
            "no answer in the time allowed: the model was busy and has not begun this question."
            " Ask fewer pixels, or allow more time (parameter query.timeout)",
        )

    def refuse(self, error) -> None:
        """End it now with an error, whatever is answered."""
        self._settled(lambda: self.future.set_exception(untraced(error)))
        if self._job:
            self._job.cancel()

    def _end(self, end, unbegun):
        if self._job:
            end(self._job)
        else:
            self.refuse(EngineError(unbegun))

    def _settle(self, job):
        if self.future.done():  # refused: what is answered is not read any more
            return
        if job.error is not None:
            self._settled(lambda: self.future.set_exception(untraced(job.error)))
        else:
            answered = Answered(self.frame, job.snapshot())
            self._settled(lambda: self.future.set_result(answered))

    def _settled(self, settle):
        try:
            settle()
        except InvalidStateError:  # it was ended before: that holds
            return
        self._on_settled(self)


def untraced(error: DepthLMError) -> DepthLMError:
    """The same error without its traceback, whose frames hold the image until the next full
    garbage collection."""
    return type(error)(str(error))


def as_ours(error, what) -> DepthLMError:
    """The error itself if it is one of ours, else one that says what failed and how."""
    if isinstance(error, DepthLMError):
        return error
    return EngineError(f"{what}: {type(error).__name__}: {first_line(error)}")
