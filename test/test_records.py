# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records: what is read, and that every fault is told with file and line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.data.records import Records, read_records, strict_json
from depthlm_ros.errors import InputError, RecordError

GOOD = {
    "image": "rgb/a.png",
    "intrinsics": [50.0, 51.0, 31.5, 23.5, 64, 48],
    "pixel_coords": [[10, 20], [30.5, 40]],
    "depth": [1.5, 2.5],
}


@pytest.fixture
def records_file(tmp_path):
    """A function (changes of GOOD, one for each line) -> path."""

    def write(*changes):
        lines = [json.dumps({**GOOD, **change}) for change in changes]
        (tmp_path / "r.jsonl").write_text("\n".join(lines) + "\n")
        return tmp_path / "r.jsonl"

    return write


def test_a_published_line_is_read_without_a_kind(records_file):
    path = records_file({})
    (record,) = read_records(path)
    assert record.image == path.parent / "rgb/a.png"
    camera = record.camera
    assert (camera.width, camera.height, camera.fx, camera.fy) == (64, 48, 50, 51)
    np.testing.assert_array_equal(record.pixels, [[10, 20], [30.5, 40]])
    np.testing.assert_array_equal(record.label_m, [1.5, 2.5])
    assert (record.kind, len(record)) == ("", 2)


def test_a_leading_slash_is_dropped_as_published(records_file):
    path = records_file({"image": "/rgb/a.png"})
    assert next(read_records(path)).image == path.parent / "rgb/a.png"


def test_the_kind_of_a_line_wins_over_the_callers(records_file):
    path = records_file({"kind": "distance"}, {})
    assert [record.kind for record in read_records(path, "z")] == ["distance", "z"]


def test_an_unknown_kind_says_what_to_pass(records_file):
    path = records_file({})
    with pytest.raises(
        RecordError, match=r"r.jsonl:1: nothing says .*--kind distance or --kind z"
    ):
        next(read_records(path)).stated_kind()
    assert next(read_records(path, "z")).stated_kind() == "z"


def test_lines_are_read_when_they_are_wanted(records_file):
    """A fault in line 2 does not keep line 1 from being used."""
    reader = read_records(records_file({}, {"depth": []}))
    assert len(next(reader)) == 2
    with pytest.raises(RecordError, match="r.jsonl:2"):
        next(reader)


def test_empty_lines_are_passed_over_and_counted(tmp_path):
    (tmp_path / "r.jsonl").write_text(f"\n{json.dumps(GOOD)}\n\n")
    assert [Path(r.where).name for r in read_records(tmp_path / "r.jsonl")] == ["r.jsonl:2"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depth": [1.5]}, r"2 pixels but depths of shape \(1,\)"),
        ({"depth": [1.5, 0.0]}, "not a positive number"),
        ({"depth": [1.5, -2.0]}, "not a positive number"),
        ({"depth": [1.5, float("nan")]}, "not a positive number"),
        ({"depth": ["far", 1.0]}, "far"),
        ({"depth": None}, "depths of shape"),
        (
            {"pixel_coords": [[10, 20], [64, 40]]},
            r"pixel \(64, 40\) is not on the picture of 64 x 48",
        ),
        ({"pixel_coords": [[10, 20, 1], [3, 4, 1]]}, r"\(N, 2\)"),
        ({"pixel_coords": [[1, 2], [3]]}, "shape"),
        ({"intrinsics": [50, 50, 32, 24]}, "intrinsics are"),
        ({"intrinsics": {"fx": 1}}, "intrinsics are"),
        ({"intrinsics": [0, 0, 32, 24, 64, 48]}, "focal length"),
        ({"kind": "depth"}, "kind is 'depth', allowed: distance, z"),
        ({"kind": None}, "kind is None"),
    ],
)
def test_a_wrong_entry_is_told_with_file_and_line(records_file, change, words):
    path = records_file({}, change)
    with pytest.raises(RecordError, match=rf"r\.jsonl:2: .*{words}"):
        list(read_records(path))


@pytest.mark.parametrize("line", ["{", "[1, 2]", "7", "null", '"image"', '{"image": "a.png"}'])
def test_a_line_that_is_no_record_is_told_with_file_and_line(tmp_path, line):
    (tmp_path / "r.jsonl").write_text(line)
    with pytest.raises(RecordError, match=r"r\.jsonl:1: "):
        list(read_records(tmp_path / "r.jsonl"))


def test_missing_keys_are_named(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"image": "a.png", "depth": [1]}')
    with pytest.raises(RecordError, match="no intrinsics, pixel_coords; a record has image, "):
        list(read_records(tmp_path / "r.jsonl"))


