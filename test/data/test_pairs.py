# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Pair records: what is read, and that every fault names file and line."""

import json

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.data.pairs import Pairs
from depthlm_ros.errors import RecordError

QUARTER = [[0, 0, 1, 0.5], [0, 1, 0, 0], [-1, 0, 0, 2], [0, 0, 0, 1]]  # a quarter turn about y
GOOD = {
    "images": ["a.png", "/b.png"],
    "intrinsics": [[50, 50, 31.5, 23.5, 64, 48], [40, 40, 15.5, 11.5, 32, 24]],
    "second_from_first": QUARTER,
    "matches": [[10, 20, 30, 5]],
}


def written(folder, **change):
    (folder / "p.jsonl").write_text(json.dumps({**GOOD, **change}) + "\n")
    return Pairs(folder / "p.jsonl")


def test_a_pair_is_read(tmp_path):
    (pair,) = written(tmp_path, source="rooms")
    assert pair.images == (tmp_path / "a.png", tmp_path / "b.png")
    assert [(c.width, c.fx) for c in pair.cameras] == [(64, 50), (32, 40)]
    np.testing.assert_array_equal(pair.first, [[10, 20]])
    np.testing.assert_array_equal(pair.second, [[30, 5]])
    assert (pair.metric, pair.source, len(pair)) == (True, "rooms", 1)


def test_the_second_camera_stands_where_its_own_origin_maps_back_to(tmp_path):
    pair = written(tmp_path)[0]
    there = np.linalg.inv(np.array(QUARTER)) @ (0, 0, 0, 1)
    np.testing.assert_allclose(pair.moved_m, there[:3])


def test_matches_and_metric_may_be_missing(tmp_path):
    line = {k: v for k, v in GOOD.items() if k != "matches"}
    (tmp_path / "p.jsonl").write_text(json.dumps({**line, "metric": False}))
    pair = Pairs(tmp_path / "p.jsonl")[0]
    assert (len(pair), pair.metric) == (0, False)


@pytest.mark.parametrize(
    "change",
    [
        {"images": ["a.png"]},
        {"images": "ab"},
        {"intrinsics": [[50, 50, 31.5, 23.5, 64, 48]]},
        {"intrinsics": [[50, 50], [1, 1]]},
        {"second_from_first": np.eye(3).tolist()},
        {"second_from_first": np.diag([1, 1, -1, 1]).tolist()},
        {"second_from_first": np.diag([2, 1, 1, 1]).tolist()},
        {"second_from_first": [[1, 0, 0, float("nan")], *np.eye(4)[1:].tolist()]},
        {"matches": [[1, 2, 3]]},
        {"matches": [[1, 2, 3, 4, 0.9]] * 4},
        {"matches": [[1, 2], [3, 4]]},
        {"matches": [[1, 2, float("nan"), 3]]},
        {"matches": [[64, 2, 3, 3]]},
        {"matches": [[4, 2, 3, 24]]},
    ],
    ids=str,
)
def test_a_wrong_entry_names_file_and_line(tmp_path, change):
    with pytest.raises(RecordError, match=r"p\.jsonl:1: "):
        written(tmp_path, **change)[0]


def test_missing_keys_are_named(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"images": ["a.png", "b.png"]}')
    with pytest.raises(RecordError, match="intrinsics, second_from_first"):
        Pairs(tmp_path / "p.jsonl")[0]


def test_both_images_come_with_their_cameras(tmp_path):
    Image.new("RGB", (64, 48), (1, 2, 3)).save(tmp_path / "a.png")
    pair = written(tmp_path)[0]
    with pytest.raises(RecordError, match=r"p\.jsonl:1: .*b\.png"):
        pair.frames()
    Image.new("RGB", (32, 24), (4, 5, 6)).save(tmp_path / "b.png")
    first, second = pair.frames()
    assert (first.image[0, 0].tolist(), second.image[0, 0].tolist()) == ([1, 2, 3], [4, 5, 6])
    assert second.camera.fx == 40
    Image.new("RGB", (31, 24)).save(tmp_path / "b.png")
    with pytest.raises(RecordError, match=r"p\.jsonl:1: .*31 x 24"):
        pair.frames()
