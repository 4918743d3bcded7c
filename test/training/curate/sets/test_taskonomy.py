# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Taskonomy and HM3D: files as Omnidata writes them, read back to the scene they show."""

import json
import pickle
from math import tan

import numpy as np
import pytest
from PIL import Image
from testing.plane_and_box import assert_labels, assert_true, cast, curated, painted, wall

from depthlm_ros.data.files import read_image
from depthlm_ros.errors import InputError
from training.curate.sample import Skip
from training.curate.sets import SETS

SIDE = 64
INFO = {"taskonomy": "point_info", "hm3d": "fixatedpose"}
MASK = {"taskonomy": "depth_zbuffer", "hm3d": "mask_valid"}
BOTH = pytest.mark.parametrize("name", ["taskonomy", "hm3d"])


def view_of(fov, points=cast, side=SIDE):
    """The scene as Blender's square camera sees it: its edges are fov apart."""
    focal = side / 2 / tan(fov / 2)
    return points(side, side, focal, focal, (side - 1) / 2, (side - 1) / 2)


def write(root, name, building, point, view, points, fov):
    """One view in the official layout."""

    def path(domain, end):
        folder = root / domain / name / building
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"point_{point}_view_{view}_domain_{end}"

    Image.fromarray(painted(*points.shape[1::-1])).save(path("rgb", "rgb.png"))
    raw = np.round(points[..., 2] * 512).astype(np.uint16)
    raw[:3] = 65535  # the sky behind a window
    raw[-2:] = 0
    Image.fromarray(raw).save(path("depth_zbuffer", "depth_zbuffer.png"))
    info = {"field_of_view_rads": fov, "resolution": SIDE, "camera_location": [1, 2, 3]}
    path("point_info", f"{INFO[name]}.json").write_text(json.dumps(info))


def write_mask(root, name, building, point, view, mask):
    folder = root / "mask_valid" / name / building
    folder.mkdir(parents=True, exist_ok=True)
    file = f"point_{point}_view_{view}_domain_{MASK[name]}.png"
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(folder / file)


def write_lists(root):
    (root / "train_val_test_fullplus.csv").write_text(
        "id,train,val,test\nhanson,1,0,0\nallensville,0,1,0\nadairsville,1,0,0\nelsewhere,1,0,0\n"
    )
    (root / "metadata.csv").write_text(
        "scene,split,furnished\nhanson,train,TRUE\nallensville,val,TRUE\nadairsville,train,0\n"
    )


@pytest.fixture
def root(tmp_path):
    """Four views of three buildings, of three fields of view."""
    for name in INFO:
        write(tmp_path, name, "hanson", 10, 0, view_of(1.0), 1.0)
        write(tmp_path, name, "hanson", 9, 3, view_of(1.4), 1.4)
        write(tmp_path, name, "adairsville", 0, 1, view_of(0.8), 0.8)
        write(tmp_path, name, "allensville", 0, 0, view_of(1.2), 1.2)
    write_lists(tmp_path)
    return tmp_path


def file_of(root, domain, end, name="taskonomy"):
    return root / domain / name / "hanson" / f"point_9_view_3_domain_{end}"


def test_a_real_view_has_the_distances_that_omnidata_gives_beside_its_z(tmp_path):
    """Real numbers: depth_zbuffer and depth_euclidean of a view of Taskonomy in the assets of
    Omnidata's annotator. A centre at 256 would be 1.4 and 2.3 units off at first and last."""
    fov = 1.180512021910271
    units = {(12, 10): (1136, 1532), (15, 500): (771, 1036), (498, 505): (1023, 1383),
             (480, 400): (1429, 1744)}  # fmt: skip
    write(tmp_path, "taskonomy", "hanson", 202, 5, view_of(fov, side=512), fov)
    write_lists(tmp_path)
    raw = np.ones((512, 512), np.uint16)
    for (u, v), (z, _) in units.items():
        raw[v, u] = z
    place = tmp_path / "depth_zbuffer" / "taskonomy" / "hanson"
    Image.fromarray(raw).save(place / "point_202_view_5_domain_depth_zbuffer.png")
    sample = SETS["taskonomy"](tmp_path, "train").read(("hanson", 202, 5))
    pixels = np.array(list(units), float)
    z_m = sample.depth[pixels[:, 1].astype(int), pixels[:, 0].astype(int)]
    distance_m = sample.camera.distance_from_z(pixels, z_m)
    told = np.array([distance for _, distance in units.values()])
    np.testing.assert_allclose(distance_m * 512, told, atol=1)


@BOTH
def test_the_points_are_those_of_the_scene(root, name):
    data = SETS[name](root, "train")
    for key, fov in zip(data.keys(), (0.8, 1.4, 1.0), strict=True):
        sample = data.read(key)
        truth = view_of(fov)
        assert_true(sample, truth, 1 / 512)
        assert np.isnan(sample.depth[:3]).all() and np.isnan(sample.depth[-2:]).all()
        assert np.array_equal(read_image(sample.image), painted(SIDE, SIDE))
        assert sample.scene == key[0]


