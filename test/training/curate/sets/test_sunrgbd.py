# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""SUN RGB-D: rotated bits, intrinsics as text and MATLAB's list of paths, read back."""

import pickle

import numpy as np
import pytest
import scipy.io
from PIL import Image
from testing.layouts.sunrgbd import (
    CAMERA,
    HEIGHT,
    KINECT2,
    NYU,
    SUN3D,
    TEST,
    WIDTH,
    write,
    write_list,
)
from testing.plane_and_box import assert_labels, assert_true, cast, curated, painted, wall

from depthlm_ros.data.files import read_image
from depthlm_ros.errors import InputError
from training.curate.sample import Skip
from training.curate.sets import SETS


def scene(far=2.6):
    """2 to 13 m and more, so that the high bits are needed."""
    return cast(WIDTH, HEIGHT, *CAMERA, far=far)


@pytest.fixture
def root(tmp_path):
    for folder in (KINECT2, SUN3D, NYU, TEST):
        write(tmp_path, folder, scene())
    write_list(tmp_path, [SUN3D, KINECT2, NYU], [TEST])
    return tmp_path


def test_bits_are_rotated_back_also_beyond_eight_metres(root):
    data = pickle.loads(pickle.dumps(SETS["sunrgbd"](root, "train")))
    sample = data.read(KINECT2)
    assert_true(sample, scene(), 0.001)
    assert np.nanmax(sample.depth) > 12 and np.nanmin(sample.depth) < 3
    assert np.isnan(sample.depth[10:20, 30:50]).all()  # measured, not filled
    assert np.array_equal(read_image(sample.image), painted(WIDTH, HEIGHT))
    assert data.range_m == (0.005, 8.0)


def test_a_real_value_is_what_the_toolbox_makes_of_it(root):
    """161 of Open3D's SUN_depth.png is 8.212 m, and would be 0.020 m if divided by 8000."""
    raster = np.full((HEIGHT, WIDTH), 161, np.uint16)
    Image.fromarray(raster).save(root / "SUNRGBD" / TEST / "depth" / "0000103_abs.png")
    sample = SETS["sunrgbd"](root, "test").read(TEST)
    assert sample.depth[0, 0] == pytest.approx(8.212)


def test_keys_are_the_folders_of_the_official_list(root):
    assert list(SETS["sunrgbd"](root, "train").keys()) == [NYU, KINECT2, SUN3D]
    assert list(SETS["sunrgbd"](root, "test").keys()) == [TEST]
    assert list(SETS["sunrgbd"](root, "test", "depthlm").keys()) == [KINECT2, TEST, SUN3D]
    later = SUN3D.replace("hv_c11_2/0000103", "hv_c11_2/0000204")
    write_list(root, [later, SUN3D, KINECT2, NYU], [later.replace("_2/", "_3/"), TEST])
    assert len(SETS["sunrgbd"](root, "train").keys()) == 4
    # DepthLM's script looks for folders at one depth, and takes one image of a place of SUN3D.
    assert list(SETS["sunrgbd"](root, "test", "depthlm").keys()) == [KINECT2, TEST, SUN3D]
    data = SETS["sunrgbd"](root, "train")
    assert data.read(SUN3D).scene == "xtion/sun3ddata/harvard_c11"
    assert data.read(KINECT2).scene == data.read(KINECT2).name == KINECT2


def test_a_wall_across_the_axis_has_one_z(tmp_path):
    write(tmp_path, KINECT2, wall(WIDTH, HEIGHT, *CAMERA), holes=False)
    write_list(tmp_path, [KINECT2], [KINECT2])
    sample = SETS["sunrgbd"](tmp_path, "test").read(KINECT2)
    assert sample.kind == "z" and np.all(sample.depth == 3.0)
    sample = SETS["sunrgbd"](tmp_path, "test", "depthlm").read(KINECT2)
    corner = np.linalg.norm(wall(WIDTH, HEIGHT, *CAMERA)[0, 0])
    assert corner > 3.5
    assert sample.kind == "distance"
    assert sample.depth[0, 0] == pytest.approx(0.8 * corner, abs=0.001)


