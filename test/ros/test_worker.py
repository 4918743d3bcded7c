# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The thread that owns the model: order, failures and end, without ROS."""

import threading
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import CameraError, CheckpointError, EngineError
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros.worker import LOADING, Worker
from depthlm_ros.view import Frame

WORDING = {"marker": "tags", "coordinates": "tags"}
ROW = Checkpoint("fake", "", "none", 100.0, "marker", "coordinates", WORDING)
FRAME = Frame(np.zeros((60, 80, 3), np.uint8), Camera(80, 60, 100.0, 100.0, 39.5, 29.5))


@pytest.fixture
def make_worker():
    made = []

    def make(engine=None, load=None):
        loaded = threading.Event()
        made.append(
            Worker(
                load or (lambda: AskingPredictor(engine, ROW)), on_change=lambda _: loaded.set()
            )
        )
        if load is None:
            assert loaded.wait(5)
        return made[-1]

    yield make
    for worker in made:
        assert worker.close()


def by_column(view, pixel):
    return 1.0 + pixel[0] / 100


def test_answers_come_in_the_order_asked(make_worker):
    worker = make_worker(ScriptedEngine(by_column))
    answered = worker.ask(lambda: FRAME, [(70, 30), (10, 30), (40, 30)]).result(5)
    assert answered.frame is FRAME
    assert answered.ranges.distance_m.tolist() == [1.7, 1.1, 1.4]


def test_a_grid_is_asked_row_by_row(make_worker):
    worker = make_worker(ScriptedEngine(by_column))
    ranges = worker.scan(lambda: FRAME, 4, 2).result(5).ranges
    assert ranges.asked.tolist()[:5] == [[10, 14], [30, 14], [50, 14], [70, 14], [10, 44]]
    assert ranges.distance_m.tolist() == [1.1, 1.3, 1.5, 1.7] * 2


def test_a_question_overtakes_a_grid_under_way(make_worker):
    order, begun = [], threading.Event()

    def answer(view, pixel):
        begun.set()
        return 2.0

    worker = make_worker(ScriptedEngine(answer, seconds_per_question=0.01))
    grid = worker.scan(lambda: FRAME, 10, 10)
    grid.add_done_callback(lambda _: order.append("grid"))
    assert begun.wait(5)
    question = worker.ask(lambda: FRAME, [(40, 30)] * 40)
    question.add_done_callback(lambda _: order.append("question"))
    assert grid.result(10).ranges.distance_m.tolist() == [2.0] * 100
    assert order == ["question", "grid"]


def test_while_the_model_loads_every_question_is_told_so_at_once(make_worker):
    may_load = threading.Event()

    def load():
        may_load.wait(5)
        return AskingPredictor(ScriptedEngine(), ROW)

    worker = make_worker(load=load)
    assert worker.problem == LOADING
    with pytest.raises(EngineError, match="loading the model"):
        worker.ask(lambda: FRAME, [(40, 30)]).result(0)
    may_load.set()


@pytest.mark.parametrize(
    "error, sentence",
    [
        (CheckpointError("folder is half written"), "folder is half written"),
        (RuntimeError("no CUDA"), "the model cannot be loaded: RuntimeError: no CUDA"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_sentence_for_everybody(error, sentence):
    told = []

    def load():
        raise error

    worker = Worker(load, told.append)
    worker._thread.join(5)
    assert told == [sentence] and worker.problem == sentence
    with pytest.raises(EngineError) as caught:
        worker.ask(lambda: FRAME, [(40, 30)]).result(0)
    assert str(caught.value) == sentence
    assert worker.close()


def test_a_picture_that_cannot_be_read_fails_its_own_question_only(make_worker):
    def unreadable():
        raise CameraError("K[0] is 0")

    worker = make_worker(ScriptedEngine())
    bad, good = worker.ask(unreadable, [(40, 30)]), worker.ask(lambda: FRAME, [(40, 30)])
    with pytest.raises(CameraError, match=r"K\[0\] is 0"):
        bad.result(5)
    assert good.result(5).ranges.distance_m.tolist() == [2.0]


def test_an_engine_that_raises_fails_the_question_and_is_asked_again(make_worker):
    broken = [True]

    def answer(view, pixel):
        if broken.pop() if broken else False:
            raise RuntimeError("out of memory")
        return 3.0

    worker = make_worker(ScriptedEngine(answer))
    with pytest.raises(EngineError, match="RuntimeError: out of memory"):
        worker.ask(lambda: FRAME, [(40, 30)]).result(5)
    assert worker.ask(lambda: FRAME, [(40, 30)]).result(5).ranges.distance_m.tolist() == [3.0]


def test_a_thread_that_dies_leaves_nobody_waiting(make_worker):
    engine = ScriptedEngine()
    worker = make_worker(engine)
    engine.room = lambda scene, seconds: 1 / 0
    with pytest.raises(EngineError, match="the model stopped: ZeroDivisionError"):
        worker.ask(lambda: FRAME, [(40, 30)]).result(5)
    with pytest.raises(EngineError, match="the model stopped"):
        worker.ask(lambda: FRAME, [(40, 30)]).result(0)


def test_what_waits_when_the_worker_ends_is_refused_and_not_forgotten(make_worker):
    stepping, go_on = threading.Event(), threading.Event()

    def answer(view, pixel):
        stepping.set()
        go_on.wait(5)
        return 2.0

    worker = make_worker(ScriptedEngine(answer))
    worker.ask(lambda: FRAME, [(40, 30)])
    assert stepping.wait(5)
    late = worker.ask(lambda: FRAME, [(40, 30)])
    closing = threading.Thread(target=worker.close)
    closing.start()
    go_on.set()
    closing.join(5)
    with pytest.raises(EngineError, match="shutting down"):
        late.result(5)


def test_a_model_that_still_loads_holds_up_the_end_less_than_launch_waits():
    go_on = threading.Event()

    def load():
        go_on.wait(10)
        raise CheckpointError("came too late")

    worker = Worker(load)
    began = time.monotonic()
    assert not worker.close()
    assert time.monotonic() - began < 3.0
    go_on.set()
    worker._thread.join(5)
    assert worker.close()
