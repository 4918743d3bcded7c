# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How large a step may be, from measured times, on a clock of the test's own."""

from types import SimpleNamespace

import pytest

from depthlm_ros.engines.capacity import Pace, threads_for

STEP_S = 0.1
COSTS = {"a cheap step": (0.02, 0.004), "a fixed cost beyond the step": (0.3, 0.003)}


class Machine:
    """A machine whose step of n questions takes load * (fixed + n * each) on a clock of its own,
    driven as a batcher drives an engine with a grid."""

    def __init__(self, fixed, each):
        self.fixed, self.each, self.now = fixed, each, 0.0
        self.pace = Pace(clock=lambda: self.now)

    def steps(self, count, load=1.0):
        """How many questions each of the next steps takes."""
        taken = []
        for _ in range(count):
            taken.append(self.pace.room("kind", STEP_S))
            with self.pace.measured("kind", taken[-1]):
                self.now += load * (self.fixed + taken[-1] * self.each)
        return taken


def test_a_pace_with_more_patience_fills_the_steps_of_a_slow_single_question():
    """A step is worth so many times what one question takes, and grows so much at once."""
    found = []
    for pace in (Pace(), Pace(growth=8, patience=8.0)):
        pace.note("kind", 1, 0.5)
        found.append(pace.room("kind", STEP_S))
        pace.note("kind", found[-1], 0.6)
        found.append(pace.room("kind", STEP_S))
    assert found == [2, 3, 8, 64]


def settle(fixed, each):
    """The room that a Pace comes to where a step of n takes fixed + n * each."""
    return Machine(fixed, each).steps(40)[-1]


@pytest.mark.parametrize("load", [1.0, 5.0])
@pytest.mark.parametrize("slow_steps", [1, 2])
@pytest.mark.parametrize("before", range(1, 12))
@pytest.mark.parametrize("cost", COSTS)
def test_a_grid_is_back_at_its_pace_within_three_steps(cost, before, slow_steps, load):
    """After a step of fifty times its length, wherever it comes, and also under steady load: one
    measure of the further questions would leave one question a step for ever."""
    machine, undisturbed = Machine(*COSTS[cost]), Machine(*COSTS[cost])
    reached = machine.steps(before, load)[-1]
    machine.steps(slow_steps, 50 * load)
    assert machine.steps(3, load)[-1] >= reached - 1
    assert machine.steps(20, load)[-1] == pytest.approx(undisturbed.steps(40, load)[-1], abs=1)


@pytest.mark.parametrize("cost", COSTS)
def test_a_grid_is_back_at_its_pace_after_a_stall_of_ten_seconds(cost):
    machine = Machine(*COSTS[cost])
    pace = machine.steps(20)[-1]
    with machine.pace.measured("kind", pace):
        machine.now += 10.0
    assert min(machine.steps(3)) == pace


def test_load_that_comes_to_stay_leaves_the_steps_filled():
    """All of it would be put on the further questions, by the old measure of the first."""
    machine = Machine(*COSTS["a fixed cost beyond the step"])
    quiet = machine.steps(20)[-1]
    assert machine.steps(10, load=3.0)[-1] == quiet


@pytest.mark.parametrize("cost", COSTS)
def test_when_load_ends_the_steps_grow_again(cost):
    machine = Machine(*COSTS[cost])
    quiet = machine.steps(20)[-1]
    machine.steps(20, load=30.0)
    assert machine.steps(8)[-1] == quiet


def test_a_question_that_outlasts_the_step_is_tried_in_twos_now_and_then():
    """It may have become cheaper since; most steps stay short."""
    taken = Machine(fixed=0.0, each=2.0).steps(300)
    assert 1 <= taken[10:].count(2) <= 6
    assert set(taken[10:]) == {1, 2}


def test_the_first_step_asks_one_question():
    assert Pace().room("kind", 10.0) == 1


def test_steps_grow_until_they_fill_their_time():
    assert settle(fixed=0.02, each=0.004) == pytest.approx(20, abs=1)


def test_steps_at_most_double():
    pace = Pace()
    pace.note("kind", 1, 0.001)
    assert pace.room("kind", 10.0) == 2


def test_a_question_that_outlasts_the_step_is_asked_alone():
    assert settle(fixed=0.0, each=2.0) == 1


def test_a_fixed_cost_that_outlasts_the_step_is_shared():
    """Else a slow machine would ask a grid one by one for ever."""
    assert settle(fixed=0.3, each=0.003) > 30


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
