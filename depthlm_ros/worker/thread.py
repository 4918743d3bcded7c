# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The thread that owns a model: it loads it, begins requests, steps them, and gives it back.

Knows nothing about ROS or about who may ask when (worker.py).
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Optional

from depthlm_ros.errors import Code, Problem
from depthlm_ros.predict import Predictor
from depthlm_ros.worker.requests import Pending, as_ours

AGAIN_S = 10.0  # from the death of a model to the next attempt to load it
GONE = Problem(Code.UNCONFIGURED, "the model was given back")

Load = Callable[[Callable[[float, str], None]], Predictor]
OnChange = Callable[[Problem | None], None]


class Stopped(Exception):
    """Raised out of a load that nobody waits for any more."""


def loading(fraction: float = 0.0, what: str = "") -> Problem:
    """What a request is told while the model loads."""
    step = f" ({what})" if what else ""
    return Problem(Code.LOADING, f"loading the model, {fraction:.0%}{step}: ask again in a moment")


class ModelThread:
    """One life of a model. Thread-safe but for what is said to belong to its thread.

    load: (progress) -> Predictor, called in the thread; progress(fraction, what) may be called
        and may raise.
    on_change: called with the problem, in the thread, when the model was loaded (None), could not
        be, or died.
    earlier: the ModelThread whose model must be given back first.
    problem: why nothing can be asked now, None once it can.
    predictor: the loaded model, else None.
    """

    def __init__(
        self, load: Load, on_change: OnChange, earlier: Optional["ModelThread"] = None
    ) -> None:
        self.problem: Problem | None = loading()
        self.predictor: Predictor | None = None
        self._load = load
        self._on_change = on_change
        self._earlier = earlier
        self._begun: float | None = None
        self._requests: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        # A model that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def stuck_s(self) -> float:
        """Seconds that the step or the opening of an image under way has taken; 0: none is."""
        begun = self._begun
        return 0.0 if begun is None else time.monotonic() - begun

    def put(self, pending: Pending) -> None:
        """Begin this request as soon as the step under way is over."""
        self._requests.put(pending)

    def stop(self) -> None:
        """End after the step under way, or at the next sign of progress of a load."""
        self._stopping.set()
        self.problem = GONE
        self._requests.put(None)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; whether it came in time."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        if self._earlier is not None:
            self.problem = loading(0.0, "the model before it is still being given back")
            self._earlier.join()
            self._earlier = None
        while not self._stopping.is_set() and self._loaded():
            self._serve()
            self._give_back()
            self._stopping.wait(AGAIN_S)

    def _loaded(self) -> bool:
        try:
            self.predictor = self._load(self._progress)
        except Stopped:
            return False
        except Exception as error:  # noqa: BLE001, of whatever library: the node stays up and tells it
            failed = as_ours(error, "the model cannot be loaded")
            self._change(Problem(Code.MODEL_FAILED, str(failed)))
            return False
        self._change(None)
        return True

    def _give_back(self) -> None:
        predictor, self.predictor = self.predictor, None
        try:
            if predictor is not None:
                predictor.close()
        except Exception as error:  # noqa: BLE001, a device that failed: the next model may fare better
            self._died(error, "the model could not be given back")

    def _progress(self, fraction: float, what: str) -> None:
        if self._stopping.is_set():
            raise Stopped
        self.problem = loading(fraction, what)

    def _serve(self) -> None:
        """Answer until stop(), or until the model dies."""
        predictor = self.predictor
        assert predictor is not None
        try:
            while not self._stopping.is_set():
                with self._working():
                    stepped = predictor.run_once()
                self._begin_new(predictor, wait=not stepped)
        except Exception as error:  # noqa: BLE001, nobody must wait for a model that is gone
            self._died(error, "the model stopped")

    def _begin_new(self, predictor: Predictor, wait: bool) -> None:
        """Begin what was put; wait for something if there is nothing to step."""
        try:
            pending = self._requests.get(block=wait)
            while pending is not None:
                with self._working():
                    pending.begin(predictor)
                pending = self._requests.get(block=False)
        except queue.Empty:
            pass

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        self._begun = time.monotonic()
        try:
            yield
        finally:
            self._begun = None

    def _died(self, error: Exception, what: str) -> None:
        text = f"{as_ours(error, what)}; it is loaded again in {AGAIN_S:g} s"
        self._change(Problem(Code.MODEL_FAILED, text))

    def _change(self, problem: Problem | None) -> None:
        if not self._stopping.is_set():
            self.problem = problem
            self._on_change(problem)
