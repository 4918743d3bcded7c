# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Where questions are asked, whatever the model does: loads, answers, hangs, dies or is gone.

Lives as long as the node; a model comes by load() and goes by unload(). Every question accepted
is settled exactly once. Knows nothing about ROS.
"""

import threading
import time
from collections import Counter
from math import inf

from depthlm_ros.errors import EngineError
from depthlm_ros.predict import Status
from depthlm_ros.scan import grid_pixels, start_scan
from depthlm_ros.worker.requests import Pending
from depthlm_ros.worker.statistics import Statistics
from depthlm_ros.worker.thread import ModelThread

QUERY_PRIORITY = 0  # grids, with theirs in scan.py, give way
END_S = 2.0  # launch loses patience 5 s after SIGINT, and an interpreter with torch ends slowly
NO_MODEL = "there is no model"
FAILED = Status.NO_NUMBER, Status.TIMED_OUT, Status.CANCELLED  # not the question's own fault


class Worker:
    """Answers ask(), scan() and submit() from any thread.

    on_change(problem) is called in the model's thread when it was loaded (problem empty), could
    not be, or died. paused: why nobody may ask yet, empty: everybody may. statistics: of the
    questions accepted and settled.
    """

    def __init__(self, on_change=lambda problem: None, paused=""):
        self._on_change = on_change
        self._paused = paused
        self._model = None
        self._open = set()  # questions that are not settled
        self.statistics = Statistics()
        self._lock = threading.Lock()

    @property
    def problem(self) -> str:
        """Why nothing can be asked now, in one sentence; empty if it can."""
        model = self._model
        return self._paused or (NO_MODEL if model is None else model.problem)

    @property
    def stuck_s(self) -> float:
        """Seconds since the model was last heard of while it is working; 0 if it is not."""
        model = self._model
        return 0.0 if model is None else model.stuck_s

    @property
    def queued(self) -> tuple:
        """(questions, pixels) that are not settled."""
        questions = self._questions()
        return len(questions), sum(q.total - q.done for q in questions)

    @property
    def predictor(self):
        """The model that answers now, or None."""
        model = self._model
        return None if model is None else model.predictor

    def load(self, load) -> None:
        """Load a model, load(progress) -> Predictor, once the one before it is given back."""
        self._model = ModelThread(load, self._on_model, earlier=self._model)

    def unload(self, timeout=0.0) -> bool:
        """Give the model back after the step under way; whether it was within `timeout` s."""
        if self._model is None:
            return True
        self._model.stop()
        self._refuse_open(self._model.problem)
        return self._model.join(timeout)

    def pause(self, reason) -> None:
        """Refuse every question, under way or to come, with this reason."""
        self._paused = reason
        self._refuse_open(reason)

    def resume(self) -> None:
        """Let everybody ask again."""
        self._paused = ""

    def close(self, timeout=END_S) -> bool:
        """Refuse all and give the model back; False if that does not end in time."""
        self.pause("the node is shutting down")
        return self.unload(timeout)

    def expire(self) -> None:
        """End every question that is past its deadline, also one that the model hangs on."""
        now = time.monotonic()
        for pending in self._questions():
            if now >= pending.deadline:
                pending.expire()

    def ask(self, frame_of, pixels, deadline=inf) -> Pending:
        """A question about pixels (N, 2) of frame_of(), before all grids.

        frame_of runs in the model's thread; what it raises, the future raises.
        """

        def start(predictor, frame):
            return predictor.start(frame, pixels, priority=QUERY_PRIORITY, deadline=deadline)

        return self.submit(frame_of, start, deadline)

    def scan(self, frame_of, columns, rows) -> Pending:
        """A grid of columns x rows pixels, row by row."""

        def start(predictor, frame):
            return start_scan(predictor, frame, grid_pixels(frame.camera, columns, rows))

        return self.submit(frame_of, start, kind="grid")

    def submit(self, frame_of, start, deadline=inf, kind="query") -> Pending:
        """Any question: start(predictor, frame) -> job, called in the model's thread.

        kind: what it is counted as in statistics.
        """
        pending = Pending(frame_of, start, deadline, kind, self._on_settled)
        with self._lock:
            problem, model = self.problem, self._model
            if not problem:
                self._open.add(pending)
        if problem:
            pending.refuse(EngineError(problem))
            return pending
        model.put(pending)
        return pending

    def _on_settled(self, pending):
        with self._lock:
            if pending not in self._open:  # it was never accepted
                return
            self._open.remove(pending)
        error = pending.future.exception()
        if error is not None:
            self.statistics.failed(error)
            return
        counts = Counter(pending.future.result().ranges.status.tolist())
        bad = {Status(s).name: n for s, n in counts.items() if s in FAILED}
        self.statistics.answered(pending.kind, time.monotonic() - pending.asked, bad)

    def _on_model(self, problem):
        if problem:
            self._refuse_open(problem)
        self._on_change(problem)

    def _refuse_open(self, reason):
        with self._lock:
            refused = list(self._open)
            self._open.clear()  # so that they do not count as what the model failed at
        self.statistics.failures["refused"] += len(refused)
        for pending in refused:
            pending.refuse(EngineError(reason))

    def _questions(self) -> list:
        with self._lock:
            return list(self._open)
