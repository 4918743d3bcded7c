# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Depth images of records: every format, both kinds, and that a fault names file and line."""

import json

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.data.records import Record, Records, write_records
from depthlm_ros.errors import RecordError

WIDTH, HEIGHT = 64, 48
RAW = np.arange(1, WIDTH * HEIGHT + 1, dtype=np.uint16).reshape(HEIGHT, WIDTH)
LINE = {
    "image": "rgb/a.png",
    "intrinsics": [50.0, 51.0, 30.0, 23.5, WIDTH, HEIGHT],
    "depth_path": "depth/a.png",
    "kind": "z",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rgb").mkdir()
    (tmp_path / "depth").mkdir()
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / "rgb/a.png")
    Image.fromarray(RAW).save(tmp_path / "depth/a.png")
    return tmp_path


def record(folder, **change) -> Record:
    content = {name: value for name, value in {**LINE, **change}.items() if value is not None}
    (folder / "r.jsonl").write_text(json.dumps(content))
    return Records(folder / "r.jsonl")[0]


def test_a_depth_image_needs_no_pixels(folder):
    found = record(folder)
    assert len(found) == 0
    assert (found.depth_path, found.depth_scale) == (folder / "depth/a.png", 1000.0)
    metres = found.depth_map()
    assert metres.dtype == np.float32
    np.testing.assert_array_equal(metres, RAW.astype(np.float32) / np.float32(1000))


def test_raw_zero_and_the_stated_value_are_unknown(folder):
    raw = RAW.copy()
    raw[0, :3] = 0, 65535, 7
    Image.fromarray(raw).save(folder / "depth/a.png")
    found = record(folder, depth_scale=512, depth_unknown=65535).depth_map()
    np.testing.assert_array_equal(found[0, :3], np.float32([np.nan, np.nan, 7 / 512]))
    assert np.isfinite(found).sum() == RAW.size - 2
    assert record(folder, depth_scale=1310.7).depth_map()[0, 1] == pytest.approx(50.0)


def written(folder, form) -> dict:
    """Metres 0.5, 1.0, ... in a format, with one unknown; what its line says about it."""
    metres = RAW.astype(np.float32) / 2
    metres[0, 0] = np.nan
    path = f"depth/a.{form}"
    if form == "tiff":
        Image.fromarray(metres).save(folder / path)
    elif form == "npy":
        np.save(folder / path, metres)
    else:
        np.where(np.isnan(metres), np.inf, metres).astype("<f4").tofile(folder / path)
    more = {"depth_format": "float32"} if form == "JPG" else {}
    return {"depth_path": path, "depth_scale": 1, **more}


@pytest.mark.parametrize("form", ["tiff", "npy", "JPG"])
def test_floats_are_read_as_they_are(folder, form):
    """ETH3D's bare numbers are called .JPG and are none."""
    depth = record(folder, **written(folder, form)).depth_map()
    assert np.isnan(depth[0, 0])
    np.testing.assert_array_equal(depth.ravel()[1:], RAW.ravel()[1:].astype(np.float32) / 2)