@BOTH
def test_keys_are_those_of_the_split_in_order_of_number(root, name):
    data = pickle.loads(pickle.dumps(SETS[name](root, "train")))
    keys = data.keys()
    assert list(keys) == [("adairsville", 0, 1), ("hanson", 9, 3), ("hanson", 10, 0)]
    assert keys[-1] == ("hanson", 10, 0) and keys[1:] == list(keys)[1:]
    assert data.read(keys[1]).name == "hanson/point_9_view_3"
    assert list(SETS[name](root, "val").keys()) == [("allensville", 0, 0)]


@BOTH
def test_a_wall_across_the_axis_has_one_z(tmp_path, name):
    write(tmp_path, name, "hanson", 1, 1, view_of(1.5, wall), 1.5)
    write_lists(tmp_path)
    sample = SETS[name](tmp_path, "train").read(("hanson", 1, 1))
    assert sample.kind == "z"
    assert np.nanmax(np.abs(sample.depth - 3)) < 0.001


@BOTH
def test_the_mask_hides_what_it_paints_black_and_published_labels_have_none(root, name):
    mask = np.ones((SIDE, SIDE), bool)
    mask[20:30, 40:] = False
    write_mask(root, name, "hanson", 9, 3, mask)
    key = "hanson", 9, 3
    assert np.isnan(SETS[name](root, "train").read(key).depth[20:30, 40:]).all()
    published = SETS[name](root, "train", "depthvlm").read(key)
    assert np.isfinite(published.depth[20:30, 40:]).all()
    with pytest.raises(Skip) as skipped:  # there are masks, and this image has none
        SETS[name](root, "train").read(("hanson", 10, 0))
    assert skipped.value.reason == "no mask file"


@pytest.mark.parametrize(
    "domain, end, content, reason",
    [
        ("rgb", "rgb.png", None, "no image file"),
        ("depth_zbuffer", "depth_zbuffer.png", None, "no depth file"),
        ("depth_zbuffer", "depth_zbuffer.png", "half", "truncated depth"),
        ("point_info", "point_info.json", None, "no calibration"),
        ("point_info", "point_info.json", b"{}", "broken calibration"),
        ("point_info", "point_info.json", b'{"field_of_view_rads": NaN}', "broken calibration"),
        ("point_info", "point_info.json", b'{"field_of_view', "broken calibration"),
    ],
)
def test_a_spoilt_image_is_skipped_with_its_reason(root, domain, end, content, reason):
    path = file_of(root, domain, end)
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(Skip) as skipped:
        SETS["taskonomy"](root, "train").read(("hanson", 9, 3))
    assert skipped.value.reason == reason
    assert path.name in skipped.value.detail


def test_a_depth_image_of_another_size_or_format_is_skipped(root):
    path = file_of(root, "depth_zbuffer", "depth_zbuffer.png")
    for raster, reason in (
        (np.ones((SIDE, SIDE - 1), np.uint16), "sizes differ"),
        (np.ones((SIDE, SIDE), np.uint8), "not a depth image"),
    ):
        Image.fromarray(raster).save(path)
        with pytest.raises(Skip) as skipped:
            SETS["taskonomy"](root, "train").read(("hanson", 9, 3))
        assert skipped.value.reason == reason


@pytest.mark.parametrize("gone", ["depth_zbuffer", "train_val_test_fullplus.csv"])
def test_a_root_without_the_layout_is_refused(root, gone):
    (root / gone).rename(root / "away")
    with pytest.raises(InputError, match=gone):
        SETS["taskonomy"](root, "train")


def test_lists_and_splits_that_fit_nothing_are_refused(root):
    with pytest.raises(InputError, match="fullplus.csv"):
        SETS["taskonomy"](root, "test")
    with pytest.raises(InputError, match="train, val$"):  # the list of HM3D has no more
        SETS["hm3d"](root, "test")
    for name in INFO:
        with pytest.raises(InputError, match="DepthLM"):  # whose labels were never published
            SETS[name](root, "train", "depthlm")
    (root / "metadata.csv").write_bytes(b"scene,split\nhans\xffon,train\n")
    with pytest.raises(InputError, match="metadata.csv"):
        SETS["hm3d"](root, "train")
    (root / "metadata.csv").write_text("building,part\nhanson,train\n")
    with pytest.raises(InputError, match="building, part"):
        SETS["hm3d"](root, "train")


@BOTH
def test_the_command_writes_the_labels_and_counts_a_broken_image(root, tmp_path, name):
    broken = file_of(root, "rgb", "rgb.png", name)
    broken.write_bytes(broken.read_bytes()[:150])
    manifest, records = curated(name, root, tmp_path / "out")
    assert manifest["images"] == 2 and manifest["skipped"] == {"truncated image": 1}
    assert manifest["kinds"] == ["z"]
    for record, fov in zip(records, (0.8, 1.0), strict=True):
        assert_labels(record, view_of(fov), 1 / 512)
