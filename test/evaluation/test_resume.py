# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Saved answers: a run that is killed continues, one with other settings is refused."""

import json
import signal
import subprocess
import sys
from dataclasses import fields
from math import nan

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.evaluate import Answers, ConstantAnswers, evaluate
from depthlm_ros.evaluation.resume import SavedAnswers

SETTINGS = {"style": "marker", "view": (1, 2)}
KILLED = """
import os, signal, sys
from depthlm_ros.evaluation.evaluate import ConstantAnswers, evaluate
from depthlm_ros.evaluation.resume import SavedAnswers
from depthlm_ros.data.records import Records
stop = lambda done: done == 3 and os.kill(os.getpid(), signal.SIGKILL)
with SavedAnswers(ConstantAnswers(2.0), sys.argv[2], {}) as saved:
    evaluate(Records(sys.argv[1]), saved, stop)
"""


class Counting:
    """Answers with what no other answerer could say, and counts."""

    name, kind, report = "counting", "distance", "greedy"

    def __init__(self):
        self.asked = 0

    def __call__(self, record):
        self.asked += 1
        row = np.array([1 / 3, nan]) * self.asked
        return Answers(*[row] * 6, np.array([0, 4], np.uint8))


@pytest.fixture
def records(tmp_path):
    """Five records of two points."""
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    line = {"image": "a.png", "intrinsics": [40, 40, 31.5, 23.5, 64, 48], "kind": "distance"}
    line |= {"pixel_coords": [[1, 2], [3, 4]], "depth": [2.0, 3.0]}
    (tmp_path / "r.jsonl").write_text("\n".join([json.dumps(line)] * 5))
    return Records(tmp_path / "r.jsonl")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.jsonl"


def interrupted(records, path, after=3):
    """A run that ends after some records."""
    with SavedAnswers(Counting(), path, SETTINGS) as saved:
        evaluate((records[i] for i in range(after)), saved)


def same(one, other):
    for field in fields(Answers):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_a_run_that_continues_asks_for_the_rest_only_and_ends_the_same(records, path, tmp_path):
    interrupted(records, path)
    inner = Counting()
    inner.asked = 3
    with SavedAnswers(inner, path, SETTINGS) as saved:
        points = evaluate(records, saved)
    assert (inner.asked, saved.reused) == (5, 3)
    assert (saved.name, saved.kind, saved.report) == ("counting", "distance", "greedy")
    same(points, evaluate(records, Counting()))


def test_a_process_killed_at_any_moment_loses_no_answer(records, path):
    code = [sys.executable, "-c", KILLED, str(records.files[0]), str(path)]
    assert subprocess.run(code, check=False).returncode == -signal.SIGKILL
    with SavedAnswers(ConstantAnswers(2.0), path, {}) as saved:
        evaluate(records, saved)
    assert saved.reused == 3


@pytest.mark.parametrize("cut", [1, 30])
def test_half_a_line_is_cut_off_and_asked_again(records, path, cut):
    interrupted(records, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    inner = Counting()
    inner.asked = 2
    with SavedAnswers(inner, path, SETTINGS) as saved:
        points = evaluate(records, saved)
    assert (saved.reused, inner.asked) == (2, 5)
    same(points, evaluate(records, Counting()))
    assert path.read_bytes().startswith(whole)


def test_half_a_first_line_begins_the_file_anew(records, path):
    path.write_text('{"sty')
    interrupted(records, path)
    assert json.loads(path.read_text().splitlines()[0]) == {"style": "marker", "view": [1, 2]}


def test_other_settings_are_refused_and_named(records, path):
    interrupted(records, path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="dtype, style"):
        SavedAnswers(Counting(), path, {**SETTINGS, "style": "position", "dtype": "float16"})
    assert path.read_bytes() == before


def test_answers_to_other_records_are_refused(records, path):
    interrupted(records, path)
    wrong = pytest.raises(InputError, match="r.jsonl:2")
    with SavedAnswers(Counting(), path, SETTINGS) as saved, wrong:
        saved(records[1])


@pytest.mark.parametrize("line", ["7", "no json", "[1, 2]"])
def test_a_file_of_something_else_is_refused_and_left_alone(path, line):
    path.write_text(line + "\n")
    with pytest.raises(InputError):
        SavedAnswers(Counting(), path, SETTINGS)
    assert path.read_text() == line + "\n"


def test_two_runs_do_not_write_the_same_answers(path):
    first = SavedAnswers(Counting(), path, SETTINGS)
    with first, pytest.raises(InputError, match="another run"):
        SavedAnswers(Counting(), path, SETTINGS)
    with SavedAnswers(Counting(), path, SETTINGS):
        pass


def test_a_place_that_cannot_be_written_is_told_before_anything_is_asked(tmp_path):
    with pytest.raises(InputError):
        SavedAnswers(Counting(), tmp_path / "nowhere" / "a.jsonl", SETTINGS)
