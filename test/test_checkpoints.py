# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rows: the published ones, a folder's own, and every way in which a folder can be broken."""

import json
import struct
from dataclasses import replace

import pytest

from depthlm_ros.calibration import Calibration
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import (
    PUBLISHED,
    ROW_FILE,
    Checkpoint,
    find_checkpoint,
    from_folder,
    with_head,
    without_head,
)
from depthlm_ros.dense.spec import HeadSpec, Tap
from depthlm_ros.errors import CheckpointError
from depthlm_ros.question import CoordinateStyle, MarkerStyle

ROW = Checkpoint(
    name="own",
    model="own",
    architecture="qwen3_vl",
    focal_px=500.0,
    style="marker",
    grid_style="position",
    wording={"marker": "tags", "position": "number"},
    calibration={"marker": Calibration(0.25, (0.2, 0.3), data=[{"name": "a", "sha256": "b"}])},
)


def write_weights(path, missing_bytes=0):
    """A safetensors file of one tensor of eight bytes."""
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"a": tensor, "__metadata__": {"format": "pt"}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8 - missing_bytes))


@pytest.fixture
def folder(tmp_path):
    """A complete checkpoint folder."""
    (tmp_path / "config.json").write_text("{}")
    write_weights(tmp_path / "model.safetensors")
    ROW.write(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "architecture", "focal_px", "style"),
    [
        ("facebook/DepthLM", "llava", 750, "marker"),
        ("facebook/DepthLM-3B", "qwen2_5_vl", 1000, "marker"),
        ("facebook/DepthLM-7B", "qwen2_5_vl", 1000, "marker"),
        ("facebook/VLM3-depth", "qwen3_vl", 1000, "coordinates"),
    ],
)
def test_published_models_have_their_published_settings(name, architecture, focal_px, style):
    row = find_checkpoint(name)
    assert (row.architecture, row.focal_px, row.style) == (architecture, focal_px, style)
    assert (row.grid_style, row.axes, row.report, row.kind) == (style, "fx", "greedy", "distance")
    assert row.asker() == {"marker": MarkerStyle(), "coordinates": CoordinateStyle()}[style]


def test_a_folder_gives_back_the_row_that_was_written(folder):
    assert from_folder(folder) == replace(ROW, model=str(folder))
    assert find_checkpoint(str(folder)) == from_folder(folder)


def test_a_folder_without_a_row_takes_that_of_a_published_model(folder):
    (folder / ROW_FILE).unlink()
    row = find_checkpoint(str(folder), entry="facebook/DepthLM-3B")
    assert (row.model, row.focal_px, row.style) == (str(folder), 1000, "marker")
    with pytest.raises(CheckpointError, match=r"depthlm\.json.*facebook/DepthLM"):
        find_checkpoint(str(folder))


@pytest.mark.parametrize("name", ["facebook/Depth", ""])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    """The empty one too, which is what a variable of a shell holds that is not set."""
    with pytest.raises(CheckpointError, match=f"'{name}'.*tiny, facebook/DepthLM"):
        find_checkpoint(name)


def test_an_entry_that_is_not_known_or_would_not_be_used_is_refused(folder):
    with pytest.raises(CheckpointError, match="'bogus'.*facebook/DepthLM"):
        find_checkpoint(str(folder), entry="bogus")
    for name in (str(folder), "tiny", "facebook/VLM3-depth"):
        with pytest.raises(CheckpointError, match=f"'{name}'.*'facebook/DepthLM' would not"):
            find_checkpoint(name, entry="facebook/DepthLM")


def test_an_entry_that_the_checkpoint_has_anyway_is_no_contradiction(folder):
    """Such as the one that calibrate wrote into a folder with this entry."""
    find_checkpoint("facebook/DepthLM").write(folder)
    for name in (str(folder), "facebook/DepthLM"):
        assert find_checkpoint(name, entry="facebook/DepthLM").focal_px == 750


