# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The thread that owns a model: it loads it, begins questions, steps them, and gives it back.

Knows nothing about ROS or about who may ask when (worker.py).
"""

import contextlib
import queue
import threading
import time

from depthlm_ros.worker.requests import as_ours

AGAIN_S = 10.0  # from the death of a model to the next attempt to load it
GONE = "the model was given back"


class Stopped(Exception):
    """Raised out of a load that nobody waits for any more."""


def loading_text(fraction=0.0, what="") -> str:
    """What a question is told while the model loads."""
    step = f" ({what})" if what else ""
    return f"loading the model, {fraction:.0%}{step}: ask again in a moment"


def is_loading(message) -> bool:
    """Whether an answer says that the model is still loading."""
    return message.startswith("loading the model")


class ModelThread:
    """One life of a model. Thread-safe but for what is said to belong to its thread.

    load: (progress) -> Predictor, called in the thread; progress(fraction, what) may be called
    and may raise. problem: why nothing can be asked now, empty once it can. predictor: the loaded
    model, else None. on_change(problem) is called in the thread when it was loaded, could not
    be, or died. earlier: the ModelThread whose model must be given back first.
    """

    def __init__(self, load, on_change, earlier=None):
        self.problem = loading_text()
        self.predictor = None
        self._load = load
        self._on_change = on_change
        self._earlier = earlier
        self._begun = None
        self._questions = queue.SimpleQueue()
        self._stopping = threading.Event()
        # A model that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def stuck_s(self) -> float:
        """Seconds that the step or the opening of a picture under way has taken; 0: none is."""
        begun = self._begun
        return 0.0 if begun is None else time.monotonic() - begun

    def put(self, pending) -> None:
        """Begin this question as soon as the step under way is over."""
        self._questions.put(pending)

    def stop(self) -> None:
        """End after the step under way, or at the next sign of progress of a load."""
        self._stopping.set()
        self.problem = GONE
        self._questions.put(None)

    def join(self, timeout=None) -> bool:
        """Wait for the end; whether it came in time."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self):
        if self._earlier is not None:
            self.problem = loading_text(0.0, "the model before it is still being given back")
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
            self._change(str(as_ours(error, "the model cannot be loaded")))
            return False
        self._change("")
        return True

    def _give_back(self):
        predictor, self.predictor = self.predictor, None
        try:
            predictor.close()
        except Exception as error:  # noqa: BLE001, a device that failed: the next model may fare better
            failed = as_ours(error, "the model could not be given back")
            self._change(f"{failed}; it is loaded again in {AGAIN_S:g} s")

    def _progress(self, fraction, what):
        if self._stopping.is_set():
            raise Stopped
        self.problem = loading_text(fraction, what)

    def _serve(self):
        """Answer until stop(), or until the model dies."""
        try:
            while not self._stopping.is_set():
                with self._working():
                    stepped = self.predictor.run_once()
                self._begin_new(wait=not stepped)
        except Exception as error:  # noqa: BLE001, nobody must wait for a model that is gone
            died = as_ours(error, "the model stopped")
            self._change(f"{died}; it is loaded again in {AGAIN_S:g} s")

    def _begin_new(self, wait):
        """Begin what was put; wait for something if there is nothing to step."""
        try:
            pending = self._questions.get(block=wait)
            while pending is not None:
                with self._working():
                    pending.begin(self.predictor)
                pending = self._questions.get(block=False)
        except queue.Empty:
            pass

    @contextlib.contextmanager
    def _working(self):
        self._begun = time.monotonic()
        try:
            yield
        finally:
            self._begun = None

    def _change(self, problem):
        if not self._stopping.is_set():
            self.problem = problem
            self._on_change(problem)
