# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The thread that owns the model: it loads, tells how far, dies, gives back and ends."""

import threading
import time
import weakref

import pytest

from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import CheckpointError, Code, EngineError
from depthlm_ros.worker import thread as model
from depthlm_ros.worker.worker import Worker


def wait_for(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_while_the_model_loads_every_question_is_told_how_far_it_is(
    make_worker, ask, predictor_of
):
    begun, may_load = threading.Event(), threading.Event()

    def load(progress):
        progress(0.42, "reading weights")
        begun.set()
        may_load.wait(5)
        return predictor_of(ScriptedEngine())

    worker = make_worker(load=load, wait=False)
    assert begun.wait(5) and worker.problem.code == Code.LOADING
    with pytest.raises(EngineError) as caught:
        ask(worker, [(40, 30)], timeout=0)
    assert caught.value.code == Code.LOADING
    assert "42%" in str(caught.value) and "reading weights" in str(caught.value)
    may_load.set()


@pytest.mark.parametrize(
    "error", [CheckpointError("folder is half written"), RuntimeError("no CUDA")], ids=repr
)
def test_a_model_that_cannot_be_loaded_is_one_sentence_for_everybody(make_worker, ask, error):
    def load(progress):
        raise error

    worker = make_worker(load=load)
    assert worker.problem.code == Code.MODEL_FAILED
    assert worker.problem.text.endswith(str(error)) and "\n" not in worker.problem.text
    with pytest.raises(EngineError) as caught:
        ask(worker, [(40, 30)], timeout=0)
    assert caught.value.problem == worker.problem


def test_a_load_that_fails_is_told_in_one_line(make_worker, ask):
    def load(progress):
        raise RuntimeError("CUDA error: initialization error\nCompile with DSA\nat 0x7f")

    worker = make_worker(load=load)
    with pytest.raises(EngineError, match="RuntimeError: CUDA error: initialization error$"):
        ask(worker, [(40, 30)])


def test_a_model_that_dies_leaves_nobody_waiting_and_is_loaded_again(
    make_worker, ask, predictor_of, monkeypatch
):
    """Even if it cannot be given back, as where the device has failed."""
    monkeypatch.setattr(model, "AGAIN_S", 0.2)
    engines = [ScriptedEngine(), ScriptedEngine(5.0)]
    dead = engines[0]
    dead.room = lambda scene, seconds: 1 / 0
    dead.close = lambda: [].pop()
    worker = make_worker(load=lambda progress: predictor_of(engines.pop(0)))
    with pytest.raises(EngineError, match="ZeroDivisionError"):
        ask(worker, [(40, 30)])
    with pytest.raises(EngineError, match="ZeroDivisionError|IndexError"):
        ask(worker, [(40, 30)])
    wait_for(lambda: not worker.problem)
    assert ask(worker, [(40, 30)]).ranges.distance_m.tolist() == [5.0]


def test_unloading_frees_the_model_and_the_next_one_waits_for_that(
    make_worker, ask, question, predictor_of, hanging
):
    freed, second = threading.Event(), threading.Event()
    worker = make_worker(hanging.engine)
    weakref.finalize(worker.predictor, freed.set)
    asked = worker.submit(question([(10, 30)]))
    assert hanging.stopped.wait(5)
    assert not worker.unload()
    assert asked.future.exception(0).code == Code.UNCONFIGURED
    del asked

    def load(progress):
        assert freed.is_set()
        second.set()
        return predictor_of(ScriptedEngine(7.0))

    worker.load(load)
    assert not second.wait(0.2)
    hanging.go_on.set()
    wait_for(lambda: not worker.problem)
    assert ask(worker, [(40, 30)]).ranges.distance_m.tolist() == [7.0]


def test_what_waits_when_the_worker_ends_is_refused_and_not_forgotten(make_worker, question):
    stepping, go_on = threading.Event(), threading.Event()

    def answer(view, pixel):
        stepping.set()
        go_on.wait(5)
        return 2.0

    worker = make_worker(ScriptedEngine(answer))
    worker.submit(question([(40, 30)]))
    assert stepping.wait(5)
    late = worker.submit(question([(40, 30)]))
    closing = threading.Thread(target=worker.close)
    closing.start()
    go_on.set()
    closing.join(5)
    assert late.future.exception(5).code == Code.SHUTTING_DOWN


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
