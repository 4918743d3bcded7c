# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Jobs of several callers -> steps of one engine.

What scenes, questions and replies are does not matter here. Order: higher priority, then earlier
deadline, then whoever waited longest, so that equal jobs (one per camera) take turns; one step in
LOW_SHARE begins with the lowest priority, so that grids are never starved. A job that is overtaken
or cancelled waits for one step at most.
"""

import threading
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Protocol

from depthlm_ros.errors import DepthLMError, EngineError, first_line

LOW_SHARE = 5
# A step of a low priority takes at least so many questions, if they take no longer than so many
# times step_s: where a step has a fixed cost, one question a step would pay it each time.
LEAST, PATIENT = 8, 5


class Steps(Protocol):
    """What the batcher needs of an engine; see engines.engine.Engine."""

    def room(self, scene: Any, seconds: float) -> int:
        """How many questions about the scene one step of `seconds` may take, at least 1."""

    def step(self, batch: Sequence[tuple[Any, Any]]) -> list[Any]:
        """Replies to (scene, question) pairs; reply i answers pair i."""


class Job:
    """Questions about one scene and the replies so far; reply i answers question i. Thread-safe.

    A reply is None until it came, and stays None if the job is cancelled or its deadline passes
    first.

    scene, questions: what is asked, and about what.
    priority: higher goes first.
    deadline: time.monotonic() seconds, inf for none.
    done: how many questions are answered.
    error: what the engine raised, or None.
    cancelled: whether cancel() was called.
    """

    def __init__(
        self,
        batcher: "Batcher",
        scene: Any,
        questions: Sequence[Any],
        priority: int,
        deadline: float | None,
    ) -> None:
        self.scene = scene
        self.questions = questions
        self.priority = priority
        self.deadline = inf if deadline is None else deadline
        self.done = 0
        self.error: Exception | None = None
        self.cancelled = False
        self._batcher = batcher
        self._replies: list[Any] = [None] * len(questions)
        self._next = 0  # the first question that no step has taken yet
        self._turn = 0  # the last step that took some
        self._finished = threading.Event()
        self._callbacks: list[Callable[[Job], None]] = []
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """How many questions there are."""
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

    def snapshot(self) -> list[Any]:
        """The replies so far, None where there is none yet."""
        return list(self._replies)

    def wait(self, timeout: float | None = None) -> list[Any]:
        """The replies, once the job is finished, its deadline or `timeout` seconds are over.

        Takes the steps itself unless another thread does. Raises what the engine raised.
        """
        end = inf if timeout is None else time.monotonic() + timeout
        while not self.finished and (now := time.monotonic()) < end:
            if now >= self.deadline:
                self._finish()
            elif self._batcher.is_driven_by_another_thread or not self._batcher.run_once():
                self._finished.wait(min(0.05, end - now, self.deadline - now))
        if self.error is not None:
            raise self.error
        return self.snapshot()

    def add_done_callback(self, callback: Callable[["Job"], None]) -> None:
        """Call callback(job) once finished, in the thread that finishes it; now if it is."""
        with self._lock:
            if not self.finished:
                self._callbacks.append(callback)
                return
        callback(self)

    def _take(self, room: int, turn: int) -> range:
        """Indices of the next questions, `room` at most."""
        taken = range(self._next, min(self._next + room, self.total))
        self._next += len(taken)
        self._turn = turn
        return taken

    def _answer(self, indices: range, replies: list[Any]) -> None:
        if not self.finished:
            for index, reply in zip(indices, replies, strict=True):
                self._replies[index] = reply
            self.done += len(indices)
            if self.done == self.total:
                self._finish()

    def _finish(self, error: Exception | None = None) -> None:
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

    step_s: seconds that one step should take, since that is what a new question waits for.
    batch_size: questions of the newest step.
    """

    def __init__(self, engine: Steps, step_s: float = 0.1) -> None:
        self.step_s = step_s
        self.batch_size = 0
        self._engine = engine
        self._driver: threading.Thread | None = None
        self._jobs: list[Job] = []
        self._turn = 0
        self._question_s = 0.0  # measured: what a question took in the last steps
        self._queue = threading.Lock()
        self._stepping = threading.Lock()

    def submit(
        self,
        scene: Any,
        questions: Sequence[Any],
        priority: int = 0,
        deadline: float | None = None,
    ) -> Job:
        """Queue questions about an open scene.

        priority: higher goes first.
        deadline: time.monotonic() seconds at which it ends with what is answered; None: never.
        """
        job = Job(self, scene, questions, priority, deadline)
        if not job.total:
            job._finish()
            return job
        with self._queue:
            self._jobs.append(job)
        return job

    def drive(self) -> bool:
        """run_once(), from now on for all: who waits in another thread then only waits, for as
        long as this thread lives."""
        self._driver = threading.current_thread()
        return self.run_once()

    @property
    def is_driven_by_another_thread(self) -> bool:
        """Whether a living thread other than this one calls drive()."""
        driver = self._driver
        if driver is None or driver is threading.current_thread():
            return False
        return driver.is_alive()

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

    def _fill(self) -> list[tuple[Job, range]]:
        """What the next step takes, as (job, indices of its questions)."""
        self._drop_over()
        with self._queue:
            now = time.monotonic()
            self._turn += 1
            taken: list[tuple[Job, range]] = []
            used, room = 0, inf
            for job in self._ordered(now):
                room = min(room, self._room(job, now))
                if room <= used:
                    break
                taken.append((job, job._take(int(room) - used, self._turn)))
                used += len(taken[-1][1])
            self._jobs = [j for j in self._jobs if j._next < j.total]
            return taken

    def _ordered(self, now: float) -> list[Job]:
        """Jobs in the order in which a step takes them.

        One whose next answer would probably come too late goes last of its priority, so that it
        makes no other late. It is asked all the same where nothing else is: the measure may be of
        one slow step (a stall, a kernel that was compiled), and only steps renew it.
        """
        soon = now + self._question_s
        jobs = sorted(
            self._jobs, key=lambda j: (-j.priority, soon > j.deadline, j.deadline, j._turn)
        )
        if jobs and self._turn % LOW_SHARE == 0:
            lowest = next(j for j in jobs if j.priority == jobs[-1].priority)
            jobs.remove(lowest)
            jobs.insert(0, lowest)
        return jobs

    def _room(self, job: Job, now: float) -> int:
        """Questions that a step may take for this job: until step_s is over, or its deadline; of
        a priority below 0 at least LEAST, until PATIENT times step_s are over."""
        left = job.deadline - now
        room = self._engine.room(job.scene, min(self.step_s, left))
        if job.priority >= 0 or room >= LEAST:
            return room
        longer = self._engine.room(job.scene, min(PATIENT * self.step_s, left))
        return max(room, min(LEAST, longer))

    def _drop_over(self) -> None:
        """Finish what is past its deadline; without the lock, since whoever is told may submit."""
        now = time.monotonic()
        with self._queue:
            over = [j for j in self._jobs if now >= j.deadline]
        for job in over:
            job._finish()
        with self._queue:
            self._jobs = [j for j in self._jobs if not j.finished]

    def _step(self, taken: list[tuple[Job, range]]) -> None:
        batch = [
            (job.scene, question)
            for job, indices in taken
            for question in job.questions[indices.start : indices.stop]
        ]
        self.batch_size = len(batch)
        begun = time.monotonic()
        try:
            replies = self._engine.step(batch)
            if len(replies) != len(batch):
                raise EngineError(f"{len(batch)} questions got {len(replies)} replies")
        except Exception as error:  # noqa: BLE001 - whatever a model raises, the callers are told
            if not isinstance(error, DepthLMError):
                reason = f"{type(error).__name__}: {first_line(error)}"
                error = EngineError(f"the engine failed: {reason}")
            self._fail(taken, error)
            return
        except BaseException:  # Ctrl+C: the next step takes these questions again
            self._put_back(taken)
            raise
        question_s = (time.monotonic() - begun) / len(batch)
        self._question_s += (question_s - self._question_s) * (0.3 if self._question_s else 1.0)
        for job, indices in taken:
            job._answer(indices, replies[: len(indices)])
            replies = replies[len(indices) :]

    def _put_back(self, taken: list[tuple[Job, range]]) -> None:
        with self._queue:
            for job, indices in taken:
                job._next = indices.start
            self._jobs += [job for job, _ in taken if job not in self._jobs]

    def _fail(self, taken: list[tuple[Job, range]], error: Exception) -> None:
        for job, _ in taken:
            job._finish(error)
        with self._queue:
            self._jobs = [j for j in self._jobs if not j.finished]
