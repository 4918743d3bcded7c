# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The sheet of the worst answers: which, in which order, and where the ring lies."""

import json
from math import nan

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.data.files import read_image
from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.evaluate import ConstantAnswers, evaluate
from depthlm_ros.evaluation.worst import TILE, worst_points, write_worst
from depthlm_ros.viz.sheets import sheet_path


@pytest.fixture
def records(tmp_path):
    """A function (labels of each image) -> Records; the points lie 10 pixels apart."""
    Image.new("RGB", (640, 480), (90, 90, 90)).save(tmp_path / "a.png")

    def write(*images):
        line = {"image": "a.png", "intrinsics": [500, 500, 319.5, 239.5, 640, 480]}
        lines = [
            {**line, "pixel_coords": [[100 + 200 * i, 300] for i in range(len(p))], "depth": p}
            for p in images
        ]
        (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return Records(tmp_path / "r.jsonl")

    return write


def test_the_worst_point_of_each_of_the_worst_images_comes_first(records):
    """2 m everywhere: ratios 1, 8 | 1.5, 1.1 | 1/10, 1/20 | none."""
    points = evaluate(
        records([2.0, 16.0], [3.0, 2.2], [0.2, 0.1], [2.0, 2.0]), ConstantAnswers(2.0)
    )
    points.answer_m[6] = nan
    assert worst_points(points, 3) == [6, 5, 1]
    assert worst_points(points, 9) == [6, 5, 1, 2]


def test_the_ring_lies_on_the_point_of_its_image(records, tmp_path):
    seen = records([2.0, 2.0], [2.0, 9.0])
    write_worst(evaluate(seen, ConstantAnswers(2.0)), seen, 1, tmp_path / "sheet_a.png")
    sheet = read_image(tmp_path / "sheet_a.png")
    assert sheet.shape[1] == TILE[0]
    v, u = np.nonzero((sheet == (255, 0, 0)).all(axis=2))
    assert (u.mean(), v.mean()) == (pytest.approx(150, abs=1), pytest.approx(150, abs=1))


def test_five_tiles_are_two_rows_and_none_is_still_an_image(records, tmp_path):
    seen = records(*[[2.0]] * 5)
    points = evaluate(seen, ConstantAnswers(9.0))
    write_worst(points, seen, 9, tmp_path / "sheet_a.png")
    five = read_image(tmp_path / "sheet_a.png").shape
    write_worst(points, seen, 1, tmp_path / "sheet_b.png")
    one = read_image(tmp_path / "sheet_b.png").shape
    assert five == (2 * one[0], 4 * one[1], 3)
    write_worst(evaluate([], ConstantAnswers(9.0)), [], 3, tmp_path / "sheet_c.png")
    assert read_image(tmp_path / "sheet_c.png").shape == one


@pytest.mark.parametrize("path", ["a.txt", "nowhere/a.png"])
def test_a_sheet_that_cannot_be_written_is_refused(path):
    with pytest.raises(InputError):
        sheet_path(path)
