# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Matterport3D: a scene of three cameras in OpenGL's convention, read back to what they see."""

import pickle
import shutil

import numpy as np
import pytest
from PIL import Image
from testing.plane_and_box import assert_labels, assert_true, curated, painted, points_of

from depthlm_ros.data.files import read_image
from depthlm_ros.errors import InputError
from training.curate.sample import Skip
from training.curate.sets import SETS

WIDTH, HEIGHT = 96, 72
# fx, fy, cx, cy with cy counted from the bottom, one for each of the three cameras
CAMERAS = [(80.0, 80.1, 46.3, 30.2), (80.7, 80.9, 49.1, 40.4), (79.6, 79.9, 47.5, 44.8)]
SCENE = "17DRP5sb8fy"


def seen(fx, fy, cx, cy, z_of):
    """(H, W) z of each pixel of the file, whose rows run from the top, of a camera that looks
    along -z with y up and counts rows from the bottom."""
    rows, columns = np.indices((HEIGHT, WIDTH), dtype=np.float64)
    from_bottom = HEIGHT - 1 - rows
    rays = np.stack([(columns - cx) / fx, (from_bottom - cy) / fy, -np.ones_like(rows)], axis=-1)
    return z_of(rays)


def slanted(rays):
    """-z of the plane 0.3 x + 0.4 y - z = 4 m, which leans upwards away from the camera."""
    t = 4.0 / (rays @ np.array([0.3, 0.4, -1.0]))
    return -(rays * t[..., None])[..., 2]


def truth(camera):
    """(H, W, 3) points in the optical frame, from the same camera."""
    fx, fy, cx, cy = CAMERAS[camera]
    z = seen(*CAMERAS[camera], slanted)
    rows, columns = np.indices((HEIGHT, WIDTH), dtype=np.float64)
    up = (HEIGHT - 1 - rows - cy) / fy
    return np.stack([(columns - cx) / fx * z, -up * z, z], axis=-1)


def told_distance(camera):
    """(H, W) metres as DepthLM makes them of z: (row - cy) / fy, with rows from the top."""
    fx, fy, cx, cy = CAMERAS[camera]
    rows, columns = np.indices((HEIGHT, WIDTH), dtype=np.float64)
    return truth(camera)[..., 2] * np.sqrt(
        ((columns - cx) / fx) ** 2 + ((rows - cy) / fy) ** 2 + 1
    )


def write(scans, scene=SCENE, turns=2):
    """One place in the official layout; returns its .conf file."""
    folder = scans / scene
    for name in ("color_images", "depth_images", "camera_parameters"):
        (folder / f"undistorted_{name}").mkdir(parents=True)
    lines = [
        "dataset matterport",
        f"n_images {3 * turns}",
        "depth_directory undistorted_depth_images",
        "color_directory undistorted_color_images",
    ]
    for number, (fx, fy, cx, cy) in enumerate(CAMERAS):
        lines += ["", f"intrinsics_matrix {fx} 0 {cx}  0 {fy} {cy} 0 0 1 "]
        raw = np.round(seen(fx, fy, cx, cy, slanted) * 4000).astype(np.uint16)
        raw[-5:, :7] = 0
        for turn in range(turns):
            depth, colour = f"ab12_d{number}_{turn}.png", f"ab12_i{number}_{turn}.jpg"
            Image.fromarray(raw).save(folder / "undistorted_depth_images" / depth)
            image = Image.fromarray(painted(WIDTH, HEIGHT))
            image.save(folder / "undistorted_color_images" / colour, quality=95)
            lines.append(f"scan {depth} {colour} " + "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1")
    conf = folder / "undistorted_camera_parameters" / f"{scene}.conf"
    conf.write_text("\n".join(lines) + "\n")
    return conf


@pytest.fixture
def root(tmp_path):
    write(tmp_path)
    (tmp_path / "scenes_train.txt").write_text(f"{SCENE}\nnotThere\n")
    (tmp_path / "scenes_val.txt").write_text("notThere\n")
    return tmp_path


