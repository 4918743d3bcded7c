# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Argoverse 2: a log in its layout, written here, against the distances it was computed from."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather
from testing.layouts.argoverse2 import LOG, MOUNT, SHOT, SIZE, START, SWEEP, K, seconds, write_log
from testing.planes import car, moved, pinhole, reach

from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError
from training.curate.__main__ import main
from training.curate.sample import Skip
from training.curate.sets.argoverse2 import Argoverse2


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("av2")
    return root, *write_log(root / "val" / LOG)


def truth(world):
    """The world's points in the camera's frame at the image's time, and their pixels."""
    points = moved(np.linalg.inv(car(seconds(SHOT)) @ MOUNT), world)
    return points, pinhole(points, *K)


def test_points_stand_where_the_camera_saw_them_from(place):
    root, world, metres = place
    data_set = Argoverse2(root, "val")
    keys = data_set.keys()
    assert keys == [
        (LOG, "ring_front_center", SHOT),
        (LOG, "ring_front_center", START + 700_000_000),
    ]
    sample = data_set.read(keys[0])
    points, pixels = truth(world)
    np.testing.assert_allclose(sample.points, points, atol=1e-6)
    front = points[:, 2] > 0
    np.testing.assert_allclose(
        sample.camera.pixels(sample.points)[front], pixels[front], atol=1e-3
    )
    assert (sample.scene, sample.kind) == (LOG, "z")
    assert sample.time_gap_s == pytest.approx(0.031)
    # What the image shows there is as far away, but where the lidar looks behind the box.
    inside = front & (pixels > 1).all(axis=1) & (pixels < np.array(SIZE) - 2).all(axis=1)
    column, row = np.round(pixels[inside]).astype(int).T
    off = np.linalg.norm(sample.points[inside], axis=1) / metres[row, column] - 1
    assert inside.sum() > 40 and np.median(np.abs(off)) < 0.02


def test_labels_on_disk_are_those_of_the_first_surface(place, tmp_path):
    """Through the command line: a label is the z of what stands at its pixel, not behind it."""
    out = tmp_path / "out"
    main(
        ["argoverse2", "--root", str(place[0]), "--split", "val", "--out", str(out), "--workers=1"]
    )
    (record,) = Records(out / "00000.jsonl")
    eye = car(seconds(SHOT)) @ MOUNT
    rays = record.camera.rays(record.pixels)
    z_m = reach(eye[:3, 3], rays @ eye[:3, :3].T) * rays[:, 2]
    off = np.abs(np.array(record.label_m) - z_m)
    step = np.abs(place[1] - eye[:3, 3]).max() * 2.0**-10  # of float16
    assert len(off) > 40 and record.kind == "z"
    assert np.quantile(off, 0.95) < 4 * step  # the rest looks past an edge of the box
    skipped = json.loads((out / "manifest.json").read_text())["skipped"]
    assert skipped == {"no sweep at this time": 1}


@pytest.mark.parametrize(("published", "fourth"), [("depthlm", 0), ("depthvlm", 1)])
def test_published_labels_are_distances_of_the_last_point_of_a_pixel(place, published, fourth):
    """DepthVLM squares and sums all four numbers of the devkit's points, x y z 1."""
    root, world, _ = place
    key = (LOG, "ring_front_center", SHOT)
    sample = Argoverse2(root, "val", published).read(key)
    points, pixels = truth(world)
    expected = {}
    for point, (u, v) in zip(points, pixels, strict=True):
        if point[2] > 0 and 0 <= u < SIZE[0] - 1 and 0 <= v < SIZE[1] - 1:
            expected[round(v), round(u)] = np.linalg.norm([*point, fourth]), point[2]
    rows, columns = np.nonzero(np.isfinite(sample.depth))
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == set(expected)
    for (row, column), (distance, z) in expected.items():
        assert sample.depth[row, column] == pytest.approx(distance, abs=1e-3)
        assert distance >= z
    assert sample.kind == "distance"
    assert max(distance / z for distance, z in expected.values()) > 1.1


