# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records: what is read and written, and that every fault names file and line."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.camera import Camera
from depthlm_ros.data.records import Record, Records, strict_json, write_records
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
    (record,) = Records(path)
    assert record.image == path.parent / "rgb/a.png"
    camera = record.camera
    assert (camera.width, camera.height, camera.fx, camera.fy) == (64, 48, 50, 51)
    np.testing.assert_array_equal(record.pixels, [[10, 20], [30.5, 40]])
    np.testing.assert_array_equal(record.label_m, [1.5, 2.5])
    assert (record.kind, len(record)) == ("", 2)


def test_a_leading_slash_is_dropped_as_published(records_file):
    path = records_file({"image": "/rgb/a.png"})
    assert Records(path)[0].image == path.parent / "rgb/a.png"


def test_an_absolute_path_is_taken_where_there_is_a_file(records_file, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "a.png"
    path = records_file({"image": str(elsewhere), "depth_path": str(elsewhere)})
    below = path.parent / str(elsewhere).lstrip("/")
    assert Records(path)[0].image == below
    elsewhere.write_bytes(b"")
    assert (Records(path)[0].image, Records(path)[0].depth_path) == (elsewhere, elsewhere)
    below.parent.mkdir(parents=True)
    below.write_bytes(b"")
    assert Records(path)[0].image == below


def test_the_kind_of_a_line_wins_over_the_callers(records_file):
    path = records_file({"kind": "distance"}, {})
    assert [record.kind for record in Records(path, "z")] == ["distance", "z"]


def test_an_unknown_kind_says_where_and_what_to_pass(records_file):
    path = records_file({})
    with pytest.raises(RecordError) as refused:
        Records(path)[0].stated_kind()
    assert str(refused.value).startswith(f"{path}:1: ")
    assert all(option in str(refused.value) for option in ("--kind distance", "--kind z"))
    assert Records(path, "z")[0].stated_kind() == "z"


def test_empty_lines_are_passed_over_and_counted(tmp_path):
    (tmp_path / "r.jsonl").write_text(f"\n{json.dumps(GOOD)}\n\n")
    assert [Path(r.where).name for r in Records(tmp_path / "r.jsonl")] == ["r.jsonl:2"]


def refused(path, line):
    """Reading all records fails and names the line."""
    with pytest.raises(RecordError) as error:
        list(Records(path))
    assert str(error.value).startswith(f"{path}:{line}: ")
    return str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"depth": [1.5]},
        {"depth": [1.5, 0.0]},
        {"depth": [1.5, -2.0]},
        {"depth": [1.5, float("nan")]},
        {"depth": ["far", 1.0]},
        {"depth": None},
        {"pixel_coords": [[10, 20], [64, 40]]},
        {"pixel_coords": [[10, 20, 1], [3, 4, 1]]},
        {"pixel_coords": [[1, 2], [3]]},
        {"intrinsics": [50, 50, 32, 24]},
        {"intrinsics": {"fx": 1}},
        {"intrinsics": [0, 0, 32, 24, 64, 48]},
        {"intrinsics": [50, 50, 32, 24, float("inf"), 48]},
        {"intrinsics": [50, 50, 32, 24, 64.5, 48]},
        {"pixel_coords": [[10**400, 20], [3, 4]]},
        {"depth": [1.5, 10**400]},
        {"depth_path": "d.png", "depth_size": [float("inf"), 48]},
        {"depth_path": "d.png", "depth_masks": "m.png"},
        {"kind": "depth"},
        {"kind": None},
    ],
    ids=lambda change: str(change)[:60],
)
def test_a_wrong_entry_names_file_and_line(records_file, change):
    refused(records_file({}, change), 2)


@pytest.mark.parametrize(
    "line",
    ["{", "[1, 2]", "7", "null", '"image"', '{"image": "a.png"}', 100_000 * "["],
    ids=lambda line: line[:20],
)
def test_a_line_that_is_no_record_names_file_and_line(tmp_path, line):
    (tmp_path / "r.jsonl").write_text(line)
    refused(tmp_path / "r.jsonl", 1)


def test_missing_keys_are_named(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"image": "a.png", "depth": [1]}')
    text = refused(tmp_path / "r.jsonl", 1)
    assert "intrinsics, pixel_coords" in text