def test_bare_numbers_may_have_another_size_than_the_image(folder):
    np.full((24, 32), 2.5, "<f4").tofile(folder / "depth/b.raw")
    change = {"depth_path": "depth/b.raw", "depth_format": "float32", "depth_scale": 1}
    found = record(folder, **change, depth_size=[32, 24]).depth_map()
    assert found.shape == (24, 32) and (found == 2.5).all()
    with pytest.raises(RecordError, match=r"r\.jsonl:1: "):
        record(folder, **change).depth_map()


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (WIDTH // 2, HEIGHT // 2)], ids=str)
def test_a_map_is_converted_by_the_camera_at_its_own_size(folder, size):
    """z of 2 m everywhere: each ray is as long as its angle to the axis says."""
    Image.fromarray(np.full(size[::-1], 2000, np.uint16)).save(folder / "depth/a.png")
    u, v = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    x = (u * WIDTH / size[0] - 0.5 - 30.0) / 50
    y = (v * HEIGHT / size[1] - 0.5 - 23.5) / 51
    ray = np.sqrt(1 + x**2 + y**2)
    np.testing.assert_allclose(record(folder).depth_map_as("distance"), 2 * ray, rtol=1e-6)
    assert (record(folder).depth_map_as("z") == 2).all()
    along = record(folder, kind="distance")
    np.testing.assert_allclose(along.depth_map_as("z"), 2 / ray, rtol=1e-6)


def test_what_is_written_reads_the_same(folder):
    one = record(folder, **written(folder, "npy"), depth_size=[WIDTH, HEIGHT], depth_unknown=3)
    write_records(folder / "again.jsonl", [one])
    (again,) = Records(folder / "again.jsonl")
    np.testing.assert_array_equal(again.depth_map(), one.depth_map())
    names = ("depth_path", "depth_scale", "depth_unknown", "depth_format", "depth_size", "kind")
    assert [getattr(again, n) for n in names] == [getattr(one, n) for n in names]


def bad_file(folder, name):
    path = folder / "depth/a.png"
    if name == "wide":
        Image.fromarray(np.ones((48, 96), np.uint16)).save(path)
    elif name == "unknown":
        Image.fromarray(np.zeros((48, 64), np.uint16)).save(path)
    elif name == "8 bits":
        Image.fromarray(np.ones((48, 64), np.uint8)).save(path)
    elif name == "colour":
        Image.fromarray(np.ones((48, 64, 3), np.uint8)).save(path)
    elif name == "cut":
        path.write_bytes(path.read_bytes()[:100])
    else:
        path.unlink()


@pytest.mark.parametrize("name", ["wide", "unknown", "8 bits", "colour", "cut", "absent"])
def test_a_depth_image_that_cannot_be_one_names_file_and_line(folder, name):
    bad_file(folder, name)
    with pytest.raises(RecordError, match=r"r\.jsonl:1: .*a\.png"):
        record(folder).depth_map()


@pytest.mark.parametrize(
    "change",
    [
        {"depth_scale": 0},
        {"depth_scale": "1000 a metre"},
        {"depth_scale": float("inf")},
        {"depth_format": "exr"},
        {"depth_size": [64]},
        {"depth_size": "64x48"},
        {"depth_unknown": "none"},
        {"kind": "depth"},
    ],
    ids=str,
)
def test_a_wrong_entry_names_file_and_line(folder, change):
    with pytest.raises(RecordError, match=r"r\.jsonl:1: "):
        record(folder, **change)


def test_a_map_of_an_unstated_kind_is_not_converted(folder):
    found = record(folder, kind=None)
    assert found.depth_map().shape == (HEIGHT, WIDTH)
    with pytest.raises(RecordError, match="--kind"):
        found.depth_map_as("distance")


def test_a_stated_size_that_the_file_has_not_is_refused(folder):
    with pytest.raises(RecordError, match=r"r\.jsonl:1: "):
        record(folder, depth_size=[32, 24]).depth_map()


def test_a_record_without_a_depth_image_has_no_map(folder):
    plain = {"depth_path": None, "pixel_coords": [[1, 2]], "depth": [1.0]}
    with pytest.raises(RecordError, match=r"r\.jsonl:1: "):
        record(folder, **plain).depth_map()


def test_a_line_of_depthvlm_has_its_map_by_name_and_its_pixels_on_it(folder):
    """The benchmark draws pixel_coords on the depth map, here half as wide as the image."""
    Image.fromarray(np.full((24, 32), 512, np.uint16)).save(folder / "depth/a.png")
    found = record(
        folder,
        intrinsics=None,
        original_rgb_size=[WIDTH, HEIGHT],
        original_depth_size=[32, 24],
        original_fx=50.0,
        depth_scale=256,
        depth_type="z_depth",
        pixel_coords=[[0, 0], [31, 23]],
        depth=[2.0, 2.0],
    )
    assert (found.depth_map() == 2.0).all()
    np.testing.assert_allclose(found.pixels, [[0.5, 0.5], [62.5, 46.5]])
