# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Jobs of several callers -> steps of one engine.

Knows neither torch nor ROS, and nothing of what a question means. Order: higher priority, then
earlier deadline, then whoever waited longest, so that equal jobs (one a camera) take turns; one
step in LOW_SHARE begins with the lowest priority, so that grids are never starved. A job that is
overtaken or cancelled waits one step at most.
"""

import threading
import time
from math import inf

from depthlm_ros.errors import DepthLMError, EngineError, first_line

LOW_SHARE = 5


class Job:
    """Questions about one scene on their way; row i of the replies answers question i.

    Thread-safe. A row is None until it is answered, and stays None if the job is cancelled or
    its deadline passes first. done: questions answered so far. error: what the engine raised, or
    None.
    """

    def __init__(self, batcher, scene, questions, priority, deadline):
        self.scene = scene
        self.questions = questions
        self.priority = priority
        self.deadline = inf if deadline is None else deadline
        self.done = 0
        self.error = None
        self.cancelled = False
        self._batcher = batcher
        self._replies = [None] * len(self.questions)
        self._next = 0  # the first question that no step has taken yet
        self._turn = 0  # the last step that took some
        self._finished = threading.Event()
        self._callbacks = []
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """Questions asked."""
        return len(self.questions)

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self._finished.is_set()

    def cancel(self) -> None:
        """Drop the questions that no step has taken; late replies are dropped too."""
        self.cancelled = True
        self._finish()

    def expire(self) -> None:
        """Finish now, as when the deadline passes; late replies are dropped."""
        self._finish()

    def snapshot(self) -> list:
        """The replies so far, None where there is none yet."""
        return list(self._replies)

    def wait(self, timeout=None) -> list:
        """The replies when the job is finished, `timeout` seconds or its deadline are over.

        Drives the batcher itself where no worker does. Raises what the engine raised.
        """
        end = inf if timeout is None else time.monotonic() + timeout
        while not self.finished and (now := time.monotonic()) < end:
            if now >= self.deadline:
                self._finish()
            elif self._batcher.has_worker or not self._batcher.run_once():
                self._finished.wait(min(0.05, end - now, self.deadline - now))
        if self.error is not None:
            raise self.error
        return self.snapshot()

    def add_done_callback(self, callback) -> None:
        """Call callback(job) once finished, from the thread that finishes it; now if it is."""
        with self._lock:
            if not self.finished:
                self._callbacks.append(callback)
                return
        callback(self)

    def _take(self, room, turn) -> list:
        rows = list(range(self._next, min(self._next + room, self.total)))
        self._next += len(rows)
        self._turn = turn
        return rows

    def _answer(self, rows, replies) -> None:
        if not self.finished:
            for row, reply in zip(rows, replies, strict=True):
                self._replies[row] = reply
            self.done += len(rows)
            if self.done == self.total:
                self._finish()

    def _finish(self, error=None) -> None:
        with self._lock:
            if self.finished:
                return
            self.error = error
            self._finished.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)


class Batcher:
    """Fills the steps of one engine with the questions of all jobs.

    step_s: how long one step should take, since that is what a new question waits for.
    has_worker: set by a thread that calls run_once for everybody; waiters then only wait.
    step_rows: questions of the newest step.
    """

    def __init__(self, engine, step_s: float = 0.1):
        self.engine = engine
        self.step_s = step_s
        self.has_worker = False
        self.step_rows = 0
        self._jobs = []
        self._turn = 0
        self._row_s = 0.0  # measured: what a question took in the last steps
        self._queue = threading.Lock()
        self._stepping = threading.Lock()

    def submit(self, scene, questions, priority=0, deadline=None) -> Job:
        """Queue a sequence of questions about an open scene; deadline as in time.monotonic()."""
        job = Job(self, scene, questions, priority, deadline)
        if not job.total:
            job._finish()
            return job
        with self._queue:
            self._jobs.append(job)
        return job

    def run_once(self) -> bool:
        """Take one step if there is something to ask; whether it did."""
        if not self._stepping.acquire(blocking=False):
            return False
        try:
            taken = self._fill()
            if taken:
                self._step(taken)
            return bool(taken)
        finally:
            self._stepping.release()

    def _fill(self) -> list:
        """[(job, rows)] for the next step; jobs that are over leave the queue."""
        self._drop_over()
        with self._queue:
            now = time.monotonic()
            self._turn += 1
            taken, used, room = [], 0, inf
            for job in self._ordered(now):
                room = min(room, self._room(job, now))
                if room <= used:
                    break
                taken.append((job, job._take(room - used, self._turn)))
                used += len(taken[-1][1])
            self._jobs = [j for j in self._jobs if j._next < j.total]
            return taken

    def _ordered(self, now) -> list:
        """Jobs as steps take them. One whose next answer would probably come too late goes last
        of its priority, so that it makes no other late; it is asked all the same where nothing
        else is, since the estimate may be of one slow step (a stall, a kernel compiled)."""
        soon = now + self._row_s
        jobs = sorted(
            self._jobs, key=lambda j: (-j.priority, soon > j.deadline, j.deadline, j._turn)
        )
        if jobs and self._turn % LOW_SHARE == 0:
            lowest = next(j for j in jobs if j.priority == jobs[-1].priority)
            jobs.remove(lowest)
            jobs.insert(0, lowest)
        return jobs

    def _room(self, job, now) -> int:
        """Rows that a step may have for this job: until step_s is over, or its deadline."""
        return self.engine.room(job.scene, min(self.step_s, job.deadline - now))

    def _drop_over(self) -> None:
        """Finish what is past its deadline; without the lock, since whoever hears of it may
        submit."""
        now = time.monotonic()
        with self._queue:
            over = [j for j in self._jobs if now >= j.deadline]
        for job in over:
            job._finish()
        with self._queue:
            self._jobs = [j for j in self._jobs if not j.finished]

    def _step(self, taken) -> None:
        batch = [(job.scene, job.questions[row]) for job, rows in taken for row in rows]
        self.step_rows = len(batch)
        begun = time.monotonic()
        try:
            replies = self.engine.step(batch)
            if len(replies) != len(batch):
                raise EngineError(f"{len(batch)} questions got {len(replies)} replies")
        except Exception as error:  # noqa: BLE001 - whatever a model raises, the callers hear it
            if not isinstance(error, DepthLMError):
                said = f"{type(error).__name__}: {first_line(error)}"
                error = EngineError(f"the engine failed: {said}")
            self._fail(taken, error)
            return
        row_s = (time.monotonic() - begun) / len(batch)
        self._row_s += (row_s - self._row_s) * (0.3 if self._row_s else 1.0)
        for job, rows in taken:
            job._answer(rows, replies[: len(rows)])
            del replies[: len(rows)]

    def _fail(self, taken, error) -> None:
        for job, _ in taken:
            job._finish(error)
        with self._queue:
            self._jobs = [j for j in self._jobs if not j.finished]
