# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Lines of DepthVLM's benchmark as records: what they say, and what they leave open.

They give one focal length, no centre, and two sizes without saying which the pixels are of.
"""

import json

import numpy as np
import pytest

from depthlm_ros.data.records import Records
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
