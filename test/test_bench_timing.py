# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Cells of a comparison on a scripted clock: what is measured and what is extrapolated."""

import pytest

from depthlm_ros.bench.shapes import SIZES, view_of
from depthlm_ros.bench.timing import Contestant, Stopwatch, questions_about
from depthlm_ros.engines import Reply
from depthlm_ros.question import STYLES


class Clock:
    """Time that passes only when a ScriptedCosts says so."""

    now = 0.0

    def __call__(self):
        return self.now


class Memory:
    """Memory whose peak is 7."""

    def reset(self):
        pass

    def peak(self):
        return 7


class ScriptedCosts:
    """An engine that takes opening_s for an image and each(size) seconds for each of a step's
    questions."""

    def __init__(self, clock, opening_s, each, room=1000):
        self.clock, self.opening_s, self.each, self.most = clock, opening_s, each, room
        self.closed = self.opened = 0

    def open(self, images, style):
        self.clock.now += self.opening_s
        self.opened += 1
        return self

    def room(self, scene, seconds):
        return self.most

    def step(self, batch):
        self.clock.now += len(batch) * self.each(len(batch))
        return [Reply(1.0, "1") for _ in batch]

    def close(self):
        self.closed += 1


@pytest.fixture
def scripted():
    """(name, opening_s, each, room, limit) -> (Stopwatch, Contestant) on one scripted clock."""

    def made(name="local", opening_s=0.0, each=lambda size: 1.0, room=1000, limit_s=60.0):
        clock = Clock()
        watch = Stopwatch(view_of(SIZES["tiny"]), Memory(), limit_s, clock)
        engine = ScriptedCosts(clock, opening_s, each, room)
        style = STYLES["coordinates"]()
        return watch, Contestant(name, engine, style, opening_counts=name == "local")

    return made


def test_what_fits_the_limit_is_measured_whole(scripted):
    watch, local = scripted(opening_s=3.0, each=lambda size: 0.5, room=8)
    (row,) = watch.rows(local, [20])
    assert (row.measured_n, row.extrapolated, row.batch, row.peak_bytes) == (20, False, 8, 7)
    assert row.seconds_per_question == pytest.approx((3.0 + 20 * 0.5) / 20)
    assert row.first_answer_s == pytest.approx(3.0 + 8 * 0.5)
    assert local.engine.closed == local.engine.opened == 1


def test_what_exceeds_the_limit_is_sampled_and_the_opening_counts_once(scripted):
    watch, local = scripted(opening_s=3.0, each=lambda size: 0.5, room=10, limit_s=17.0)
    (row,) = watch.rows(local, [1000])
    assert (row.measured_n, row.extrapolated) == (30, True)  # a fourth step would end at 20 s
    assert row.seconds_per_question == pytest.approx((3.0 + 1000 * 0.5) / 1000)


def test_one_step_is_measured_even_if_it_exceeds_the_limit(scripted):
    watch, local = scripted(each=lambda size: 100.0, room=2)
    (row,) = watch.rows(local, [5])
    assert (row.measured_n, row.extrapolated, row.seconds_per_question) == (2, True, 100.0)


def test_a_sample_stands_for_all_larger_numbers_of_questions(scripted):
    watch, local = scripted(opening_s=10.0, room=1, limit_s=20.0)
    rows = list(watch.rows(local, [1000, 5, 100]))
    assert [(row.n, row.measured_n) for row in rows] == [(5, 5), (100, 20), (1000, 20)]
    assert local.engine.opened == 2
    assert rows[2].seconds_per_question == pytest.approx(1.0 + 10.0 / 1000)


def test_what_reference_does_at_opening_does_not_count_against_it(scripted):
    watch, reference = scripted("reference", opening_s=5.0)
    (row,) = watch.rows(reference, [2], batch=1)
    assert (row.seconds_per_question, row.first_answer_s) == (1.0, 1.0)


def test_the_best_batch_is_where_a_question_takes_least_time(scripted):
    watch, engine = scripted(each=lambda size: {1: 1.0, 2: 0.7, 4: 0.5}.get(size, 0.6))
    assert watch.best_batch(engine, 100, 1.0) == 4
    assert watch.best_batch(engine, 2, 1.0) == 2


def test_the_search_for_a_batch_ends_at_the_limit_and_where_memory_ends(scripted):
    def each(size):
        if size == 8:
            raise MemoryError
        return 1.0 / size

    watch, engine = scripted(each=each)
    assert watch.best_batch(engine, 100, 1.0) == 4
    watch, engine = scripted(each=lambda size: 30.0 / size)
    watch.limit_s = 20.0
    assert watch.best_batch(engine, 100, 30.0) == 1


def test_another_error_in_the_search_is_not_taken_for_lack_of_memory(scripted):
    def each(size):
        raise RuntimeError("broken")

    watch, engine = scripted(each=each)
    with pytest.raises(RuntimeError, match="broken"):
        watch.best_batch(engine, 4, 1.0)


def test_questions_are_the_same_in_every_run_and_all_can_be_asked(scripted):
    watch, _ = scripted()
    marker, again = STYLES["marker"](), STYLES["marker"]()
    asked = [question.pixel for question in questions_about(watch.view, marker, 50)]
    assert asked == [question.pixel for question in questions_about(watch.view, again, 50)]
    assert all(marker.can_ask(watch.view, pixel) for pixel in asked)
    assert len(set(asked)) > 45