def test_pixels_of_another_grid_land_on_the_same_place_of_the_picture(records_file):
    """Twice as fine a grid: the middles of its first four pixels are around ours."""
    path = records_file({"grid": [128, 96], "pixel_coords": [[1, 1], [127, 95]]})
    (record,) = read_records(path)
    np.testing.assert_allclose(record.pixels, [[0.25, 0.25], [63.25, 47.25]])


@pytest.mark.parametrize("pixel", [[128, 5], [-1, 5], [5, 96], [float("nan"), 5]])
def test_a_pixel_outside_its_grid_is_told_with_file_and_line(records_file, pixel):
    path = records_file({"grid": [128, 96], "pixel_coords": [pixel, [3, 4]]})
    with pytest.raises(RecordError, match=r"r\.jsonl:1: a pixel is outside its grid of 128 x 96"):
        list(read_records(path))


@pytest.mark.parametrize("grid", [[128], "128x96", [0, 96], [[1, 2], [3, 4]]])
def test_a_grid_is_two_lengths(records_file, grid):
    with pytest.raises(RecordError, match=r"r\.jsonl:1: "):
        list(read_records(records_file({"grid": grid})))


def test_a_label_is_converted_by_its_own_camera(records_file):
    (record,) = read_records(records_file({"kind": "z"}))
    u, v = np.array(GOOD["pixel_coords"]).T
    stretched = np.sqrt(1 + ((u - 31.5) / 50) ** 2 + ((v - 23.5) / 51) ** 2)
    np.testing.assert_allclose(record.label_as("distance"), [1.5, 2.5] * stretched)
    np.testing.assert_array_equal(record.label_as("z"), [1.5, 2.5])
    (ray,) = read_records(records_file({"kind": "distance"}))
    np.testing.assert_allclose(ray.label_as("z"), [1.5, 2.5] / stretched)


def test_records_are_found_by_number_across_shards(tmp_path):
    for name, metres in (("a", (1.0, 2.0)), ("b", (3.0,))):
        lines = [json.dumps({**GOOD, "depth": [m, m], "source": name}) for m in metres]
        (tmp_path / f"{name}.jsonl").write_text("\n\n".join(lines))
    records = Records(tmp_path / "*.jsonl", "z")
    assert [r.label_m[0] for r in records] == [1, 2, 3]
    assert [(r.source, Path(r.where).name) for r in (records[2], records[1])] == [
        ("b", "b.jsonl:1"),
        ("a", "a.jsonl:3"),
    ]
    assert [f.name for f in records.files] == ["a.jsonl", "b.jsonl"]


def test_a_fault_waits_until_its_record_is_read(records_file):
    records = Records(records_file({}, {"depth": []}, {}), "z")
    assert len(records) == 3
    assert len(records[2]) == 2
    with pytest.raises(RecordError, match=r"r\.jsonl:2: 2 pixels"):
        records[1]


def test_pictures_may_lie_in_another_folder(records_file):
    path = records_file({})
    assert Records(path, folder="/data")[0].image == Path("/data/rgb/a.png")
    assert next(read_records(path, folder="/data")).image == Path("/data/rgb/a.png")


def test_a_missing_or_binary_file_is_told(tmp_path):
    with pytest.raises(RecordError, match="nowhere.jsonl cannot be read"):
        list(read_records(tmp_path / "nowhere.jsonl"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordError, match="binary cannot be read"):
        list(read_records(tmp_path / "binary"))


def test_a_callers_kind_must_be_one():
    with pytest.raises(InputError, match="allowed: distance, z"):
        list(read_records("r.jsonl", "depth"))


def test_the_frame_is_the_picture_with_the_records_camera(records_file, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    (tmp_path / "rgb").mkdir()
    Image.fromarray(picture).save(tmp_path / "rgb/a.png")
    frame = next(read_records(records_file({}))).frame()
    np.testing.assert_array_equal(frame.image, picture)
    assert frame.camera.fx == 50


def test_a_picture_of_another_size_is_told_with_file_and_line(records_file, tmp_path):
    (tmp_path / "rgb").mkdir()
    Image.new("RGB", (32, 24)).save(tmp_path / "rgb/a.png")
    with pytest.raises(RecordError, match=r"r\.jsonl:1: the picture is 32 x 24"):
        next(read_records(records_file({}))).frame()


def test_a_missing_picture_is_named(records_file):
    with pytest.raises(RecordError, match=r"r\.jsonl:1: .*a.png cannot be read as a picture: No"):
        next(read_records(records_file({}))).frame()


def test_json_has_null_where_a_number_is_unknown():
    value = {"a": np.array([1.5, np.nan]), "b": (np.float32(2), float("inf")), "c": "x", "d": True}
    assert json.loads(strict_json(value)) == {
        "a": [1.5, None],
        "b": [2, None],
        "c": "x",
        "d": True,
    }
