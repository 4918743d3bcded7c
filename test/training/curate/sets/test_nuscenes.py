# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""nuScenes: tables and files in its layout, written here, against computed distances."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from testing.planes import (
    OPTICAL,
    car,
    far_from_home,
    moved,
    pinhole,
    placed,
    quaternion,
    reach,
    remove,
    scan,
    turn,
    with_twins,
)

from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError
from training.curate.__main__ import main
from training.curate.sample import Skip
from training.curate.sets.nuscenes import Nuscenes

START = 1532402927600000  # microseconds
SIZE, K = (96, 54), (75.6, 75.9, 49.0, 29.5)
MOUNT = {
    "CAM_FRONT": placed(turn(0.1, 0.03, 0.12) @ OPTICAL, (1.7, 0, 1.5)),
    "CAM_BACK": placed(turn(3.1, 0.02, -0.05) @ OPTICAL, (0, 0, 1.55)),
    "LIDAR_TOP": placed(turn(-1.57, 0.01, 0.02), (0.94, 0, 1.84)),
    "RADAR_FRONT": placed(np.eye(3), (3.4, 0, 0.5)),
}
LATE_US = {"CAM_FRONT": 13_000, "CAM_BACK": -38_000, "LIDAR_TOP": 0, "RADAR_FRONT": 5_000}


def write_set(root, version, scenes):
    """One scene after the other with two samples each; rows between the keyframes too."""
    tables = {name: [] for name in ("sample", "sample_data", "calibrated_sensor", "ego_pose")}
    tables |= {"scene": [], "sensor": []}
    for channel, mount in MOUNT.items():
        fx, fy, cx, cy = K
        k = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] if channel.startswith("CAM") else []
        tables["sensor"].append({"token": f"s-{channel}", "channel": channel, "modality": ""})
        tables["calibrated_sensor"].append(
            {
                "token": f"c-{channel}",
                "sensor_token": f"s-{channel}",
                "translation": mount[:3, 3].tolist(),
                "rotation": quaternion(mount[:3, :3]).tolist(),
                "camera_intrinsic": k,
            }
        )
    for number, name in enumerate(scenes):
        tables["scene"].append({"token": f"scene-token-{number}", "name": name})
        for i in range(2):
            token = f"{name}-{i}"
            tables["sample"].append({"token": token, "scene_token": f"scene-token-{number}"})
            for channel in MOUNT:
                for key_frame in (True, False):
                    write_datum(root, tables, token, channel, 0.5 * i, key_frame)
    folder = root / version
    folder.mkdir(parents=True)
    for table, rows in tables.items():
        (folder / f"{table}.json").write_text(json.dumps(rows))


def write_datum(root, tables, sample, channel, seconds, key_frame):
    name = f"{sample}-{channel}-{key_frame}"
    suffix = "jpg" if channel.startswith("CAM") else "pcd.bin"
    file = f"samples/{channel}/{name}.{suffix}"
    seconds += LATE_US[channel] / 1e6 + (0 if key_frame else 0.2)
    stands = far_from_home(car(seconds))
    tables["ego_pose"].append(
        {
            "token": f"e-{name}",
            "timestamp": START,
            "rotation": quaternion(stands[:3, :3]).tolist(),
            "translation": stands[:3, 3].tolist(),
        }
    )
    tables["sample_data"].append(
        {
            "token": name,
            "sample_token": sample,
            "ego_pose_token": f"e-{name}",
            "calibrated_sensor_token": f"c-{channel}",
            "filename": file,
            "width": SIZE[0] if suffix == "jpg" else 0,
            "height": SIZE[1] if suffix == "jpg" else 0,
            "timestamp": START + round(seconds * 1e6),
            "is_key_frame": key_frame,
        }
    )
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == "jpg":
        Image.new("RGB", SIZE, (90, 120, 30)).save(path)
    elif channel == "LIDAR_TOP":
        points = np.zeros((len(seen(seconds)), 5), "<f4")
        points[:, :3] = moved(np.linalg.inv(car(seconds) @ MOUNT["LIDAR_TOP"]), seen(seconds))
        points.tofile(path)


def seen(seconds):
    eye = car(seconds) @ MOUNT["CAM_BACK"]  # where the published scripts take it to be
    return with_twins(scan(car(seconds) @ MOUNT["LIDAR_TOP"]), eye[:3, 3])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """scene-0001 is of train, 0003 of val, 0061 of train and of the mini set."""
    root = tmp_path_factory.mktemp("nuscenes")
    write_set(root, "v1.0-trainval", ["scene-0001", "scene-0003", "scene-0061"])
    shutil.copytree(root / "v1.0-trainval", root / "v1.0-mini")
    return root