def test_each_of_three_cameras_sees_the_scene_with_its_own_matrix(root):
    data = pickle.loads(pickle.dumps(SETS["matterport"](root, "train")))
    keys = data.keys()
    assert len(keys) == 6
    for i, key in enumerate(keys):
        sample = data.read(key)
        assert_true(sample, truth(i // 2), 0.001)
        assert np.isnan(sample.depth[-5:, :7]).all() and sample.kind == "z"
        assert (sample.name, sample.scene) == (f"{SCENE}/ab12_i{i // 2}_{i % 2}", SCENE)
        off = read_image(sample.image).astype(int) - painted(WIDTH, HEIGHT)
        assert np.abs(off).mean() < 3  # JPEG


def test_the_principal_point_is_the_one_of_matterports_own_file(root):
    """Real numbers: the first camera of a scene of 1280 x 1024 has cy = 509.202 from the bottom
    in the .conf, and 513.798 from the top in matterport_camera_intrinsics."""
    conf = root / SCENE / "undistorted_camera_parameters" / f"{SCENE}.conf"
    line = "intrinsics_matrix 1076.45 0 631.116  0 1077.19 509.202  0 0 1\nscan d.png i.jpg 1\n"
    conf.write_text(line)
    Image.new("RGB", (1280, 1024)).save(root / SCENE / "undistorted_color_images" / "i.jpg")
    ones = np.ones((1024, 1280), np.uint16)
    Image.fromarray(ones).save(root / SCENE / "undistorted_depth_images" / "d.png")
    data = SETS["matterport"](root, "train")
    camera = data.read(data.keys()[0]).camera
    assert (camera.fx, camera.fy, camera.cx) == (1076.45, 1077.19, 631.116)
    assert camera.cy == pytest.approx(513.798)


@pytest.mark.parametrize("inner", ["v1/scans", f"v1/scans/{SCENE}"])
def test_scans_below_v1_are_found_as_the_download_leaves_them(tmp_path, inner):
    write(tmp_path / inner)
    (tmp_path / "scenes_test.txt").write_text(SCENE)
    data = SETS["matterport"](tmp_path, "test")
    assert_true(data.read(data.keys()[0]), truth(0), 0.001)


def test_published_labels_are_reproduced(root):
    """Both count rows from the top and take cy as it stands, which counts from the bottom.
    DepthLM: distances, so that they are wrong too. DepthVLM: z, the last matrix for all images."""
    depthlm = SETS["matterport"](root, "train", "depthlm")
    sample = depthlm.read(depthlm.keys()[1])
    fx, fy, cx, cy = CAMERAS[0]
    camera = sample.camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (fx, fy, cx, cy)
    known = np.isfinite(sample.depth)
    assert sample.kind == "distance" and depthlm.range_m == (0.05, 50.0)
    assert np.abs(sample.depth - told_distance(0))[known].max() < 0.001
    off = np.abs(sample.depth - np.linalg.norm(truth(0), axis=-1))[known]
    assert off.max() > 0.1
    depthvlm = SETS["matterport"](root, "train", "depthvlm")
    sample = depthvlm.read(depthvlm.keys()[0])
    camera = sample.camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == CAMERAS[2]
    assert sample.kind == "z" and np.isfinite(sample.depth).sum() == known.sum()


def test_a_wall_across_the_axis_has_one_z(root):
    depth = root / SCENE / "undistorted_depth_images" / "ab12_d1_0.png"
    Image.fromarray(np.full((HEIGHT, WIDTH), 12000, np.uint16)).save(depth)
    data = SETS["matterport"](root, "train")
    sample = data.read(data.keys()[2])
    assert np.all(sample.depth == 3.0) and sample.kind == "z"
    assert np.linalg.norm(points_of(sample)[0, 0]) > 3.3


def test_a_scene_without_calibration_is_counted_image_by_image(root):
    conf = root / SCENE / "undistorted_camera_parameters" / f"{SCENE}.conf"
    text = conf.read_text()
    assert skips(root) == []
    conf.write_text(text.replace("intrinsics_matrix 80.7", "intrinsics_matrix nan"))
    assert skips(root) == ["broken calibration"] * 2
    conf.write_text(text.replace("intrinsics_matrix 79.6 0", "intrinsics_matrix 79.6"))
    assert skips(root) == ["no calibration"] * 2
    conf.write_text(text[: text.index("intrinsics_matrix 80.7")])  # cut off after two scans
    assert skips(root) == ["no calibration"] * 4
    conf.unlink()
    assert skips(root) == ["no calibration"] * 6
    shutil.rmtree(root / SCENE / "undistorted_color_images")  # nothing is unpacked
    assert skips(root) == ["no calibration"]


def skips(root):
    """The reasons for which images of the training split are skipped."""
    data, found = SETS["matterport"](root, "train"), []
    keys = data.keys()
    for key in keys:
        try:
            data.read(key)
        except Skip as skipped:
            assert SCENE in skipped.detail
            found.append(skipped.reason)
    return found


def test_broken_and_missing_images_are_skipped(root):
    colour = root / SCENE / "undistorted_color_images" / "ab12_i0_0.jpg"
    depth = root / SCENE / "undistorted_depth_images" / "ab12_d0_1.png"
    depth.write_bytes(depth.read_bytes()[:200])
    assert skips(root) == ["truncated depth"]
    colour.write_bytes(colour.read_bytes()[:15])
    assert skips(root) == ["truncated image", "truncated depth"]
    colour.unlink()
    depth.unlink()
    assert skips(root) == ["no image file", "no depth file"]


def test_the_command_writes_the_labels_and_counts_a_broken_image(root, tmp_path):
    broken = root / SCENE / "undistorted_color_images" / "ab12_i0_0.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) * 2 // 3])
    manifest, records = curated("matterport", root, tmp_path / "out")
    assert manifest["images"] == 5 and manifest["skipped"] == {"truncated image": 1}
    for record, camera in zip(records, (0, 1, 1, 2, 2), strict=True):
        assert_labels(record, truth(camera))
    manifest, records = curated("matterport", root, tmp_path / "b", "--as-published", "depthlm")
    assert manifest["kinds"] == ["distance"] and manifest["range_m"] == [0.05, 50.0]
    column, row = np.round(np.array(records[1].pixels)).astype(int).T
    np.testing.assert_allclose(records[1].label_m, told_distance(1)[row, column], atol=0.001)


def test_a_split_without_scenes_or_without_a_list_is_refused(root):
    with pytest.raises(InputError, match="scenes_val.txt"):
        SETS["matterport"](root, "val")
    with pytest.raises(InputError, match="scenes_test.txt"):
        SETS["matterport"](root, "test")
    (root / "scenes_test.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="scenes_test.txt"):
        SETS["matterport"](root, "test")
