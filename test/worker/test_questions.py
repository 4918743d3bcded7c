# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What becomes of questions: their order, failures, deadlines, and who is refused."""

import threading
import time

import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import CameraError, Code, DepthLMError, EngineError, InputError, Problem
from depthlm_ros.predict import Status
from depthlm_ros.view import Frame
from depthlm_ros.worker import worker as worker_module
from depthlm_ros.worker.requests import Boxes, Grid, Pending, PixelRequest, Stride


class Unreadable:
    """An image that cannot be decoded."""

    @property
    def frame(self):
        raise CameraError("K[0] is 0")


def by_column(view, pixel):
    return 1.0 + pixel[0] / 100


def test_answers_come_in_the_order_asked(make_worker, ask, question):
    worker = make_worker(ScriptedEngine(by_column))
    answered = ask(worker, [(70, 30), (10, 30), (40, 30)])
    assert answered.frame is question([]).frame
    assert answered.ranges.distance_m.tolist() == [1.7, 1.1, 1.4]


def test_a_grid_is_asked_row_by_row(make_worker, question):
    worker = make_worker(ScriptedEngine(by_column))
    ranges = worker.submit(grid(question, 4, 2)).future.result(5).ranges
    assert ranges.asked.tolist()[:5] == [[10, 14], [30, 14], [50, 14], [70, 14], [10, 44]]
    assert ranges.distance_m.tolist() == [1.1, 1.3, 1.5, 1.7] * 2


def test_a_question_overtakes_a_grid_under_way(make_worker, question):
    order, begun = [], threading.Event()

    def answer(view, pixel):
        begun.set()
        return 2.0

    worker = make_worker(ScriptedEngine(answer, seconds_per_question=0.01))
    scan = worker.submit(grid(question, 10, 10))
    scan.future.add_done_callback(lambda _: order.append("grid"))
    assert begun.wait(5)
    few = worker.submit(question([(40, 30)] * 40))
    few.future.add_done_callback(lambda _: order.append("question"))
    assert scan.future.result(10).ranges.distance_m.tolist() == [2.0] * 100
    assert order == ["question", "grid"]


def test_an_image_that_cannot_be_read_fails_its_own_question_only(make_worker, question):
    worker = make_worker(ScriptedEngine())
    bad = worker.submit(question([(40, 30)], Unreadable()))
    good = worker.submit(question([(40, 30)]))
    with pytest.raises(CameraError) as caught:
        bad.future.result(5)
    assert caught.value.problem == Problem(Code.BAD_INTRINSICS, "K[0] is 0")
    assert good.future.result(5).ranges.distance_m.tolist() == [2.0]


def test_an_engine_that_raises_fails_the_question_and_is_asked_again(make_worker, ask):
    broken = [True]

    def answer(view, pixel):
        if broken.pop() if broken else False:
            raise RuntimeError("CUDA error: unspecified launch failure\nCompile with DSA\nat 0x7f")
        return 3.0

    worker = make_worker(ScriptedEngine(answer))
    with pytest.raises(EngineError) as caught:
        ask(worker, [(40, 30)])
    assert caught.value.code == Code.MODEL_FAILED and "\n" not in str(caught.value)
    assert ask(worker, [(40, 30)]).ranges.distance_m.tolist() == [3.0]


def test_a_question_past_its_deadline_is_answered_with_what_is_known_while_the_engine_hangs(
    make_worker, question, hanging
):
    worker = make_worker(hanging.engine)
    asked = worker.submit(question([(40, 30), (10, 30)], deadline=time.monotonic() + 60))
    unbegun = worker.submit(question([(40, 30)], deadline=time.monotonic() + 60))
    assert hanging.stopped.wait(5)
    asked.deadline = unbegun.deadline = time.monotonic()
    worker.expire()
    ranges = asked.future.result(0).ranges
    assert ranges.distance_m[0] == 2.0 and list(ranges.status) == [Status.OK, Status.TIMED_OUT]
    if unbegun.total:
        assert list(unbegun.future.result(0).ranges.status) == [Status.TIMED_OUT]


def test_a_question_cancelled_keeps_what_is_answered(make_worker, question, hanging):
    worker = make_worker(hanging.engine)
    asked = worker.submit(question([(40, 30), (10, 30)]))
    assert hanging.stopped.wait(5)
    assert (asked.done, asked.total) == (1, 2)
    assert asked.snapshot().ranges.distance_m[0] == 2.0
    asked.cancel()
    assert list(asked.future.result(0).ranges.status) == [Status.OK, Status.CANCELLED]