def test_a_byte_order_mark_is_no_part_of_the_first_record(tmp_path):
    """As Windows editors and PowerShell write it; the second file has lines of its own."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(f"{json.dumps(GOOD)}\r\n" * 2, "utf-8-sig")
    records = Records(tmp_path / "*.jsonl", "z")
    assert [record.label_m.tolist() for record in records] == [GOOD["depth"]] * 4


def test_pixels_of_another_grid_land_on_the_same_place_of_the_image(records_file):
    """Twice as fine a grid: the middles of its first four pixels are around ours."""
    path = records_file({"grid": [128, 96], "pixel_coords": [[1, 1], [127, 95]]})
    (record,) = Records(path)
    np.testing.assert_allclose(record.pixels, [[0.25, 0.25], [63.25, 47.25]])


@pytest.mark.parametrize("pixel", [[128, 5], [-1, 5], [5, 96], [float("nan"), 5]])
def test_a_pixel_outside_its_grid_names_file_and_line(records_file, pixel):
    path = records_file({"grid": [128, 96], "pixel_coords": [pixel, [3, 4]]})
    refused(path, 1)


@pytest.mark.parametrize("grid", [[128], "128x96", [0, 96], [[1, 2], [3, 4]]])
def test_a_grid_is_two_lengths(records_file, grid):
    refused(records_file({"grid": grid}), 1)


def test_a_label_is_converted_by_its_own_camera(records_file):
    (record,) = Records(records_file({"kind": "z"}))
    u, v = np.array(GOOD["pixel_coords"]).T
    stretched = np.sqrt(1 + ((u - 31.5) / 50) ** 2 + ((v - 23.5) / 51) ** 2)
    np.testing.assert_allclose(record.label_as("distance"), [1.5, 2.5] * stretched)
    np.testing.assert_array_equal(record.label_as("z"), [1.5, 2.5])
    (ray,) = Records(records_file({"kind": "distance"}))
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
    with pytest.raises(RecordError, match=r"r\.jsonl:2: "):
        records[1]


def test_images_may_lie_in_another_folder(records_file):
    path = records_file({})
    assert Records(path, folder="/data")[0].image == Path("/data/rgb/a.png")


def test_a_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(RecordError, match="nowhere.jsonl"):
        Records(tmp_path / "nowhere.jsonl")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordError, match="binary:1"):
        list(Records(tmp_path / "binary"))


def test_a_kind_that_the_caller_gives_is_distance_or_z():
    with pytest.raises(InputError):
        Records("r.jsonl", "depth")


def test_the_frame_is_the_image_with_the_records_camera(records_file, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    (tmp_path / "rgb").mkdir()
    Image.fromarray(image).save(tmp_path / "rgb/a.png")
    frame = Records(records_file({}))[0].frame()
    np.testing.assert_array_equal(frame.image, image)
    assert frame.camera.fx == 50


def test_a_record_of_an_image_as_viewers_turn_it_is_told_of_exif(records_file, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "rgb").mkdir()
    Image.new("RGB", (48, 64)).save(tmp_path / "rgb" / "a.png", exif=exif)
    with pytest.raises(RecordError, match=r"r\.jsonl:1: .*48 x 64.*64 x 48.*EXIF"):
        Records(records_file({}))[0].frame()


def test_an_image_of_another_size_or_none_names_file_and_line(records_file, tmp_path):
    path = records_file({})
    with pytest.raises(RecordError, match=r"r\.jsonl:1: .*a\.png"):
        Records(path)[0].frame()
    (tmp_path / "rgb").mkdir()
    Image.new("RGB", (32, 24)).save(tmp_path / "rgb/a.png")
    with pytest.raises(RecordError, match=r"r\.jsonl:1: .*32 x 24"):
        Records(path)[0].frame()


def test_what_is_written_is_read_again(records_file, tmp_path):
    records = list(Records(records_file({"kind": "z"}, {"source": "rooms"})))
    (tmp_path / "other").mkdir()
    assert write_records(tmp_path / "other/w.jsonl", records) == 2
    for old, new in zip(records, Records(tmp_path / "other/w.jsonl"), strict=True):
        assert new.image.resolve() == old.image and new.camera == old.camera
        assert (new.kind, new.source) == (old.kind, old.source)
        np.testing.assert_array_equal(new.pixels, old.pixels)
        np.testing.assert_array_equal(new.label_m, old.label_m)


def test_a_run_that_breaks_off_leaves_no_records_file(records_file, tmp_path):
    def broken():
        yield Records(records_file({}))[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(tmp_path / "w.jsonl", broken())
    assert not (tmp_path / "w.jsonl").exists()


def test_a_lens_that_a_record_cannot_hold_is_refused(tmp_path):
    lens = Camera(64, 48, 50, 50, 31.5, 23.5, "plumb_bob", (0.1, 0, 0, 0, 0))
    record = Record(tmp_path / "a.png", lens, np.ones((1, 2)), np.ones(1), "z", "camera 3")
    with pytest.raises(RecordError, match="camera 3: .*plumb_bob"):
        write_records(tmp_path / "w.jsonl", [record])


def test_json_has_null_where_a_number_is_unknown():
    value = {"a": np.array([1.5, np.nan]), "b": (np.float32(2), float("inf")), "c": "x", "d": True}
    assert json.loads(strict_json(value)) == {
        "a": [1.5, None],
        "b": [2, None],
        "c": "x",
        "d": True,
    }


def test_null_is_nothing_and_no_name(records_file):
    path = records_file({"scene": None, "source": None}, {"scene": 0, "source": 7})
    one, other = Records(path, "z")
    assert (one.scene, one.source) == ("", "")
    assert (other.scene, other.source) == ("0", "7")


def test_a_camera_with_skew_is_not_written(records_file, tmp_path):
    (record,) = Records(records_file({}), "z")
    skewed = replace(record, camera=replace(record.camera, skew=3.0))
    with pytest.raises(RecordError, match="skew"):
        write_records(tmp_path / "out.jsonl", [skewed])
