# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The thread that owns the model: order, failures and end, without ROS."""

import threading
import time
import weakref

import numpy as np
import pytest

pytest.importorskip("rclpy")
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import CameraError, CheckpointError, EngineError
from depthlm_ros.predict import AskingPredictor, Status
from depthlm_ros.ros import model
from depthlm_ros.ros.model import is_loading
from depthlm_ros.ros.pending import Pending
from depthlm_ros.ros.worker import Worker
from depthlm_ros.view import Frame

WORDING = {"marker": "tags", "coordinates": "tags"}
ROW = Checkpoint("fake", "", "none", 100.0, "marker", "coordinates", WORDING)
FRAME = Frame(np.zeros((60, 80, 3), np.uint8), Camera(80, 60, 100.0, 100.0, 39.5, 29.5))


@pytest.fixture
def make_worker():
    made = []

    def make(engine=None, load=None, wait=True):
        changed = threading.Event()
        made.append(Worker(lambda problem: changed.set()))
        made[-1].load(load or (lambda progress: AskingPredictor(engine, ROW)))
        assert not wait or changed.wait(5)
        return made[-1]

    yield make
    for worker in made:
        assert worker.close()


def ask(worker, *arguments, timeout=5):
    """What the worker answers."""
    return worker.ask(*arguments).future.result(timeout)


def by_column(view, pixel):
    return 1.0 + pixel[0] / 100


def test_answers_come_in_the_order_asked(make_worker):
    worker = make_worker(ScriptedEngine(by_column))
    answered = ask(worker, lambda: FRAME, [(70, 30), (10, 30), (40, 30)])
    assert answered.frame is FRAME
    assert answered.ranges.distance_m.tolist() == [1.7, 1.1, 1.4]


def test_a_grid_is_asked_row_by_row(make_worker):
    worker = make_worker(ScriptedEngine(by_column))
    ranges = worker.scan(lambda: FRAME, 4, 2).future.result(5).ranges
    assert ranges.asked.tolist()[:5] == [[10, 14], [30, 14], [50, 14], [70, 14], [10, 44]]
    assert ranges.distance_m.tolist() == [1.1, 1.3, 1.5, 1.7] * 2


def test_a_question_overtakes_a_grid_under_way(make_worker):
    order, begun = [], threading.Event()

    def answer(view, pixel):
        begun.set()
        return 2.0

    worker = make_worker(ScriptedEngine(answer, seconds_per_question=0.01))
    grid = worker.scan(lambda: FRAME, 10, 10)
    grid.future.add_done_callback(lambda _: order.append("grid"))
    assert begun.wait(5)
    question = worker.ask(lambda: FRAME, [(40, 30)] * 40)
    question.future.add_done_callback(lambda _: order.append("question"))
    assert grid.future.result(10).ranges.distance_m.tolist() == [2.0] * 100
    assert order == ["question", "grid"]


def test_while_the_model_loads_every_question_is_told_how_far_it_is(make_worker):
    begun, may_load = threading.Event(), threading.Event()

    def load(progress):
        progress(0.42, "reading weights")
        begun.set()
        may_load.wait(5)
        return AskingPredictor(ScriptedEngine(), ROW)

    worker = make_worker(load=load, wait=False)
    assert begun.wait(5) and is_loading(worker.problem)
    with pytest.raises(EngineError, match=r"loading the model, 42% \(reading weights\)"):
        ask(worker, lambda: FRAME, [(40, 30)], timeout=0)
    may_load.set()