def test_weights_cut_short_are_told_with_both_lengths(folder):
    write_weights(folder / "model.safetensors", missing_bytes=3)
    size = (folder / "model.safetensors").stat().st_size
    with pytest.raises(CheckpointError, match=rf"\b{size} .*\b{size + 3}\b"):
        from_folder(folder)


@pytest.mark.parametrize("content", [b"", b"\x05", b"\xff" * 20, struct.pack("<Q", 4) + b"[1,]"])
def test_what_is_no_safetensors_file_is_told(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        from_folder(folder)


def test_pickle_weights_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"\*\.bin"):
        from_folder(folder)


def test_missing_shards_are_named(folder):
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r" model-00002\.safetensors "):
        from_folder(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"weight_map": 3}'])
def test_a_broken_shard_index_is_told(folder, content):
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match="model.safetensors.index.json"):
        from_folder(folder)


@pytest.mark.parametrize(
    ("gone", "named"),
    [("config.json", r"config\.json"), ("model.safetensors", r"\*\.safetensors")],
)
def test_an_incomplete_folder_says_what_is_missing(folder, gone, named):
    (folder / gone).unlink()
    with pytest.raises(CheckpointError, match=named):
        from_folder(folder)


def test_the_folder_of_a_run_names_the_checkpoint_inside(folder):
    run = folder.parent / "run"
    run.mkdir()
    folder.rename(run / "checkpoint")
    with pytest.raises(CheckpointError, match=str(run / "checkpoint")):
        from_folder(run)


def test_an_absent_folder_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere"):
        from_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"name": "x"}', '{"largest_view": 3}', "\x00", '{"calibration": {"a": 1}}'],
)
def test_a_broken_row_is_told_with_its_file(folder, content):
    (folder / ROW_FILE).write_text(content)
    with pytest.raises(CheckpointError, match=ROW_FILE):
        from_folder(folder)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"kind": "depth"}, ["kind", "'depth'", "distance, z"]),
        ({"axes": "fy"}, ["axes", "'fy'", "fx, both"]),
        ({"report": "mode"}, ["report", "'mode'", "greedy, median"]),
        ({"style": "coordinates"}, ["style", "'coordinates'", "marker, position"]),
        ({"grid_style": ""}, ["grid_style", "''"]),
        ({"wording": {"marker": "number", "position": "number"}}, ["'number'", "'marker'"]),
        ({"focal_px": 0.0}, ["focal_px", "0.0"]),
        (
            {"calibration": {"coordinates": Calibration(0.1)}},
            ["'coordinates'", "marker, position"],
        ),
        ({"calibration": {"marker": Calibration(0.1, kind="z")}}, ["'marker'", "'z'"]),
    ],
)
def test_a_row_with_a_wrong_entry_is_refused(changed, named):
    with pytest.raises(CheckpointError) as raised:
        replace(ROW, **changed)
    assert all(value in str(raised.value) for value in named)


def test_an_entry_of_an_earlier_version_counts_its_images_as_pictures(folder):
    old = {"calibration": {"marker": {"widening": 0.1, "pictures": 183}}}
    content = json.loads((folder / ROW_FILE).read_text())
    (folder / ROW_FILE).write_text(json.dumps({**content, **old}))
    from_folder(folder).write(folder)
    written = json.loads((folder / ROW_FILE).read_text())["calibration"]["marker"]
    assert written["images"] == 183 and "pictures" not in written


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"focal": 3}, ["focal", "focal_px"]),
        ({"focal_px": "500"}, ["focal_px", "'500'"]),
        ({"focal_px": None, "decimals": 0.5}, ["focal_px", "None", "decimals", "0.5"]),
        ({"largest_view": [1400]}, ["largest_view[1]"]),
        (
            {"calibration": {"marker": {"level": 0.5, "widening": 0.1}}},
            ["calibration.marker", "0.5"],
        ),
        (
            {"calibration": {"marker": {"widenning": 0.1}}},
            ["calibration.marker.widenning", "widening"],
        ),
        ({"wording": {"marker": "tags", "beam": "tags"}}, ["'beam'"]),
    ],
)
def test_all_that_is_wrong_in_an_entry_is_named_by_its_key(folder, changed, named):
    content = json.loads((folder / ROW_FILE).read_text())
    (folder / ROW_FILE).write_text(json.dumps({**content, **changed}))
    with pytest.raises(CheckpointError) as raised:
        from_folder(folder)
    assert all(value in str(raised.value) for value in named)


