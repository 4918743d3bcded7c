# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The batcher with an engine that records its steps: no torch, no ROS."""

import random
import threading
import time
from contextlib import contextmanager

import pytest

from depthlm_ros.batcher import Batcher
from depthlm_ros.errors import EngineError


class Recorder:
    """Answers each question by itself; remembers its steps; room questions at once."""

    def __init__(self, room=4, seconds=0.0):
        self.steps, self.size, self.seconds = [], room, seconds

    def room(self, scene, seconds):
        return self.size

    def step(self, batch):
        time.sleep(self.seconds)
        self.steps.append(list(batch))
        return [(scene, question) for scene, question in batch]


@contextmanager
def _worker(batcher):
    """A thread that steps the batcher for everybody, as the node's does."""
    stop = threading.Event()

    def work():
        while not stop.is_set():
            if not batcher.drive():
                time.sleep(0.001)

    thread = threading.Thread(target=work)
    thread.start()
    yield batcher
    stop.set()
    thread.join()


def test_each_row_is_answered_once_by_its_own_question():
    engine = Recorder(room=3)
    batcher = Batcher(engine)
    jobs = [batcher.submit(name, range(7)) for name in "ab"]
    for name, job in zip("ab", jobs, strict=True):
        assert job.wait() == [(name, q) for q in range(7)]
    asked = sorted(row for step in engine.steps for row in step)
    assert asked == [(name, q) for name in "ab" for q in range(7)]


def test_who_hears_that_time_is_up_may_ask_again():
    batcher, again = Batcher(Recorder()), []
    late = batcher.submit("a", [1], deadline=time.monotonic())
    late.add_done_callback(lambda job: again.append(batcher.submit("b", [2])))
    stepping = threading.Thread(target=batcher.run_once, daemon=True)
    stepping.start()
    stepping.join(5)
    assert not stepping.is_alive() and again[0].wait(1) == [("b", 2)]


def test_two_scenes_share_a_step():
    engine = Recorder(room=10)
    batcher = Batcher(engine)
    first, second = batcher.submit("a", range(3)), batcher.submit("b", range(3))
    batcher.run_once()
    assert first.finished and second.finished and len(engine.steps) == 1


def test_a_higher_priority_overtakes_after_one_step():
    engine = Recorder(room=2)
    batcher = Batcher(engine)
    grid = batcher.submit("grid", range(6), priority=-1)
    batcher.run_once()
    query = batcher.submit("query", range(2))
    batcher.run_once()
    assert query.finished and grid.done == 2


def test_a_cancelled_job_keeps_its_answers_and_asks_no_more():
    engine = Recorder(room=2)
    batcher = Batcher(engine)
    job = batcher.submit("a", range(6))
    batcher.run_once()
    job.cancel()
    assert not batcher.run_once()
    assert [r is not None for r in job.wait()] == [True, True, False, False, False, False]
    assert len(engine.steps) == 1


def test_an_earlier_deadline_goes_first():
    engine = Recorder(room=2)
    batcher = Batcher(engine)
    now = time.monotonic()
    for name, deadline in (("none", None), ("late", now + 60), ("soon", now + 30)):
        batcher.submit(name, range(2), deadline=deadline)
    while batcher.run_once():
        pass
    assert [step[0][0] for step in engine.steps] == ["soon", "late", "none"]


def test_equal_jobs_take_turns():
    engine = Recorder(room=2)
    batcher = Batcher(engine)
    for name in "abc":
        batcher.submit(name, range(4))
    while batcher.run_once():
        pass
    assert [step[0][0] for step in engine.steps] == list("abcabc")


def test_grids_keep_one_step_in_five():
    engine = Recorder(room=1)
    batcher = Batcher(engine)
    batcher.submit("grid", range(100), priority=-1)
    batcher.submit("query", range(100))
    for _ in range(50):
        batcher.run_once()
    names = [step[0][0] for step in engine.steps]
    assert names.count("grid") == 10


