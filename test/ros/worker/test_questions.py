# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What becomes of questions: their order, failures, deadlines, and who is refused."""

import threading
import time

import pytest

pytest.importorskip("rclpy")
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import CameraError, EngineError
from depthlm_ros.predict import Status
from depthlm_ros.worker.requests import Pending


def by_column(view, pixel):
    return 1.0 + pixel[0] / 100


def test_answers_come_in_the_order_asked(make_worker, ask, frame_of):
    worker = make_worker(ScriptedEngine(by_column))
    answered = ask(worker, [(70, 30), (10, 30), (40, 30)])
    assert answered.frame is frame_of()
    assert answered.ranges.distance_m.tolist() == [1.7, 1.1, 1.4]


def test_a_grid_is_asked_row_by_row(make_worker, frame_of):
    worker = make_worker(ScriptedEngine(by_column))
    ranges = worker.scan(frame_of, 4, 2).future.result(5).ranges
    assert ranges.asked.tolist()[:5] == [[10, 14], [30, 14], [50, 14], [70, 14], [10, 44]]
    assert ranges.distance_m.tolist() == [1.1, 1.3, 1.5, 1.7] * 2


def test_a_question_overtakes_a_grid_under_way(make_worker, frame_of):
    order, begun = [], threading.Event()

    def answer(view, pixel):
        begun.set()
        return 2.0

    worker = make_worker(ScriptedEngine(answer, seconds_per_question=0.01))
    grid = worker.scan(frame_of, 10, 10)
    grid.future.add_done_callback(lambda _: order.append("grid"))
    assert begun.wait(5)
    question = worker.ask(frame_of, [(40, 30)] * 40)
    question.future.add_done_callback(lambda _: order.append("question"))
    assert grid.future.result(10).ranges.distance_m.tolist() == [2.0] * 100
    assert order == ["question", "grid"]


def test_a_picture_that_cannot_be_read_fails_its_own_question_only(make_worker, frame_of):
    def unreadable():
        raise CameraError("K[0] is 0")

    worker = make_worker(ScriptedEngine())
    bad, good = worker.ask(unreadable, [(40, 30)]), worker.ask(frame_of, [(40, 30)])
    with pytest.raises(CameraError, match=r"K\[0\] is 0"):
        bad.future.result(5)
    assert good.future.result(5).ranges.distance_m.tolist() == [2.0]


def test_an_engine_that_raises_fails_the_question_and_is_asked_again(make_worker, ask):
    broken = [True]

    def answer(view, pixel):
        if broken.pop() if broken else False:
            raise RuntimeError("CUDA error: unspecified launch failure\nCompile with DSA\nat 0x7f")
        return 3.0

    worker = make_worker(ScriptedEngine(answer))
    with pytest.raises(EngineError, match="RuntimeError: CUDA error: unspecified launch failure$"):
        ask(worker, [(40, 30)])
    assert ask(worker, [(40, 30)]).ranges.distance_m.tolist() == [3.0]


def test_a_question_past_its_deadline_is_answered_with_what_is_known_while_the_engine_hangs(
    make_worker, frame_of, hanging
):
    worker = make_worker(hanging.engine)
    asked = worker.ask(frame_of, [(40, 30), (10, 30)], deadline=time.monotonic() + 60)
    unbegun = worker.ask(frame_of, [(40, 30)], deadline=time.monotonic() + 60)
    assert hanging.stopped.wait(5)
    asked.deadline = unbegun.deadline = time.monotonic()
    worker.expire()
    ranges = asked.future.result(0).ranges
    assert ranges.distance_m[0] == 2.0 and list(ranges.status) == [Status.OK, Status.TIMED_OUT]
    if unbegun.total:
        assert list(unbegun.future.result(0).ranges.status) == [Status.TIMED_OUT]


def test_a_question_cancelled_keeps_what_is_answered(make_worker, frame_of, hanging):
    worker = make_worker(hanging.engine)
    asked = worker.ask(frame_of, [(40, 30), (10, 30)])
    assert hanging.stopped.wait(5)
    assert (asked.done, asked.total) == (1, 2)
    assert asked.snapshot().ranges.distance_m[0] == 2.0
    asked.cancel()
    assert list(asked.future.result(0).ranges.status) == [Status.OK, Status.CANCELLED]


def test_a_pause_refuses_what_is_under_way_and_what_comes_until_the_end_of_it(
    make_worker, ask, frame_of, hanging
):
    worker = make_worker(hanging.engine)
    asked = worker.ask(frame_of, [(10, 30)])
    assert hanging.stopped.wait(5)
    worker.pause("at rest")
    late = worker.ask(frame_of, [(40, 30)])
    for pending in (asked, late):
        with pytest.raises(EngineError, match="at rest"):
            pending.future.result(0)
    hanging.go_on.set()
    worker.resume()
    assert ask(worker, [(40, 30)]).ranges.distance_m.tolist() == [2.0]


def test_what_is_refused_is_not_gathered_in_the_thread_that_refuses(frame_of):
    """A deactivation must not wait for the answers of a grid that nobody will read."""

    class Job:
        error = None

        def add_done_callback(self, callback):
            self.cancel = lambda: callback(self)

        def snapshot(self):
            raise AssertionError("gathered")

    pending = Pending(frame_of, lambda predictor, frame: Job())
    pending.begin(None)
    pending.refuse(EngineError("inactive"))
    with pytest.raises(EngineError, match="inactive"):
        pending.future.result(0)
