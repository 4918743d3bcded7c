# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""NYUv2: HDF5 as MATLAB writes it, read back to the scene that it shows."""

import pickle

import h5py
import numpy as np
import pytest
import scipy.io
from testing.plane_and_box import assert_labels, assert_true, cast, curated, painted, wall

from depthlm_ros.errors import InputError
from training.curate.sets import SETS

WIDTH, HEIGHT = 640, 480
# camera_params.m of the toolbox, which counts pixels from 1
CAMERA = (518.85790117450188, 519.46961112127485, 324.58244941119034, 252.73616633400465)
SCENES = ["kitchen_0004", "living_room_0029b", "office_0012"]


@pytest.fixture(scope="module")
def scenes():
    """(z of the plane and box, and of a wall) at the real size."""
    return cast(WIDTH, HEIGHT, *CAMERA, far=1.6), wall(WIDTH, HEIGHT, *CAMERA)


def write(root, points):
    """Images of these points, as MATLAB's v7.3 stores (H, W, 3, N) and (H, W, N)."""
    z = np.stack([p[..., 2] for p in points], axis=-1).astype(np.float32)
    raw = z.copy()
    raw[100:120, 200:260] = 0  # not measured
    raw[:9] = 10  # saturated
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        images = np.stack([painted(WIDTH, HEIGHT)] * len(points), axis=-1)
        file["images"] = images.T
        file["depths"], file["rawDepths"] = z.T, raw.T
        names = file.create_dataset("scenes", (1, len(points)), h5py.ref_dtype)
        for i in range(len(points)):
            text = np.array([list(SCENES[i].encode())], np.uint16).T
            names[0, i] = file.create_dataset(f"#refs#/{i}", data=text).ref
    return root


def write_list(root, train=(1, 3), test=(2,)):
    column = {"trainNdxs": np.array([train], np.uint16).T, "testNdxs": np.array([test]).T}
    scipy.io.savemat(root / "splits.mat", column)


@pytest.fixture
def root(tmp_path, scenes):
    write(tmp_path, [scenes[0], scenes[1], scenes[0]])
    write_list(tmp_path)
    return tmp_path


def test_the_points_are_those_of_the_scene(root, scenes):
    data = pickle.loads(pickle.dumps(SETS["nyu"](root, "train")))
    keys = data.keys()
    assert len(keys) == 2
    sample = data.read(keys[1])
    assert (sample.name, sample.scene, sample.kind) == ("0003", "office_0012", "z")
    measured = np.ones((HEIGHT, WIDTH), bool)
    measured[100:120, 200:260] = measured[:9] = False
    measured[scenes[0][..., 2] >= 10] = False
    assert np.array_equal(np.isfinite(sample.depth), measured)
    assert_true(sample, scenes[0], 0.001)
    assert np.array_equal(sample.image, painted(WIDTH, HEIGHT))


def test_a_wall_across_the_axis_has_one_z_and_a_part_of_a_scene_belongs_to_it(root):
    data = SETS["nyu"](root, "test")
    sample = data.read(data.keys()[0])
    assert np.nanmax(np.abs(sample.depth - 3)) < 1e-6 and sample.kind == "z"
    assert (sample.name, sample.scene) == ("0002", "living_room_0029")


def test_the_camera_agrees_with_the_cropped_copy_in_sun(root):
    """SUN RGB-D cuts 40 columns and 44 rows off, and its intrinsics.txt says 284.582449 and
    208.736166 for what is left."""
    camera = SETS["nyu"](root, "test").read(1).camera.cropped(40, 44, 561, 427)
    assert (camera.cx, camera.cy) == pytest.approx((284.582449, 208.736166), abs=1e-6)


def test_broken_files_are_refused_by_name_and_field(root):
    path = root / "nyu_depth_v2_labeled.mat"
    write_list(root, train=(1, 4))
    with pytest.raises(InputError, match="trainNdxs"):
        SETS["nyu"](root, "train").keys()
    scipy.io.savemat(root / "splits.mat", {"other": np.ones(3)})
    with pytest.raises(InputError, match="testNdxs"):
        SETS["nyu"](root, "test").keys()
    with h5py.File(root / "splits.mat", "w") as file:  # MATLAB 7.3, which scipy does not read
        file["testNdxs"] = np.ones(3)
    with pytest.raises(InputError, match="splits.mat"):
        SETS["nyu"](root, "test").keys()
    with h5py.File(path, "a") as file:
        del file["rawDepths"]
    with pytest.raises(InputError, match="rawDepths"):
        SETS["nyu"](root, "train")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=path.name):
        SETS["nyu"](root, "train")
    (root / "splits.mat").unlink()
    with pytest.raises(InputError, match="splits.mat"):
        SETS["nyu"](root, "train")


def test_a_split_of_no_image_has_no_keys(root):
    write_list(root, train=())
    assert list(SETS["nyu"](root, "train").keys()) == []


def test_an_image_whose_data_is_cut_off_is_refused_by_number(root):
    data = SETS["nyu"](root, "train")
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "a") as file:
        del file["rawDepths"]
        file["rawDepths"] = np.ones((1, WIDTH, HEIGHT), np.float32)
    with pytest.raises(InputError, match="image 3"):
        data.read(2)


def test_the_command_writes_the_labels(root, tmp_path, scenes):
    manifest, records = curated("nyu", root, tmp_path / "out")
    assert manifest["images"] == 2 and manifest["scenes"] == 2 and manifest["skipped"] == {}
    assert_labels(records[0], scenes[0])