@pytest.mark.parametrize("channel", ["CAM_FRONT", "CAM_BACK"])
def test_points_stand_where_the_camera_saw_them_from(root, channel):
    data_set = Nuscenes(root, "val")
    every = data_set.keys()
    keys = [key for key in every if key[2] == channel]
    assert [key[:2] for key in keys] == [("scene-0003", f"scene-0003-{i}") for i in (0, 1)]
    for i, key in enumerate(keys):
        sample = data_set.read(key)
        then = 0.5 * i + LATE_US[channel] / 1e6
        points = moved(np.linalg.inv(car(then) @ MOUNT[channel]), seen(0.5 * i))
        points = points[points[:, 2] > 1]
        np.testing.assert_allclose(sample.points, points, atol=1e-4)
        pixels = sample.camera.pixels(sample.points)
        np.testing.assert_allclose(pixels, pinhole(points, *K), atol=0.05)
        assert (sample.scene, sample.kind, sample.camera.distortion) == ("scene-0003", "z", "none")
        assert sample.time_gap_s == pytest.approx(abs(LATE_US[channel]) / 1e6)


def test_labels_on_disk_are_those_of_the_first_surface(root, tmp_path):
    """Through the command line, with two processes."""
    out = tmp_path / "out"
    main(["nuscenes", "--root", str(root), "--split=val", "--out", str(out), "--workers=2"])
    records = list(Records(out / "00000.jsonl"))
    assert len(records) == 4
    for record in records:
        sample, channel = record.image.parent.name, record.image.stem
        eye = car(0.5 * int(sample[-1]) + LATE_US[channel] / 1e6) @ MOUNT[channel]
        rays = record.camera.rays(record.pixels)
        z_m = reach(eye[:3, 3], rays @ eye[:3, :3].T) * rays[:, 2]
        assert len(record) == 100 and record.kind == "z" and record.scene == "scene-0003"
        assert np.quantile(np.abs(record.label_m - z_m), 0.9) < 1e-2  # pixels are written to 0.01


def test_published_labels_leave_out_how_the_car_moved(root):
    data_set = Nuscenes(root, "val", "depthvlm")
    keys = data_set.keys()
    key = next(key for key in keys if key[1:3] == ("scene-0003-1", "CAM_BACK"))
    sample = data_set.read(key)
    stored = moved(np.linalg.inv(car(0.5)), seen(0.5))
    points = moved(np.linalg.inv(MOUNT["CAM_BACK"]), stored)
    points = points[points[:, 2] > 0]
    expected = {}
    for z, (u, v) in zip(points[:, 2], pinhole(points, *K), strict=True):
        if 0 <= u < SIZE[0] and 0 <= v < SIZE[1]:
            cell = int(v), int(u)
            expected[cell] = min(z, expected.get(cell, np.inf))
    rows, columns = np.nonzero(np.isfinite(sample.depth))
    found = dict(
        zip(
            zip(rows.tolist(), columns.tolist(), strict=True),
            sample.depth[rows, columns].tolist(),
            strict=True,
        )
    )
    assert len(expected) > 50 and sample.kind == "z"
    assert len(found.keys() ^ expected.keys()) <= 2  # float32 on the edge of a pixel
    same = found.keys() & expected.keys()
    off = [abs(found[cell] - expected[cell]) for cell in same]
    assert np.quantile(off, 0.97) < 1e-4
    right = Nuscenes(root, "val").read(key)
    moved_on = np.linalg.norm(right.points[right.points[:, 2] > 0][:50] - points[:50], axis=1)
    assert moved_on.min() > 0.1  # 38 ms at 9 m/s


def test_what_the_lidar_sees_of_a_camera_is_no_label(root, tmp_path):
    """The devkit's projection has no points within 1 m of a camera; the papers' labels do."""
    copied = tmp_path / "root"
    shutil.copytree(root, copied)
    keys = Nuscenes(root, "val").keys()
    key = next(key for key in keys if key[2] == "CAM_FRONT")
    casing = np.array([[0.1, 0.05, 0.6], [0.1, 0.05, 0.9]])  # before the camera, in its frame
    sweep = copied / key[4].file
    stored = np.zeros((2, 5), "<f4")
    then = LATE_US["CAM_FRONT"] / 1e6
    world = moved(car(then) @ MOUNT["CAM_FRONT"], casing)
    stored[:, :3] = moved(np.linalg.inv(car(0.0) @ MOUNT["LIDAR_TOP"]), world)
    sweep.write_bytes(sweep.read_bytes() + stored.tobytes())
    data_set, published = Nuscenes(copied, "val"), Nuscenes(copied, "val", "depthvlm")
    points = data_set.read(key).points
    assert len(points) == len(Nuscenes(root, "val").read(key).points)
    assert points[:, 2].min() > 1
    assert np.nanmin(published.read(key).depth) < 0.9
    assert (data_set.range_m, published.range_m) == ((1.0, 80.0), (0.05, 80.0))