def test_a_row_that_cannot_be_written_whole_leaves_the_old_one(folder, monkeypatch):
    before = (folder / ROW_FILE).read_text()

    def half(path, text):
        path.write_bytes(text[:20].encode())
        raise OSError("no space left on device")

    monkeypatch.setattr(type(folder), "write_text", half)
    with pytest.raises(OSError, match="no space"):
        replace(ROW, name="new").write(folder)
    assert (folder / ROW_FILE).read_text() == before


def test_a_style_that_the_checkpoint_does_not_speak_is_refused():
    with pytest.raises(CheckpointError, match="'coordinates'.*marker, position"):
        ROW.asker("coordinates")


ALL = {"coordinates": "tags", "marker": "tags", "position": "number"}


@pytest.mark.parametrize(
    ("wording", "lacking", "styles"),
    [
        (ALL, ["dense"], ("marker", "position")),
        (ALL, ["dense", "position"], ("marker", "coordinates")),
        (ALL, [], ("dense", "dense")),
        ({"position": "number"}, ["dense"], ("position", "position")),
        ({"position": "number"}, ["dense", "position"], ("dense", "dense")),
        ({}, ["dense"], ("dense", "dense")),
    ],
)
def test_what_cannot_be_had_gives_way_to_a_style_of_questions(wording, lacking, styles):
    head = HeadSpec("light", (Tap("text", -1),), (8, 6, 4))
    given = {"style": "dense", "grid_style": "dense", "wording": wording, "calibration": {}}
    found = replace(ROW, head=head, **given).speaking(lacking)
    assert (found.style, found.grid_style, found.head) == (*styles, head)


def test_a_style_that_can_be_had_stays():
    assert ROW.speaking(["coordinates"]) == ROW
    found = replace(ROW, wording=ALL).speaking(["position"])
    assert (found.style, found.grid_style) == ("marker", "coordinates")


def test_without_its_head_a_checkpoint_is_as_before_it_had_one():
    before = replace(ROW, average={"marker": "mirror"})
    headed = with_head(before, HeadSpec("light", (Tap("text", -1),), (8, 6, 4)))
    fits = {**before.calibration, "dense": Calibration(0.1), "dense+mirror": Calibration(0.2)}
    average = {"marker": "mirror", "dense": "mirror"}
    headed = replace(headed, style="dense", calibration=fits, average=average)
    assert without_head(headed) == before and without_head(before) == before


def test_the_row_sets_the_size_of_the_arrow_and_the_range_of_coordinates():
    assert replace(ROW, marker_scale=3).asker() == MarkerStyle(scale=3)
    row = replace(PUBLISHED["facebook/VLM3-depth"], coordinate_range=1000)
    assert row.asker() == CoordinateStyle(range=1000)


@pytest.mark.parametrize(
    ("axes", "fy", "count"), [("fx", 500, 0), ("fx", 509, 0), ("fx", 700, 1), ("both", 700, 0)]
)
def test_pixels_that_are_not_square_are_told_where_the_checkpoint_minds(axes, fy, count):
    camera = Camera(640, 480, 500, fy, 319.5, 239.5)
    entry = replace(find_checkpoint("facebook/VLM3-depth"), axes=axes)
    assert len(entry.warnings(camera)) == count
