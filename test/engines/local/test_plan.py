# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Tokens that grow together: each in a slot of its row, seeing its own path and no other."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from depthlm_ros.engines.local.plan import Paths, Plan, table

# Row 3 is the first of block 0, row 1 the third of it; row 2 is in block 1.
WHERE = {3: (0, 0), 0: (0, 1), 1: (0, 2), 2: (1, 0)}
ROWS = [1, 1, 2, 3]
PATHS = Paths.of_lists([[0], [1, 0], [2], [3]])


def seen_by(made, places, token):
    """The numbers that a token sees."""
    slot = made.slots[made.order.argsort()[token]]
    row, column = divmod(int(slot), made.dark.shape[1])
    lit = made.seen[row][made.dark[row, column] == 0]
    return {places.index(place) for place in lit.tolist()}


def test_every_token_sees_its_path_and_nothing_else():
    places = []
    made = table(WHERE, ROWS, PATHS, places)
    assert [seen_by(made, places, token) for token in range(4)] == [{0}, {0, 1}, {2}, {3}]
    assert made.spans == {0: slice(0, 3), 1: slice(0, 1)}
    assert made.dark.shape[:2] == (4, 2)


def test_a_later_round_sees_what_grew_before_it():
    places = []
    table(WHERE, ROWS, PATHS, places)
    made = table(WHERE, [1, 3], Paths.of_lists([[4, 1, 0], [5, 3]]), places)
    assert [seen_by(made, places, token) for token in range(2)] == [{0, 1, 4}, {3, 5}]


def test_a_single_row_looks_at_all_that_grew_without_picking_it_out():
    places = []
    table(WHERE, [2, 2, 2], Paths.of_lists([[0], [1, 0], [2]]), places)
    made = table(WHERE, [2], Paths.of_lists([[3, 2]]), places)
    assert seen_by(made, places, 0) == {2, 3}
    assert Plan.of(made, torch.device("cpu"))._seen is None


def test_tokens_come_back_from_their_slots_in_their_order():
    made = table(WHERE, ROWS, PATHS, [])
    plan = Plan.of(made, torch.device("cpu"))
    packed = torch.randn(4, 6, 5)
    there = plan.by_row(packed[plan.order], 2)
    assert there.shape == (2, 4, 3 * 2, 5)
    assert torch.equal(plan.by_token(there)[plan.back], packed)
    assert np.array_equal(np.sort(made.tokens[made.slots]), np.arange(4))
