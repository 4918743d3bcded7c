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
from depthlm_ros.worker.requests import PixelRequest, Pixels
from depthlm_ros.worker.worker import Worker

WORDING = {"marker": "tags", "coordinates": "tags"}
ENTRY = Checkpoint("fake", "", "none", 100.0, "marker", "coordinates", WORDING)
FRAME = Frame(np.zeros((60, 80, 3), np.uint8), Camera(80, 60, 100.0, 100.0, 39.5, 29.5))


@pytest.fixture
def question():
    """question(pixels) -> the PixelRequest of a few pixels of a Frame of 80 x 60, or of another
    frame; fields=value for the rest."""

    def made(pixels, frame=FRAME, **fields):
        return PixelRequest("left", frame, Pixels(np.array(pixels, float)), **fields)

    return made


@pytest.fixture
def predictor_of():
    """predictor_of(engine) -> the predictor that asks it."""
    return lambda engine: AskingPredictor(engine, ENTRY)


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
def ask(question):
    """ask(worker, pixels) -> what the worker answers."""

    def answered(worker, pixels, timeout=5):
        return worker.submit(question(pixels)).future.result(timeout)

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
