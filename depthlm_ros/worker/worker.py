# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Where requests are put, whatever the model does: loads, answers, hangs, dies or is gone.

Lives as long as the node; a model comes by load() and goes by unload(). Every request accepted
is settled exactly once. Knows nothing about ROS.
"""

import threading
import time

import numpy as np

from depthlm_ros.errors import Code, Problem
from depthlm_ros.predict import Predictor
from depthlm_ros.ranges import Status
from depthlm_ros.worker.requests import Pending, PixelRequest, refusal
from depthlm_ros.worker.statistics import Statistics
from depthlm_ros.worker.thread import Load, ModelThread, OnChange

END_S = 2.0  # launch loses patience 5 s after SIGINT, and an interpreter with torch ends slowly
MOST_OPEN = 200  # requests; each may hold an image of its own, of megabytes
NO_MODEL = Problem(Code.UNCONFIGURED, "there is no model")
CLOSING = Problem(Code.SHUTTING_DOWN, "the node is shutting down")
FAILED = Status.NO_NUMBER, Status.TIMED_OUT, Status.CANCELLED  # not the request's own fault


class Worker:
    """Answers submit() from any thread.

    on_change: called with the problem, in the model's thread, when it was loaded (None), could not
        be, or died.
    paused: why nobody may ask yet, None: everybody may.
    statistics: of the requests accepted and settled.
    """

    def __init__(
        self, on_change: OnChange = lambda problem: None, paused: Problem | None = None
    ) -> None:
        self._on_change = on_change
        self._paused = paused
        self._model: ModelThread | None = None
        self._open: set[Pending] = set()  # requests that are not settled
        self.statistics = Statistics()
        self._lock = threading.Lock()

    @property
    def problem(self) -> Problem | None:
        """Why nothing can be asked now; None if it can."""
        model = self._model
        return self._paused or (NO_MODEL if model is None else model.problem)

    @property
    def stuck_s(self) -> float:
        """Seconds since the model was last heard of while it is working; 0 if it is not."""
        model = self._model
        return 0.0 if model is None else model.stuck_s

    @property
    def queued(self) -> tuple[int, int]:
        """(requests, pixels) that are not settled."""
        pending = self._pending()
        return len(pending), sum(p.total - p.done for p in pending)

    @property
    def predictor(self) -> Predictor | None:
        """The model that answers now, or None."""
        model = self._model
        return None if model is None else model.predictor

    def load(self, load: Load) -> None:
        """Load a model, load(progress) -> Predictor, once the one before it is given back."""
        self._model = ModelThread(load, self._on_model, earlier=self._model)

    def unload(self, timeout: float = 0.0) -> bool:
        """Give the model back after the step under way; whether it was within `timeout` s."""
        model = self._model
        if model is None:
            return True
        model.stop()
        self._refuse_open(model.problem or NO_MODEL)
        return model.join(timeout)

    def pause(self, problem: Problem) -> None:
        """Refuse every request, under way or to come, for this reason."""
        self._paused = problem
        self._refuse_open(problem)

    def resume(self) -> None:
        """Let everybody ask again."""
        self._paused = None

    def close(self, timeout: float = END_S) -> bool:
        """Refuse all and give the model back; False if that does not end in time."""
        self.pause(CLOSING)
        return self.unload(timeout)

    def expire(self) -> None:
        """End every request that is past its deadline, also one that the model hangs on."""
        now = time.monotonic()
        for pending in self._pending():
            if now >= pending.deadline:
                pending.expire()

    def submit(self, request: PixelRequest) -> Pending:
        """The request on its way; refused at once where nothing can be asked now.

        The image is decoded in the model's thread; what that raises, the future raises.
        """
        pending = Pending(request, self._on_settled)
        with self._lock:
            problem, model = self.problem, self._model
            if problem is None and len(self._open) >= MOST_OPEN:
                problem = Problem(
                    Code.BUSY,
                    f"{MOST_OPEN} requests are open, and more are not taken: ask again when some"
                    " of them are answered, and ask several pixels per request",
                )
            if problem is None:
                self._open.add(pending)
        if problem is not None or model is None:
            pending.refuse(refusal(problem or NO_MODEL))
        else:
            model.put(pending)
        return pending

    def _on_settled(self, pending: Pending) -> None:
        with self._lock:
            if pending not in self._open:  # it was never accepted
                return
            self._open.remove(pending)
        error = pending.future.exception()
        if error is not None:
            self.statistics.failed(error, is_callers=pending.is_callers(error))
            return
        counts = np.bincount(pending.future.result().ranges.status, minlength=len(Status))
        bad = {status.name: int(counts[status]) for status in FAILED if counts[status]}
        self.statistics.answered(pending.kind, time.monotonic() - pending.asked, bad)

    def _on_model(self, problem: Problem | None) -> None:
        if problem is not None:
            self._refuse_open(problem)
        self._on_change(problem)

    def _refuse_open(self, problem: Problem) -> None:
        with self._lock:
            refused = list(self._open)
            self._open.clear()  # so that they do not count as what the model failed at
        self.statistics.failures["refused"] += len(refused)
        for pending in refused:
            pending.refuse(refusal(problem))

    def _pending(self) -> list[Pending]:
        with self._lock:
            return list(self._open)