def test_other_cameras_and_splits(place):
    root = place[0]
    with pytest.raises(InputError, match="train"):
        Argoverse2(root, "train")
    with pytest.raises(InputError, match="nowhere"):
        Argoverse2(root, "nowhere")
    stereo = (LOG, "stereo_front_left", SHOT)
    folder = root / "val" / LOG / "sensors/cameras/stereo_front_left"
    folder.mkdir()
    try:
        shutil.copy(folder.parent / f"ring_front_center/{SHOT}.jpg", folder / f"{SHOT}.jpg")
        assert stereo in list(Argoverse2(root, "val").keys())
        assert stereo not in list(Argoverse2(root, "val", "depthlm").keys())
        with pytest.raises(Skip) as skipped:
            Argoverse2(root, "val").read(stereo)  # a log without this camera's calibration
        assert skipped.value.reason == "no calibration"
    finally:
        shutil.rmtree(folder)


def broken_pose(log):
    table = feather.read_table(log / "city_SE3_egovehicle.feather").to_pydict()
    table["qw"][1] = float("nan")
    feather.write_feather(pa.table(table), log / "city_SE3_egovehicle.feather")


def short_track(log):
    table = feather.read_table(log / "city_SE3_egovehicle.feather")
    feather.write_feather(table.slice(0, 2), log / "city_SE3_egovehicle.feather")


def empty_sweep(log):
    path = log / f"sensors/lidar/{SWEEP}.feather"
    feather.write_feather(feather.read_table(path).slice(0, 0), path)


def cut(name):
    def damage(log):
        path = log / name
        path.write_bytes(path.read_bytes()[:900])

    return damage


def gone(name):
    def damage(log):
        (log / name).unlink()

    return damage


def nameless(log):
    path = log / f"sensors/lidar/{SWEEP}.feather"
    feather.write_feather(feather.read_table(path).drop(["z"]), path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (gone(f"sensors/cameras/ring_front_center/{SHOT}.jpg"), "no image file"),
        (gone(f"sensors/lidar/{SWEEP}.feather"), "no sweep at this time"),
        (gone("calibration/intrinsics.feather"), "no calibration"),
        (cut("calibration/egovehicle_SE3_sensor.feather"), "no calibration"),
        (gone("city_SE3_egovehicle.feather"), "no poses"),
        (cut(f"sensors/lidar/{SWEEP}.feather"), "broken sweep"),
        (nameless, "broken sweep"),
        (empty_sweep, "no points"),
        (broken_pose, "broken pose"),
        (short_track, "no pose at this time"),
    ],
)
def test_broken_logs_are_skipped_with_a_reason(place, tmp_path, damage, reason):
    log = tmp_path / "val" / LOG
    shutil.copytree(place[0] / "val" / LOG, log)
    damage(log)
    with pytest.raises(Skip) as skipped:
        Argoverse2(tmp_path, "val").read((LOG, "ring_front_center", SHOT))
    assert skipped.value.reason == reason


def test_pose_between_two_samples_is_interpolated(place, tmp_path):
    """Image and sweep have no pose of their own, but there is one 7 ms before and after."""
    root, world, _ = place
    sample_stamp = START + 400_000_000
    shutil.copytree(root / "val" / LOG, tmp_path / "val" / LOG)
    cameras = tmp_path / "val" / LOG / "sensors/cameras/ring_front_center"
    (cameras / f"{SHOT}.jpg").rename(cameras / f"{sample_stamp + 5_000_000}.jpg")
    key = (LOG, "ring_front_center", sample_stamp + 5_000_000)
    sample = Argoverse2(tmp_path, "val").read(key)
    stored = moved(np.linalg.inv(car(seconds(SWEEP))), world)
    there = moved(car(seconds(sample_stamp)), stored)
    points = moved(np.linalg.inv(car(seconds(sample_stamp + 5_000_000)) @ MOUNT), there)
    assert np.abs(sample.points - points).max() < 2e-3
    assert sample.time_gap_s == pytest.approx(0.005)
