# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Lessons: tasks mixed equally over data of different kinds."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.errors import InputError, RecordError
from depthlm_ros.view import Frame
from training.config import DataEntry
from training.data.lessons import PIXELS, lessons, shot_record
from training.data.shards import Shot, write_shard

ROW = Checkpoint(
    "t", "", "qwen3_vl", 100.0, "marker", "coordinates", {"marker": "tags", "coordinates": "tags"}
)
SINGLE = ["distance", "axis", "speed", "time", "points"]


def shot(seed=0):
    """A plane that comes nearer from the top down; the sky has no distance."""
    image = np.random.default_rng(seed).integers(0, 255, (60, 80, 3), np.uint8)
    distance_m = np.tile(np.linspace(6, 1, 60, dtype=np.float32)[:, None], (1, 80))
    distance_m[:20] = np.nan
    return Shot(Frame(image, Camera(80, 60, 90.0, 90.0, 39.5, 29.5)), distance_m, seed, "plane")


@pytest.fixture
def data(tmp_path):
    """Entries of each kind."""
    write_shard(tmp_path / "a.npz", [shot(s) for s in range(3)])
    image = {"image": "a.png", "intrinsics": [90, 90, 39.5, 29.5, 80, 60]}
    Image.fromarray(shot().frame.image).save(tmp_path / "a.png")
    points = {"pixel_coords": [[20, 30], [60, 40], [40, 50]], "depth": [1, 2, 3], "kind": "z"}
    (tmp_path / "r.jsonl").write_text(json.dumps({**image, **points}))
    pose = np.eye(4)
    pose[:3, 3] = 0.3, 0.0, 0.4
    pair = {"images": ["a.png"] * 2, "intrinsics": [image["intrinsics"]] * 2}
    line = {**pair, "second_from_first": pose.tolist()}
    (tmp_path / "p.jsonl").write_text(json.dumps(line))
    return [
        DataEntry(shards=str(tmp_path), weight=3.0),
        DataEntry(records=str(tmp_path / "r.jsonl")),
        DataEntry(pairs=str(tmp_path / "p.jsonl")),
    ]


def test_tasks_come_equally_often_whatever_data_they_use(data):
    mixture = lessons(data, [*SINGLE, "moved"], ROW, seed=1, length=480)
    items = [mixture[i].value for i in range(480)]
    counts = Counter(item.task for item in items)
    assert set(counts) == {*SINGLE, "moved"}
    assert max(abs(n - 80) for n in counts.values()) < 27  # three standard deviations
    moved = next(item for item in items if item.task == "moved")
    assert (len(moved.images), moved.truth) == (2, pytest.approx(0.5))


def test_data_sets_of_one_task_come_by_their_weight(data):
    mixture = lessons(data, ["axis"], ROW, seed=1, length=200)
    shares = Counter(mixture[i].value.truth in (1, 2, 3) for i in range(200))
    assert shares[True] / 200 == pytest.approx(0.25, abs=0.09)


def test_an_item_depends_on_seed_and_index_only(data):
    def drawn(seed):
        mixture = lessons(data, SINGLE, ROW, seed, 20, style="coordinates")
        return [(mixture[i].value.question.text, mixture[i].value.truth) for i in range(20)]

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_rendered_image_is_labelled_where_it_has_distances():
    one = shot()
    record = shot_record(one, np.random.default_rng(0))
    assert len(record) == PIXELS
    u, v = record.pixels.astype(int).T
    np.testing.assert_array_equal(record.label_m, one.distance_m[v, u])
    assert record.label_as("distance") is record.label_m
    assert record.frame() is one.frame
    one.distance_m[:] = np.nan
    with pytest.raises(RecordError, match="plane 0"):
        shot_record(one, np.random.default_rng(0))


def test_a_task_without_data_is_refused(data):
    with pytest.raises(InputError, match=r"\bmoved\b.*\bpairs\b"):
        lessons(data[:2], ["moved"], ROW, 1, 1)
    with pytest.raises(InputError, match=r"\baxis\b.*\brecords\b.*\bshards\b"):
        lessons(data[2:], ["axis"], ROW, 1, 1)


def test_data_of_another_kind_are_refused(data, tmp_path):
    (tmp_path / "empty").mkdir()
    for wrong in (
        DataEntry(shards=str(tmp_path / "nowhere")),
        DataEntry(shards=str(tmp_path / "empty")),
        DataEntry(shards=str(tmp_path / "r.jsonl")),
        DataEntry(records=str(tmp_path)),
        DataEntry(records=str(tmp_path / "a.npz")),
        DataEntry(records=str(tmp_path / "none.jsonl")),
    ):
        with pytest.raises(InputError) as raised:
            lessons([wrong], ["axis"], ROW, 1, 1)
        assert wrong.place in str(raised.value)
