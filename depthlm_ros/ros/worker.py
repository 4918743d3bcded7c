# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""One thread owns the model: it loads it, starts jobs and steps them.

Knows nothing about ROS: callers hand in how to get a frame and take a concurrent Future.
"""

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass

from depthlm_ros.errors import DepthLMError, EngineError
from depthlm_ros.predict import Ranges
from depthlm_ros.scan import start_scan
from depthlm_ros.view import Frame

LOADING = "loading the model, ask again in a moment"
QUERY_PRIORITY = 0  # grids, with theirs in scan.py, give way
END_S = 2.0  # launch loses patience 5 s after SIGINT, and an interpreter with torch ends slowly


@dataclass(frozen=True)
class Answered:
    """ranges: row i is pixel i of the question about frame."""

    frame: Frame
    ranges: Ranges


class Worker:
    """Answers ask() and scan() from any thread.

    load: () -> Predictor, called once in the worker's thread. problem: why nothing can be asked
    now, in one sentence; empty once it can. on_change(problem) is called in that thread whenever
    it changes.
    """

    def __init__(self, load, on_change=lambda problem: None):
        self.problem = LOADING
        self._load = load
        self._on_change = on_change
        self._tasks = queue.SimpleQueue()
        self._begun = set()  # futures of jobs under way
        self._stopping = False
        # A model that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    def ask(self, frame_of, pixels) -> Future:
        """Future of the Answered about pixels (N, 2) of frame_of(), before all grids.

        frame_of runs in the worker's thread; what it raises, the Future raises.
        """

        def begin(predictor):
            frame = frame_of()
            return frame, predictor.start(frame, pixels, priority=QUERY_PRIORITY)

        return self._submit(begin)

    def scan(self, frame_of, columns, rows) -> Future:
        """Future of the Answered about a grid of columns x rows pixels, row by row."""

        def begin(predictor):
            frame = frame_of()
            return frame, start_scan(predictor, frame, columns, rows)

        return self._submit(begin)

    def close(self, timeout=END_S) -> bool:
        """End the thread after the step under way; False if it does not end in time."""
        self._stopping = True
        self._tasks.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _submit(self, begin) -> Future:
        future = Future()
        if self.problem:
            future.set_exception(EngineError(self.problem))
        else:
            self._tasks.put((begin, future))
        return future

    def _run(self):
        predictor = self._loaded()
        self._on_change(self.problem)
        if predictor is None:
            return
        predictor.batcher.has_worker = True
        try:
            while not self._stopping:
                stepped = predictor.batcher.run_once()
                self._begin_new(predictor, wait=not stepped)
            self.problem = "the node is shutting down"
        except Exception as error:  # noqa: BLE001, nobody must wait for a thread that is gone
            self.problem = str(_as_ours(error, "the model stopped"))
            self._on_change(self.problem)
        self._refuse_rest()
        predictor.close()

    def _loaded(self):
        try:
            predictor = self._load()
        except Exception as error:  # noqa: BLE001, of whatever library: the node stays up and tells it
            self.problem = str(_as_ours(error, "the model cannot be loaded"))
            return None
        self.problem = ""
        return predictor

    def _begin_new(self, predictor, wait):
        """Begin what was submitted; wait for something if there is nothing to step."""
        try:
            task = self._tasks.get(block=wait)
            while task is not None:
                self._begin(predictor, *task)
                task = self._tasks.get(block=False)
        except queue.Empty:
            pass

    def _begin(self, predictor, begin, future):
        try:
            frame, job = begin(predictor)
        except Exception as error:  # noqa: BLE001, bad input, or an engine that cannot open the picture
            future.set_exception(_as_ours(error, "the picture cannot be asked about"))
            return
        self._begun.add(future)
        job.add_done_callback(lambda done: self._settle(future, frame, done))

    def _settle(self, future, frame, job):
        self._begun.discard(future)
        if job.error is not None:
            future.set_exception(job.error)
        else:
            future.set_result(Answered(frame, job.snapshot()))

    def _refuse_rest(self):
        waiting = list(self._begun)
        while not self._tasks.empty():
            task = self._tasks.get()
            waiting += [] if task is None else [task[1]]
        for future in waiting:
            future.set_exception(EngineError(self.problem))


def _as_ours(error, what) -> DepthLMError:
    """The error itself if it is one of ours, else one that says what failed and how."""
    if isinstance(error, DepthLMError):
        return error
    return EngineError(f"{what}: {type(error).__name__}: {error}")