def test_published_labels_are_reproduced(root):
    """DepthVLM: filled, wrong beyond 8.192 m. DepthLM: filled distances, 0.8 of the truth."""
    z = scene()[..., 2]
    near = z < 8.19
    sample = SETS["sunrgbd"](root, "train", "depthvlm").read(KINECT2)
    assert np.abs(sample.depth - z)[near].max() < 0.001 and np.isfinite(sample.depth).all()
    assert sample.depth[z > 8.2].max() < 8.2 and sample.kind == "z"
    data = SETS["sunrgbd"](root, "train", "depthlm")
    sample = data.read(KINECT2)
    truth = 0.8 * np.linalg.norm(scene(), axis=-1)
    assert np.abs(sample.depth - truth)[near].max() < 0.001 and data.range_m == (0.005, 25.0)


def test_nyu_as_published_is_the_copy_in_sun(root):
    depthlm = SETS["nyu"](root, "test", "depthlm")
    assert list(depthlm.keys()) == [NYU]  # both splits
    sample = depthlm.read(NYU)
    assert np.isnan(sample.depth[10:20, 30:50]).all() and sample.kind == "distance"
    near = np.isfinite(sample.depth) & (scene()[..., 2] < 8.19)
    truth = 0.8 * np.linalg.norm(scene(), axis=-1)
    assert np.abs(sample.depth - truth)[near].max() < 0.001
    depthvlm = SETS["nyu"](root, "train", "depthvlm")
    assert (
        list(depthvlm.keys()) == [NYU] and list(SETS["nyu"](root, "test", "depthvlm").keys()) == []
    )
    assert np.isfinite(depthvlm.read(NYU).depth).all()


@pytest.mark.parametrize(
    "gone, content, reason",
    [
        ("image/0000103.png", None, "no image file"),
        ("image/0000103.png", b"PNG", "truncated image"),
        ("depth/0000103_abs.png", None, "no depth file"),
        ("depth/0000103_abs.png", "half", "truncated depth"),
        ("intrinsics.txt", None, "no calibration"),
        ("intrinsics.txt", b"70 0 nan 0 70 30 0 0 1", "broken calibration"),
        ("intrinsics.txt", b"70 0", "broken calibration"),
    ],
)
def test_a_spoilt_image_is_skipped_with_its_reason(root, gone, content, reason):
    path = root / "SUNRGBD" / KINECT2 / gone
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(Skip) as skipped:
        SETS["sunrgbd"](root, "train").read(KINECT2)
    assert skipped.value.reason == reason and KINECT2 in skipped.value.detail


def test_a_folder_that_was_not_extracted_is_skipped(root):
    write_list(root, ["kv1/b3dodata/img_0063"], [TEST])
    data = SETS["sunrgbd"](root, "train")
    with pytest.raises(Skip) as skipped:
        data.read(data.keys()[0])
    assert skipped.value.reason == "no image file"


def test_a_root_without_the_layout_or_with_another_list_is_refused(root):
    path = root / "SUNRGBDtoolbox" / "traintestSUNRGBD" / "allsplit.mat"
    scipy.io.savemat(path, {"other": np.zeros(3)})
    with pytest.raises(InputError, match="alltrain"):
        SETS["sunrgbd"](root, "train").keys()
    path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(40))
    with pytest.raises(InputError, match="allsplit.mat"):
        SETS["sunrgbd"](root, "train").keys()
    path.unlink()
    with pytest.raises(InputError, match="allsplit.mat"):
        SETS["sunrgbd"](root, "train")
    with pytest.raises(InputError, match="val"):
        SETS["sunrgbd"](root, "val")


def test_the_command_writes_the_labels_and_counts_a_broken_image(root, tmp_path):
    broken = root / "SUNRGBD" / SUN3D / "image" / "0000103.png"
    broken.write_bytes(broken.read_bytes()[:150])
    manifest, records = curated("sunrgbd", root, tmp_path / "out")
    assert manifest["images"] == 2 and manifest["skipped"] == {"truncated image": 1}
    assert manifest["dropped"]["out of range"] > 0  # beyond 8 m
    for record in records:
        assert_labels(record, scene())
        assert record.label_m.max() <= 8
