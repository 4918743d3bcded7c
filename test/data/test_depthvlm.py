# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Lines of DepthVLM's benchmark as records: what they say, and what they leave open.

They give one focal length, no centre, and two sizes without saying which the pixels are of.
"""

import json

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.data.records import Records, write_records
from depthlm_ros.errors import RecordError

DEPTHVLM = {
    "image": "rgb/a.png",
    "original_rgb_size": [64, 48],
    "original_depth_size": [64, 48],
    "original_fx": 50.0,
    "pixel_coords": [[10, 20]],
    "depth": [1.5],
    "depth_type": "z_depth",
}


def depthvlm_file(folder, **change):
    (folder / "d.jsonl").write_text(json.dumps({**DEPTHVLM, **change}))
    return folder / "d.jsonl"


def test_a_line_of_depthvlm_has_its_focal_length_and_the_middle_of_the_image(tmp_path):
    """Its depth_type is wrong for two sets, so the kind is what the caller says."""
    (record,) = Records(depthvlm_file(tmp_path), "distance")
    camera = record.camera
    assert (camera.width, camera.height, camera.fx, camera.fy) == (64, 48, 50, 50)
    assert (camera.cx, camera.cy) == (31.5, 23.5)
    np.testing.assert_array_equal(record.pixels, [[10, 20]])
    assert record.kind == "distance"


@pytest.mark.parametrize(
    "change",
    [
        {"original_depth_size": [32, 24]},
        {"original_fx": None},
        {"original_rgb_size": [64], "original_depth_size": None},
    ],
    ids=str,
)
def test_a_line_of_depthvlm_that_does_not_say_enough_is_refused(tmp_path, change):
    with pytest.raises(RecordError, match=r"d\.jsonl:1: "):
        list(Records(depthvlm_file(tmp_path, **change)))


def test_what_its_masks_do_not_show_white_is_not_measured(tmp_path):
    """As its loader does: a mask in the size of the depth image, nearest, 0 where it is black."""
    raw = np.full((48, 64), 13107, np.uint16)
    raw[0] = 0
    Image.fromarray(raw).save(tmp_path / "d.png")
    valid, opaque = np.ones((48, 64), bool), np.full((24, 32), 255, np.uint8)
    valid[10:20, 5] = False
    opaque[20:, :4] = 0  # of half the size
    Image.fromarray(valid).save(tmp_path / "valid.png")
    Image.fromarray(opaque).save(tmp_path / "opaque.png")
    masks = {"mask_valid_path": "valid.png", "mask_transp_path": "opaque.png"}
    line = depthvlm_file(tmp_path, depth_path="d.png", depth_scale=1310.7, **masks)
    expected = np.full((48, 64), 10.0)
    expected[0] = expected[10:20, 5] = expected[40:, :8] = np.nan
    (record,) = Records(line, "z")
    np.testing.assert_allclose(record.depth_map(), expected, rtol=1e-6)
    write_records(tmp_path / "again.jsonl", [record])
    (again,) = Records(tmp_path / "again.jsonl")
    np.testing.assert_array_equal(again.depth_map(), record.depth_map())
    (tmp_path / "valid.png").unlink()
    with pytest.raises(RecordError, match=r"d\.jsonl:1: .*valid\.png"):
        record.depth_map()


def test_its_bare_numbers_are_read_by_the_name_that_it_gives_them(tmp_path):
    """ETH3D: metres, infinite where the scanner measured nothing, on a grid of their own."""
    metres = np.linspace(1, 5, 60 * 45, dtype="<f4").reshape(45, 60)
    metres[3, 4] = np.inf
    metres.tofile(tmp_path / "d.JPG")
    line = depthvlm_file(
        tmp_path,
        depth_path="d.JPG",
        depth_scale=1.0,
        depth_format="binary_float32",
        original_depth_size=[60, 45],
    )
    (record,) = Records(line, "z")
    expected = np.where(np.isinf(metres), np.nan, metres)
    np.testing.assert_array_equal(record.depth_map(), expected)
