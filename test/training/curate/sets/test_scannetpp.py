# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""ScanNet++: scenes in its layout, written here, against computed distances."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from testing.layouts.scannetpp import (
    CELLS,
    EYE,
    HEIGHT,
    WIDTH,
    cell_pixels,
    phone_rays,
    write,
    z_of,
)
from testing.planes import before, brown, remove

from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError
from training.curate.__main__ import main
from training.curate.sample import Skip
from training.curate.sets.scannetpp import Scannetpp

LENS = {"k1": 0.061, "k2": -0.12, "p1": 0.0007, "p2": -0.0004}
RENDERED_K = (1441.5, 1440.9, 968.2, 717.4)  # COLMAP's, from a corner


def rendered_rays():
    """Every twentieth pixel through the distorted lens."""
    v, u = np.mgrid[0:HEIGHT:20, 0:WIDTH:20]
    fx, fy, cx, cy = RENDERED_K
    bent = np.stack([(u.ravel() + 0.5 - cx) / fx, (v.ravel() + 0.5 - cy) / fy], axis=1)
    xy = before(lambda xy: brown(xy, **LENS), bent)
    return np.concatenate([xy, np.ones((len(xy), 1))], axis=1), u.ravel(), v.ravel()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("scannetpp")
    write(root)
    return root


def test_phone_map_is_z_through_the_frame_matrix(root):
    data_set = Scannetpp(root, "val")
    keys = data_set.keys()
    assert keys == [("09c1414f1b", f"frame_{frame}") for frame in EYE]
    for frame, key in zip(EYE, keys, strict=True):
        sample = data_set.read(key)
        assert (sample.scene, sample.kind, sample.depth.shape) == (key[0], "z", CELLS[::-1])
        assert np.isnan(sample.depth[:2]).all()
        rays = sample.camera.rays(cell_pixels())
        metres = (sample.depth.ravel() / rays[:, 2])[2 * CELLS[0] :]
        expected = (z_of(frame, phone_rays()) * np.linalg.norm(phone_rays(), axis=1))[
            2 * CELLS[0] :
        ]
        np.testing.assert_allclose(metres, expected, atol=1e-3)
        z_m = z_of(frame, phone_rays())[2 * CELLS[0] :]
        assert np.abs(expected / z_m - 1).max() > 0.15  # so the two are told apart


def test_labels_on_disk_are_those_of_the_room(tmp_path):
    """Through the command line, with images of the layout's own size."""
    write(tmp_path, size=(WIDTH, HEIGHT))
    out = tmp_path / "out"
    main(["scannetpp", "--root", str(tmp_path), "--split=val", "--out", str(out), "--workers=1"])
    records = list(Records(out / "00000.jsonl"))
    assert len(records) == len(EYE)
    for frame, record in zip(EYE, records, strict=True):
        rays = record.camera.rays(record.pixels)
        z_m = z_of(frame, rays / rays[:, 2:])
        assert len(record) == 100 and record.kind == "z" and record.scene == "09c1414f1b"
        assert np.abs(record.label_m - z_m).max() < 1e-3  # of the layout


def test_rendered_map_is_taken_with_its_lens(root, tmp_path):
    copied = tmp_path / "root"
    shutil.copytree(root, copied)
    folder = copied / "data" / "09c1414f1b" / "iphone"
    (folder / "render_depth").mkdir()
    (folder / "colmap").mkdir()
    lens = " ".join(map(str, (*RENDERED_K, *LENS.values())))
    (folder / "colmap" / "cameras.txt").write_text(
        f"# Cameras\n1 OPENCV {WIDTH} {HEIGHT} {lens}\n"
    )
    rays, u, v = rendered_rays()
    z_m = z_of("000010", rays)
    raw = np.zeros((HEIGHT, WIDTH), np.uint16)
    raw[v, u] = np.round(z_m * 1000)
    Image.fromarray(raw).save(folder / "render_depth" / "frame_000010.png")
    (folder / "rgb_masks").mkdir()
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[:, :480] = 0
    Image.fromarray(mask).save(folder / "rgb_masks" / "frame_000010.png")
    Image.fromarray(mask).save(folder / "rgb_masks" / "frame_000000.png")

    sample = Scannetpp(copied, "val").read(("09c1414f1b", "frame_000010"))
    assert sample.depth.shape == (HEIGHT, WIDTH)
    seen = np.stack([u, v], axis=1)
    points = sample.camera.rays(seen) / sample.camera.rays(seen)[:, 2:]
    np.testing.assert_allclose(points, rays, atol=1e-6)
    open_ = u >= 480
    np.testing.assert_allclose(sample.depth[v[open_], u[open_]], z_m[open_], atol=1e-3)
    assert np.isnan(sample.depth[:, :480]).all()
    other = Scannetpp(copied, "val").read(("09c1414f1b", "frame_000000"))
    assert np.isnan(other.depth[:, :64]).all() and np.isfinite(other.depth[2:, 64:]).all()
    published = Scannetpp(copied, "val", "depthvlm").read(("09c1414f1b", "frame_000010"))
    assert published.depth.shape == CELLS[::-1]
    assert np.isfinite(published.depth[2:]).all()  # DepthVLM looks at no masks


