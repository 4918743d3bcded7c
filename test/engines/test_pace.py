# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How large a step may be, from measured times and free memory."""

from types import SimpleNamespace

import pytest

from depthlm_ros.engines.capacity import Pace, threads_for


def settle(fixed, each, seconds):
    """The room that a Pace comes to where a step of n takes fixed + n * each."""
    pace, room = Pace(), 1
    for _ in range(40):
        pace.note("kind", room, fixed + room * each)
        room = pace.room("kind", seconds)
    return room


def test_the_first_step_asks_one_question():
    assert Pace().room("kind", 10.0) == 1


def test_steps_grow_until_they_fill_their_time():
    assert settle(fixed=0.02, each=0.004, seconds=0.1) == pytest.approx(20, abs=1)


def test_steps_at_most_double():
    pace = Pace()
    pace.note("kind", 1, 0.001)
    assert pace.room("kind", 10.0) == 2


def test_a_question_that_outlasts_the_step_is_asked_alone():
    assert settle(fixed=0.0, each=2.0, seconds=0.1) == 1


def test_a_fixed_cost_that_outlasts_the_step_is_shared():
    """Else a slow machine would ask a grid one by one for ever."""
    assert settle(fixed=0.3, each=0.003, seconds=0.1) > 30


def test_kinds_are_measured_apart():
    pace = Pace()
    pace.note("slow", 1, 1.0)
    assert pace.room("fast", 10.0) == 1


def test_a_block_is_timed():
    pace = Pace()
    with pace.measured("kind", 1):
        pass
    assert pace.room("kind", 10.0) == 2


def test_a_small_model_runs_in_one_thread_unless_told_and_others_get_theirs_back():
    torch = pytest.importorskip("torch")

    cpu, before = torch.device("cpu"), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for parameters, asked, threads in ((4e6, 0, 1), (3e9, 0, 2), (4e6, 2, 2), (3e9, 1, 1)):
            model = SimpleNamespace(device=cpu, parameters=parameters, threads=asked)
            with threads_for(model):
                assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
