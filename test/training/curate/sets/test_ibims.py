# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""iBims-1: both official layouts of one scene, read back to what it shows."""

import pickle

import numpy as np
import pytest
import scipy.io
from testing.layouts.ibims import CAMERA, HEIGHT, STEP, WIDTH, masks, scene, write
from testing.plane_and_box import assert_labels, assert_true, curated, painted, wall

from depthlm_ros.data.files import read_image
from depthlm_ros.errors import InputError
from training.curate.sample import Skip
from training.curate.sets import SETS

BOTH = pytest.mark.parametrize("layout", ["raw", "mat"])


@BOTH
def test_the_points_are_those_of_the_scene(tmp_path, layout):
    write(write(tmp_path, layout), layout, "office_02")
    data = pickle.loads(pickle.dumps(SETS["ibims"](tmp_path, "test")))
    assert list(data.keys()) == ["corridor_01", "office_02"]
    sample = data.read("office_02")
    assert_true(sample, scene(), STEP)
    assert (sample.name, sample.scene, sample.kind) == ("office_02", "office_02", "z")
    valid, opaque = masks()
    usable = valid & opaque
    usable[:2] = False
    assert np.array_equal(np.isfinite(sample.depth), usable)
    image = sample.image if layout == "mat" else read_image(sample.image)
    assert np.array_equal(image, painted(WIDTH, HEIGHT))


@BOTH
def test_the_folder_itself_is_a_root_too(tmp_path, layout):
    write(tmp_path, layout)
    assert len(SETS["ibims"](tmp_path / f"ibims1_core_{layout}", "test").keys()) == 1


@BOTH
def test_a_wall_across_the_axis_has_one_z(tmp_path, layout):
    write(tmp_path, layout, points=wall(WIDTH, HEIGHT, *CAMERA))
    sample = SETS["ibims"](tmp_path, "test").read("corridor_01")
    assert np.nanmax(np.abs(sample.depth - 3)) < STEP and sample.kind == "z"


@BOTH
def test_published_labels_keep_the_stored_centre(tmp_path, layout):
    write(tmp_path, layout)
    fx, fy, cx, cy = CAMERA
    valid, opaque = masks()
    for published in ("depthlm", "depthvlm"):
        sample = SETS["ibims"](tmp_path, "test", published).read("corridor_01")
        camera = sample.camera
        assert (camera.fx, camera.fy) == (fx, fy)
        assert (camera.cx, camera.cy) == pytest.approx((cx + 1, cy + 1))
        known = np.isfinite(sample.depth)
        assert np.abs(sample.depth - scene()[..., 2])[known].max() < STEP
        if published == "depthlm":  # glass too, and no border
            expected = np.zeros((HEIGHT, WIDTH), bool)
            expected[10:-10, 10:-10] = True
        else:
            expected = valid & opaque
            expected[:2] = False
        assert np.array_equal(known, expected)


@pytest.mark.parametrize(
    "path, content, reason",
    [
        ("rgb/corridor_01.png", b"PNG", "truncated image"),
        ("depth/corridor_01.png", None, "no depth file"),
        ("depth/corridor_01.png", "half", "truncated depth"),
        ("calib/corridor_01.txt", None, "no calibration"),
        ("calib/corridor_01.txt", b"1,2,3", "broken calibration"),
        ("calib/corridor_01.txt", b"80,nan,40,30", "broken calibration"),
        ("calib/corridor_01.txt", b"80 80 40 30", "broken calibration"),
        ("mask_transp/corridor_01.png", None, "no mask file"),
        ("mask_transp/corridor_01.png", "half", "truncated mask"),
    ],
)
def test_a_spoilt_image_is_skipped_with_its_reason(tmp_path, path, content, reason):
    write(tmp_path, "raw")
    file = tmp_path / "ibims1_core_raw" / path
    whole = file.read_bytes()
    file.unlink()
    if content is not None:
        file.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(Skip) as skipped:
        SETS["ibims"](tmp_path, "test").read("corridor_01")
    assert skipped.value.reason == reason and path in skipped.value.detail


def test_a_spoilt_mat_file_is_skipped_with_its_reason(tmp_path):
    write(tmp_path, "mat")
    file = tmp_path / "ibims1_core_mat" / "corridor_01.mat"
    whole = file.read_bytes()
    data = SETS["ibims"](tmp_path, "test")
    file.write_bytes(whole[: len(whole) // 2])
    assert reason(data) == "truncated file"
    scipy.io.savemat(file, {"data": {"rgb": painted(WIDTH, HEIGHT)}})
    assert reason(data) == "field missing"
    scipy.io.savemat(file, {"data": 3})
    assert reason(data) == "field missing"
    stored = scipy.io.loadmat(write_whole(file, whole), simplify_cells=True)["data"]
    scipy.io.savemat(file, {"data": {**stored, "depth": np.ones((3, 4))}})
    assert reason(data) == "sizes differ"
    scipy.io.savemat(file, {"data": {**stored, "calib": np.full((3, 3), np.nan)}})
    assert reason(data) == "broken calibration"


def write_whole(file, content):
    file.write_bytes(content)
    return file


def reason(data):
    with pytest.raises(Skip) as skipped:
        data.read("corridor_01")
    assert "corridor_01.mat" in skipped.value.detail
    return skipped.value.reason


def test_other_roots_and_splits_are_refused(tmp_path):
    with pytest.raises(InputError, match="rgb"):
        SETS["ibims"](tmp_path, "test")
    with pytest.raises(InputError, match="train"):
        SETS["ibims"](write(tmp_path, "raw"), "train")
    (tmp_path / "ibims1_core_raw" / "calib").rename(tmp_path / "away")
    with pytest.raises(InputError, match="calib"):
        SETS["ibims"](tmp_path, "test")


@BOTH
def test_the_command_writes_the_labels_and_counts_a_broken_image(tmp_path, layout):
    for name in ("corridor_01", "office_02"):
        write(tmp_path, layout, name)
    folder = tmp_path / f"ibims1_core_{layout}"
    broken = folder / "office_02.mat" if layout == "mat" else folder / "rgb" / "office_02.png"
    broken.write_bytes(broken.read_bytes()[:150])
    manifest, records = curated("ibims", tmp_path, tmp_path / "out")
    reason = "truncated file" if layout == "mat" else "truncated image"
    assert manifest["images"] == 1 and manifest["skipped"] == {reason: 1}
    assert_labels(records[0], scene())