@pytest.mark.parametrize(
    "error, sentence",
    [
        (CheckpointError("folder is half written"), "folder is half written"),
        (RuntimeError("no CUDA"), "the model cannot be loaded: RuntimeError: no CUDA"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_sentence_for_everybody(make_worker, error, sentence):
    def load(progress):
        raise error

    worker = make_worker(load=load)
    assert worker.problem == sentence
    with pytest.raises(EngineError) as caught:
        ask(worker, lambda: FRAME, [(40, 30)], timeout=0)
    assert str(caught.value) == sentence


def test_a_picture_that_cannot_be_read_fails_its_own_question_only(make_worker):
    def unreadable():
        raise CameraError("K[0] is 0")

    worker = make_worker(ScriptedEngine())
    bad, good = worker.ask(unreadable, [(40, 30)]), worker.ask(lambda: FRAME, [(40, 30)])
    with pytest.raises(CameraError, match=r"K\[0\] is 0"):
        bad.future.result(5)
    assert good.future.result(5).ranges.distance_m.tolist() == [2.0]


def test_an_engine_that_raises_fails_the_question_and_is_asked_again(make_worker):
    broken = [True]

    def answer(view, pixel):
        if broken.pop() if broken else False:
            raise RuntimeError("CUDA error: unspecified launch failure\nCompile with DSA\nat 0x7f")
        return 3.0

    worker = make_worker(ScriptedEngine(answer))
    with pytest.raises(EngineError, match="RuntimeError: CUDA error: unspecified launch failure$"):
        ask(worker, lambda: FRAME, [(40, 30)])
    assert ask(worker, lambda: FRAME, [(40, 30)]).ranges.distance_m.tolist() == [3.0]


def test_a_load_that_fails_is_told_in_one_line(make_worker):
    def load(progress):
        raise RuntimeError("CUDA error: initialization error\nCompile with DSA\nat 0x7f")

    worker = make_worker(load=load)
    with pytest.raises(EngineError, match="be loaded: RuntimeError: CUDA error: initiali.*error$"):
        ask(worker, lambda: FRAME, [(40, 30)])


def test_a_model_that_dies_leaves_nobody_waiting_and_is_loaded_again(make_worker, monkeypatch):
    """Even if it cannot be given back, as where the device has failed."""
    monkeypatch.setattr(model, "AGAIN_S", 0.2)
    engines = [ScriptedEngine(), ScriptedEngine(5.0)]
    dead = engines[0]
    dead.room = lambda scene, seconds: 1 / 0
    dead.close = lambda: [].pop()
    worker = make_worker(load=lambda progress: AskingPredictor(engines.pop(0), ROW))
    with pytest.raises(EngineError, match="the model stopped: ZeroDivisionError.*loaded again"):
        ask(worker, lambda: FRAME, [(40, 30)])
    with pytest.raises(EngineError, match="the model (stopped|could not be given back: IndexErr)"):
        ask(worker, lambda: FRAME, [(40, 30)])
    wait_for(lambda: not worker.problem)
    assert ask(worker, lambda: FRAME, [(40, 30)]).ranges.distance_m.tolist() == [5.0]


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


def test_a_question_past_its_deadline_is_answered_with_what_is_known_while_the_engine_hangs(
    make_worker, hanging
):
    worker = make_worker(hanging.engine)
    asked = worker.ask(lambda: FRAME, [(40, 30), (10, 30)], deadline=time.monotonic() + 60)
    unbegun = worker.ask(lambda: FRAME, [(40, 30)], deadline=time.monotonic() + 60)
    assert hanging.stopped.wait(5)
    asked.deadline = unbegun.deadline = time.monotonic()
    worker.expire()
    ranges = asked.future.result(0).ranges
    assert ranges.distance_m[0] == 2.0 and list(ranges.status) == [Status.OK, Status.TIMED_OUT]
    if unbegun.total:
        assert list(unbegun.future.result(0).ranges.status) == [Status.TIMED_OUT]


def test_a_question_cancelled_keeps_what_is_answered(make_worker, hanging):
    worker = make_worker(hanging.engine)
    asked = worker.ask(lambda: FRAME, [(40, 30), (10, 30)])
    assert hanging.stopped.wait(5)
    assert (asked.done, asked.total) == (1, 2)
    assert asked.snapshot().ranges.distance_m[0] == 2.0
    asked.cancel()
    assert list(asked.future.result(0).ranges.status) == [Status.OK, Status.CANCELLED]


def test_a_pause_refuses_what_is_under_way_and_what_comes_until_the_end_of_it(
    make_worker, hanging
):
    worker = make_worker(hanging.engine)
    asked = worker.ask(lambda: FRAME, [(10, 30)])
    assert hanging.stopped.wait(5)
    worker.pause("at rest")
    late = worker.ask(lambda: FRAME, [(40, 30)])
    for pending in (asked, late):
        with pytest.raises(EngineError, match="at rest"):
            pending.future.result(0)
    hanging.go_on.set()
    worker.resume()
    assert ask(worker, lambda: FRAME, [(40, 30)]).ranges.distance_m.tolist() == [2.0]


def test_unloading_frees_the_model_and_the_next_one_waits_for_that(make_worker, hanging):
    freed, second = threading.Event(), threading.Event()
    worker = make_worker(hanging.engine)
    weakref.finalize(worker.predictor, freed.set)
    asked = worker.ask(lambda: FRAME, [(10, 30)])
    assert hanging.stopped.wait(5)
    assert not worker.unload()
    with pytest.raises(EngineError, match="given back"):
        asked.future.result(0)
    del asked

    def load(progress):
        assert freed.is_set()
        second.set()
        return AskingPredictor(ScriptedEngine(7.0), ROW)

    worker.load(load)
    assert not second.wait(0.2)
    hanging.go_on.set()
    wait_for(lambda: not worker.problem)
    assert ask(worker, lambda: FRAME, [(40, 30)]).ranges.distance_m.tolist() == [7.0]


def test_what_is_refused_is_not_gathered_in_the_thread_that_refuses():
    """A deactivation must not wait for the answers of a grid that nobody will read."""

    class Job:
        error = None

        def add_done_callback(self, callback):
            self.cancel = lambda: callback(self)

        def snapshot(self):
            raise AssertionError("gathered")

    pending = Pending(lambda: FRAME, lambda predictor, frame: Job())
    pending.begin(None)
    pending.refuse(EngineError("inactive"))
    with pytest.raises(EngineError, match="inactive"):
        pending.future.result(0)


def wait_for(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


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
        late.future.result(5)


def test_a_load_that_reports_progress_is_broken_off_when_the_node_ends():
    begun, broken_off = threading.Event(), []

    def load(progress):
        begun.set()
        try:
            for i in range(1000):
                progress(i / 1000, "reading weights")
                time.sleep(0.01)
        except Exception as error:
            broken_off.append(error)
            raise

    worker = Worker()
    worker.load(load)
    assert begun.wait(5)
    assert worker.close() and len(broken_off) == 1


def test_a_model_that_still_loads_holds_up_the_end_less_than_launch_waits():
    go_on = threading.Event()

    def load(progress):
        go_on.wait(10)
        raise CheckpointError("came too late")

    worker = Worker()
    worker.load(load)
    began = time.monotonic()
    assert not worker.close()
    assert time.monotonic() - began < 3.0
    go_on.set()
    assert worker.close()