def test_published_depthlm_adds_squares_of_unlike_things(root):
    sample = Scannetpp(root, "train", "depthlm").read(("02455b3d20", "frame_000060"))
    x, y, _ = phone_rays((1427.4375, 1427.4375, 959.5, 719.5)).T
    z_m = z_of("000060", phone_rays())
    expected = np.sqrt(x**2 + y**2 + z_m**2)[2 * CELLS[0] :]
    np.testing.assert_allclose(sample.depth.ravel()[2 * CELLS[0] :], expected, atol=1e-3)
    assert (sample.kind, sample.camera.fx) == ("distance", 1427.4375)


def test_splits(root):
    train = Scannetpp(root, "train").keys()
    assert [scene for scene, _ in train] == ["0a7cc12c0e"] * 3 + ["02455b3d20"] * 3
    steps = Scannetpp(root, "train", "depthvlm").keys()
    assert {frame for _, frame in steps} == {"frame_000000", "frame_000060"}
    held_out = list(Scannetpp(root, "val", "depthlm").keys())
    assert held_out == [("0a7cc12c0e", "frame_000060")]
    kept = Scannetpp(root, "train", "depthlm").keys()
    assert len(kept) == 8 and held_out[0] not in kept


def shorten(pattern, length=2000):
    def damage(folder):
        for path in folder.glob(pattern):
            path.write_bytes(path.read_bytes()[:length])

    return damage


def eight_bits(folder):
    Image.new("L", CELLS, 7).save(folder / "depth" / "frame_000010.png")


def matrix(value):
    def damage(folder):
        text = json.dumps({"frame_000010": {"intrinsic": value}})
        (folder / "pose_intrinsic_imu.json").write_text(text)

    return damage


def cut_lens(folder):
    (folder / "colmap").mkdir()
    (folder / "colmap" / "cameras.txt").write_text("# Cameras\n1 OPENCV 19")


def no_lens(folder):
    (folder / "colmap").mkdir()
    (folder / "colmap" / "cameras.txt").write_text("# Cameras\n")


def bad_mask(folder):
    (folder / "rgb_masks").mkdir()
    (folder / "rgb_masks" / "frame_000010.png").write_bytes(b"\x89PNG")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (remove("rgb/*"), "no image file"),
        (remove("depth/*"), "no depth file"),
        (shorten("depth/*"), "truncated depth"),
        (eight_bits, "not a depth image"),
        (remove("*.json"), "no calibration"),
        (shorten("*.json", 20), "no calibration"),
        (matrix(None), "no calibration"),
        (matrix([[0, 0, 1], [0, 0, 1], [0, 0, 1]]), "no calibration"),
        (cut_lens, "no calibration"),
        (no_lens, "no calibration"),
        (bad_mask, "truncated mask"),
    ],
)
def test_broken_frames_are_skipped_with_a_reason(root, tmp_path, damage, reason):
    copied = tmp_path / "root"
    shutil.copytree(root, copied)
    data_set = Scannetpp(copied, "val")
    damage(copied / "data" / "09c1414f1b" / "iphone")
    with pytest.raises(Skip) as skipped:
        data_set.read(("09c1414f1b", "frame_000010"))
    assert skipped.value.reason == reason


def test_a_scene_whose_video_is_not_unpacked_is_skipped(root, tmp_path):
    copied = tmp_path / "root"
    shutil.copytree(root, copied)
    phone = copied / "data" / "02455b3d20" / "iphone"
    shutil.rmtree(phone / "rgb")
    (phone / "rgb.mkv").touch()
    data_set = Scannetpp(copied, "train")
    keys = data_set.keys()
    assert [scene for scene, _ in keys] == ["0a7cc12c0e"] * 3 + ["02455b3d20"]
    with pytest.raises(Skip, match="prepare_iphone_data") as skipped:
        data_set.read(keys[-1])
    assert skipped.value.reason == "no image file"
    published = Scannetpp(copied, "train", "depthlm").keys()
    assert "02455b3d20" not in {scene for scene, _ in published}


def test_other_files_and_lists_are_no_frames(root, tmp_path):
    copied = tmp_path / "root"
    shutil.copytree(root, copied)
    (copied / "data" / "09c1414f1b" / "iphone" / "rgb" / "frame_mean.jpg").touch()
    assert len(Scannetpp(copied, "val").keys()) == len(EYE)
    listed = copied / "splits" / "nvs_sem_val.txt"
    listed.write_bytes(b"\xef\xbb\xbf" + listed.read_bytes())  # as editors of Windows begin
    assert len(Scannetpp(copied, "val").keys()) == len(EYE)
    listed.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="nvs_sem_val.txt"):
        Scannetpp(copied, "val").keys()


def test_what_is_no_data_set_is_refused(root, tmp_path):
    with pytest.raises(InputError, match="nvs_sem_train"):
        Scannetpp(tmp_path)
    with pytest.raises(InputError, match="pose_intrinsic_imu"):
        Scannetpp(tmp_path, "train", "depthlm")
    with pytest.raises(InputError, match="allowed"):
        Scannetpp(root, "test")