def scenes(data_set):
    keys = data_set.keys()
    return [key[0] for key in keys if key[2] == "CAM_FRONT"]


@pytest.mark.parametrize(
    ("split", "published", "expected"),
    [
        ("train", "", ["scene-0001"] * 2 + ["scene-0061"] * 2),
        ("val", "", ["scene-0003"] * 2),
        ("mini_train", "", ["scene-0061"] * 2),
        ("mini_val", "", []),
        ("train", "depthlm", ["scene-0001"] * 2 + ["scene-0003"] * 2),
        ("val", "depthlm", ["scene-0061"]),
        ("train", "depthvlm", ["scene-0001"] * 2 + ["scene-0061"] * 2),
    ],
)
def test_splits(root, split, published, expected):
    assert scenes(Nuscenes(root, split, published)) == expected


def test_other_versions_are_refused(root, tmp_path):
    with pytest.raises(InputError, match="v1.0-test.*--split train, val, mini_train, mini_val"):
        Nuscenes(root, "test")
    (tmp_path / "v1.0-mini").mkdir()
    with pytest.raises(InputError, match="v1.0-trainval.*--split mini_train, mini_val$"):
        Nuscenes(tmp_path)
    with pytest.raises(InputError, match="allowed"):
        Nuscenes(root, "v2")


def edit(table, change):
    def damage(root):
        path = root / "v1.0-trainval" / f"{table}.json"
        rows = json.loads(path.read_text())
        change(rows)
        path.write_text(json.dumps(rows))

    return damage


def shorten(root):
    for path in root.glob("samples/LIDAR_TOP/*.bin"):
        path.write_bytes(path.read_bytes()[:-7])


def empty(root):
    for path in root.glob("samples/LIDAR_TOP/*.bin"):
        path.write_bytes(b"")


def unsaid(rows):
    rows[:] = [row for row in rows if row["token"] != "c-CAM_FRONT"]


def no_matrix(rows):
    for row in rows:
        row["camera_intrinsic"] = []


def no_rotation(rows):
    for row in rows:
        row["rotation"] = [float("nan"), 0, 0, 1]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (remove("samples/CAM_FRONT/*.jpg"), "no image file"),
        (remove("samples/LIDAR_TOP/*.bin"), "no sweep"),
        (shorten, "truncated sweep"),
        (empty, "no points"),
        (edit("calibrated_sensor", unsaid), "no calibration"),
        (edit("calibrated_sensor", no_matrix), "no calibration"),
        (edit("ego_pose", no_rotation), "broken pose"),
        (edit("ego_pose", list.clear), "no pose"),
    ],
)
def test_broken_files_are_skipped_with_a_reason(root, tmp_path, damage, reason):
    copied = tmp_path / "root"
    shutil.copytree(root, copied)
    key = Nuscenes(root, "val").keys()[0]
    if reason in ("no pose", "broken pose"):
        damage(copied)
        key = Nuscenes(copied, "val").keys()[0]
    damage(copied)
    with pytest.raises(Skip) as skipped:
        Nuscenes(copied, "val").read(key)
    assert skipped.value.reason == reason


@pytest.mark.parametrize("table", ["sample_data", "sample", "scene", "ego_pose"])
@pytest.mark.parametrize("text", ["[{", '{"token": 1}', '[{"token": "x"}]', "[1]"])
def test_broken_tables_are_refused(root, tmp_path, table, text):
    copied = tmp_path / "root"
    shutil.copytree(root, copied)
    path = copied / "v1.0-trainval" / f"{table}.json"
    if table == "ego_pose":  # of which only rows that are needed are kept
        text = text.replace("x", json.loads(path.read_text())[0]["token"])
    path.write_text(text)
    with pytest.raises(InputError, match=f"{table}.json"):
        Nuscenes(copied, "val").keys()


def test_a_calibration_without_its_fields_is_refused(root, tmp_path):
    copied = tmp_path / "root"
    shutil.copytree(root, copied)
    data_set = Nuscenes(copied, "val")
    (copied / "v1.0-trainval" / "calibrated_sensor.json").write_text('[{"token": "c-CAM_FRONT"}]')
    with pytest.raises(InputError, match="calibrated_sensor.json.*rotation"):
        data_set.read(data_set.keys()[0])


@pytest.mark.parametrize("field, value", [("name", "night drive"), ("token", "another")])
def test_scenes_that_belong_to_no_split_are_refused(root, tmp_path, field, value):
    copied = tmp_path / "root"
    shutil.copytree(root, copied)
    edit("scene", lambda rows: rows[0].update({field: value}))(copied)
    with pytest.raises(InputError, match="scene.json"):
        Nuscenes(copied, "val").keys()
