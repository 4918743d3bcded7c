# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Tables as text: aligned, never cut, and plain characters."""

from math import nan

import numpy as np

from depthlm_ros.ranges import Ranges, Status
from depthlm_ros.viz.tables import answers_table, text_table


def test_numbers_end_under_each_other_and_names_begin_so():
    lines = text_table(("name", "metres"), [("a", "1.00"), ("longer", "12.50")]).splitlines()
    assert lines == ["name    metres", "a         1.00", "longer   12.50"]


def test_a_table_is_as_wide_as_its_contents_whatever_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    wide = "x" * 300
    assert text_table(("a", "b"), [(wide, "[red]1[/red]")]).splitlines()[1].split() == [
        wide,
        "[red]1[/red]",
    ]


def test_markdown_has_a_rule_below_its_head():
    lines = text_table(("a", "b"), [("1", "2")], markdown=True).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert (cells[0], cells[2]) == (["a", "b"], ["1", "2"])
    assert all(set(cell) <= {"-", ":"} for cell in cells[1])


def test_an_unknown_answer_is_a_dash_and_a_snapped_pixel_names_the_asked_one():
    points = np.array([[0.5, 0.0, 2.0], [nan] * 3])
    metres = np.array([2.06, nan])
    status = np.array([Status.SNAPPED, Status.OUTSIDE], np.uint8)
    asked = np.array([[5.5, 20.5], [9, 9]])
    unsure = np.array([True, False])
    ranges = Ranges(metres, metres, metres, metres, metres, points, status, asked, unsure)
    snapped, outside = answers_table(["1, 20", "-9, 9"], ranges).splitlines()[1:]
    assert snapped.split()[-5:] == ["SNAPPED", "to", "5.5,", "20.5,", "uncertain"]
    assert "0.50, 0.00, 2.00" in snapped
    assert outside.split() == ["-9,", "9", "-", "-", "-", "-", "OUTSIDE"]
