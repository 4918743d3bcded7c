# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Workers without ROS, what they are asked about, and an engine that hangs."""

import threading

import numpy as np
import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.view import Frame

try:
    import rclpy  # noqa: F401
except ImportError:
    pass  # then every module here skips itself and says so
else:
    from depthlm_ros.worker.worker import Worker

WORDING = {"marker": "tags", "coordinates": "tags"}
ROW = Checkpoint("fake", "", "none", 100.0, "marker", "coordinates", WORDING)
FRAME = Frame(np.zeros((60, 80, 3), np.uint8), Camera(80, 60, 100.0, 100.0, 39.5, 29.5))


@pytest.fixture
def frame_of():
    """frame_of() -> a Frame of 80 x 60 pixels, the same each time."""
    return lambda: FRAME


@pytest.fixture
def predictor_of():
    """predictor_of(engine) -> the predictor that asks it."""
    return lambda engine: AskingPredictor(engine, ROW)


@pytest.fixture
def make_worker(predictor_of):
    """make_worker(engine or load=(progress) -> predictor) -> Worker, by default a loaded one."""
    made = []

    def make(engine=None, load=None, wait=True):
        changed = threading.Event()
        made.append(Worker(lambda problem: changed.set()))
        made[-1].load(load or (lambda progress: predictor_of(engine)))
        assert not wait or changed.wait(5)
        return made[-1]

    yield make
    for worker in made:
        assert worker.close()


@pytest.fixture
def ask(frame_of):
    """ask(worker, pixels) -> what the worker answers."""

    def answered(worker, pixels, timeout=5):
        return worker.ask(frame_of, pixels).future.result(timeout)

    return answered


class Hanging:
    """A scripted engine that stops at the pixel of column 10 until it may go on."""

    def __init__(self):
        self.stopped, self.go_on = threading.Event(), threading.Event()
        self.engine = ScriptedEngine(self._answer, seconds_per_question=0.1)

    def _answer(self, view, pixel):
        if pixel[0] == 10:
            self.stopped.set()
            self.go_on.wait(5)
        return 2.0


@pytest.fixture
def hanging():
    made = Hanging()
    yield made
    made.go_on.set()