def test_a_pause_refuses_what_is_under_way_and_what_comes_until_the_end_of_it(
    make_worker, ask, question, hanging
):
    worker = make_worker(hanging.engine)
    asked = worker.submit(question([(10, 30)]))
    assert hanging.stopped.wait(5)
    rest = Problem(Code.INACTIVE, "at rest")
    worker.pause(rest)
    late = worker.submit(question([(40, 30)]))
    for pending in (asked, late):
        assert pending.future.exception(0).problem == rest
    hanging.go_on.set()
    worker.resume()
    assert ask(worker, [(40, 30)]).ranges.distance_m.tolist() == [2.0]


def test_what_is_refused_is_not_gathered_in_the_thread_that_refuses(question):
    """A deactivation must not wait for the answers of a grid that nobody will read."""

    class Job:
        error = None

        def add_done_callback(self, callback):
            self.cancel = lambda: callback(self)

        def snapshot(self):
            raise AssertionError("gathered")

    class Predictor:
        def start(self, *question, **options):
            return Job()

    pending = Pending(question([(40, 30)]))
    pending.begin(Predictor())
    pending.refuse(EngineError("inactive", Code.INACTIVE))
    assert pending.future.exception(0).code == Code.INACTIVE


def test_more_requests_than_may_be_open_are_refused_and_taken_again_later(
    make_worker, ask, question, hanging, monkeypatch
):
    monkeypatch.setattr(worker_module, "MOST_OPEN", 3)
    worker = make_worker(hanging.engine)
    first = worker.submit(question([(10, 30)]))
    assert hanging.stopped.wait(5)
    taken = [worker.submit(question([(40, 30)])) for _ in range(2)]
    refused = worker.submit(question([(40, 30)]))
    assert refused.future.exception(0).code == Code.BUSY
    hanging.go_on.set()
    for pending in (first, *taken):
        assert list(pending.future.result(5).ranges.status) == [Status.OK]
    assert ask(worker, [(40, 30)]).ranges.distance_m.tolist() == [2.0]


def test_what_has_not_begun_when_it_ends_says_whether_it_was_late_or_cancelled(question):
    late, cancelled = Pending(question([(40, 30)])), Pending(question([(40, 30)]))
    late.expire()
    cancelled.cancel()
    assert late.future.exception(0).code == Code.TIMED_OUT
    assert cancelled.future.exception(0).code == Code.CANCELLED


def test_an_error_is_handed_on_without_what_its_traceback_holds(question):
    """Which would be the image, until the next full garbage collection."""
    pending = Pending(question([(40, 30)], Unreadable()))
    pending.begin(None)
    assert pending.future.exception(0).__traceback__ is None


CAMERA = Camera(80, 60, 100.0, 100.0, 39.5, 29.5)


def test_a_grid_covers_its_region_and_none_that_is_off_the_image():
    assert Grid(2, 1, (40, 30, 20, 10)).on(CAMERA).tolist() == [[44, 34], [54, 34]]
    with pytest.raises(InputError):
        Grid(2, 1, (80, 0, 20, 10)).on(CAMERA)
    with pytest.raises(InputError):
        Grid(2, 0).on(CAMERA)


def test_a_stride_covers_its_region_and_none_that_is_off_the_image():
    stride = Stride(10, (40, 30, 20, 10))
    assert stride.shape(CAMERA) == (2, 1)
    assert stride.on(CAMERA).tolist() == [[44, 34], [54, 34]]
    with pytest.raises(InputError):
        Stride(10, (80, 0, 20, 10)).on(CAMERA)


def test_boxes_off_the_image_ask_nothing():
    assert Boxes(((100, 0, 5, 5),)).on(CAMERA).shape == (0, 2)
    assert Boxes(((10, 10, 20, 20), (100, 0, 5, 5)), 4).on(CAMERA).shape == (4, 2)


def test_every_error_has_a_code_and_keeps_it():
    assert DepthLMError("?").problem == Problem(Code.INTERNAL, "?")
    assert InputError("none yet", Code.NO_IMAGE).code == Code.NO_IMAGE
    assert InputError.code == Code.BAD_REQUEST


def grid(question, columns, rows):
    frame: Frame = question([]).frame
    return PixelRequest.many("left", frame, Grid(columns, rows))