class Clock:
    """Stands in for the module time: passes only by sleep()."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Timed:
    """An engine whose steps take what `seconds` says, by the clock of the test."""

    def __init__(self, clock, seconds=0.1):
        self.clock, self.seconds, self.steps = clock, seconds, []

    def room(self, scene, seconds):
        return 1

    def step(self, batch):
        self.clock.sleep(self.seconds)
        self.steps += [scene for scene, _ in batch]
        return list(batch)


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("depthlm_ros.batcher.time", made)
    return made


@pytest.mark.parametrize("answered_before", [0, 5])
def test_one_slow_step_makes_no_later_question_time_out(clock, answered_before):
    """A stall of ten seconds, or a first step that compiles kernels, is no reason not to ask."""
    engine = Timed(clock)
    batcher = Batcher(engine)
    for _ in range(answered_before):
        assert batcher.submit("a", [0], deadline=clock.now + 1.5).wait() == [("a", 0)]
    engine.seconds = 10.0
    batcher.submit("stalled", [0], deadline=clock.now + 1.5).wait()
    engine.seconds = 0.1
    for _ in range(10):
        job = batcher.submit("b", range(3), deadline=clock.now + 1.5)
        assert job.wait() == [("b", row) for row in range(3)]


def test_a_question_that_will_be_late_makes_no_other_late(clock):
    engine = Timed(clock)
    batcher = Batcher(engine)
    batcher.submit("a", range(4)).wait()
    hopeless = batcher.submit("hopeless", [0], deadline=clock.now + 0.05)
    good = batcher.submit("good", [0], deadline=clock.now + 0.15)
    assert good.wait() == [("good", 0)] and not hopeless.finished
    batcher.run_once()
    assert hopeless.finished and hopeless.wait() == [None]
    assert "hopeless" not in engine.steps


def test_where_nothing_else_is_asked_a_question_that_may_be_late_is_tried(clock):
    engine = Timed(clock)
    batcher = Batcher(engine)
    batcher.submit("a", range(4)).wait()
    batcher.submit("b", [0], deadline=clock.now + 0.05).wait()
    assert engine.steps[-1] == "b"


def test_late_rows_are_dropped_and_the_waiter_does_not_wait_for_them():
    with _worker(Batcher(Recorder(room=1, seconds=1.0))) as batcher:
        begun = time.monotonic()
        assert batcher.submit("a", range(1), deadline=begun + 0.2).wait() == [None]
        assert time.monotonic() - begun < 0.9


def test_ten_thousand_random_schedules_answer_every_row_once_and_rightly():
    for seed in range(10_000):
        _random_schedule(random.Random(seed))


def _random_schedule(rng):
    """Jobs come between steps, some are cancelled; every other row is answered exactly once."""
    engine = Recorder(room=rng.randint(1, 7))
    batcher, jobs = Batcher(engine), []
    for number in range(rng.randint(1, 6)):
        jobs.append(batcher.submit(number, range(rng.randint(0, 9)), rng.randint(-1, 1)))
        if rng.random() < 0.5:
            batcher.run_once()
        if rng.random() < 0.2:
            rng.choice(jobs).cancel()
    while batcher.run_once():
        pass
    asked = [row for step in engine.steps for row in step]
    assert len(asked) == len(set(asked)) and max(map(len, engine.steps), default=0) <= engine.size
    for number, job in enumerate(jobs):
        expected = [(number, q) for q in range(job.total)]
        if job.cancelled:
            assert all(got in (None, want) for got, want in zip(job.wait(), expected, strict=True))
        else:
            assert job.wait() == expected


def test_a_job_past_its_deadline_is_dropped():
    engine = Recorder()
    batcher = Batcher(engine)
    job = batcher.submit("a", range(2), deadline=time.monotonic() - 1)
    assert job.wait(1) == [None, None] and engine.steps == []


def test_a_failed_step_fails_its_jobs_and_no_other():
    engine = Recorder(room=2)
    batcher = Batcher(engine)
    engine.step = lambda batch: 1 / 0
    lost = batcher.submit("a", range(5))
    with pytest.raises(EngineError, match="ZeroDivisionError"):
        lost.wait()
    del engine.step
    assert batcher.submit("b", [1]).wait() == [("b", 1)]


def test_an_interrupted_step_loses_no_question():
    """Ctrl+C in the middle of a step, and the same job waited for again."""
    engine = Recorder(room=4)
    batcher = Batcher(engine)
    jobs = [batcher.submit(name, range(3)) for name in "ab"]
    step, engine.step = engine.step, interrupted
    with pytest.raises(KeyboardInterrupt):
        jobs[0].wait(5)
    engine.step = step
    for name, job in zip("ab", jobs, strict=True):
        assert job.wait(5) == [(name, q) for q in range(3)]


def interrupted(batch):
    raise KeyboardInterrupt


def test_a_missing_reply_is_an_error_and_not_a_shifted_row():
    engine = Recorder()
    engine.step = lambda batch: [1]
    with pytest.raises(EngineError, match=r"\b2 .*\b1 "):
        Batcher(engine).submit("a", range(2)).wait()


def test_no_questions_finish_at_once():
    assert Batcher(Recorder()).submit("a", []).finished


def test_wait_returns_on_its_own_clock_while_a_worker_serves():
    with _worker(Batcher(Recorder(room=1, seconds=0.2))) as batcher:
        job = batcher.submit("a", range(20))
        begun = time.monotonic()
        job.wait(0.1)
        assert time.monotonic() - begun < 1.0 and not job.finished
        job.cancel()


def test_callbacks_come_once_also_after_the_end():
    batcher, calls = Batcher(Recorder()), []
    job = batcher.submit("a", range(2))
    job.add_done_callback(calls.append)
    job.wait()
    job.add_done_callback(calls.append)
    assert calls == [job, job]


class FixedCost(Recorder):
    """A step of n questions takes fixed + n * each seconds, of which it says itself how many fit
    into a time."""

    def __init__(self, fixed, each):
        super().__init__()
        self.fixed, self.each = fixed, each

    def room(self, scene, seconds):
        return max(1, int((seconds - self.fixed) / self.each + 1e-9))


@pytest.mark.parametrize(
    ("fixed", "each", "priority", "sizes"),
    [
        (0.09, 0.05, -1, [8, 8, 4]),  # a grid shares the fixed cost, up to LEAST
        (0.09, 0.1, -1, [4] * 5),  # or as far as PATIENT allows
        (0.09, 0.05, 0, [1] * 20),  # a query's step stays short
        (0.0, 0.01, -1, [10, 10]),  # and where enough fit nothing changes
    ],
)
def test_a_grid_takes_as_many_questions_as_pay(fixed, each, priority, sizes):
    engine = FixedCost(fixed, each)
    batcher = Batcher(engine, step_s=0.1)
    batcher.submit("a", range(20), priority=priority).wait()
    assert [len(step) for step in engine.steps] == sizes


def test_a_query_beside_a_grid_makes_the_step_short_again_and_waits_one_at_most():
    engine = FixedCost(0.09, 0.05)
    batcher = Batcher(engine, step_s=0.1)
    batcher.submit("grid", range(20), priority=-1)
    batcher.run_once()
    query = batcher.submit("query", range(1))
    batcher.run_once()
    assert query.finished
    assert [len(step) for step in engine.steps] == [8, 1]


def test_a_deadline_shortens_a_long_step():
    engine = FixedCost(0.0, 0.05)
    batcher = Batcher(engine, step_s=0.1)
    batcher.submit("grid", range(20), priority=-1, deadline=time.monotonic() + 0.24)
    batcher.run_once()
    assert 2 <= len(engine.steps[0]) <= 4
