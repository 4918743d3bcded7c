# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""DDAD: scenes in DGP's layout, written here, against computed distances."""

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
from training.curate.sets.ddad import Ddad

SIZE, K = (96, 60), (88.0, 87.5, 46.1, 31.0, 0.9)  # fx fy cx cy skew
MOUNT = {
    "LIDAR": np.eye(4),
    "CAMERA_01": placed(turn(0.02, 0.04, 0.03) @ OPTICAL, (1.65, 0.24, 1.35)),
    "CAMERA_06": placed(turn(-1.0, 0.01, -0.09) @ OPTICAL, (1.64, -0.45, 1.37)),
}
FILE = {"LIDAR": "point_cloud/LIDAR/{}.npz"}
LATE_S = {"LIDAR": 0.0, "CAMERA_01": 0.2115, "CAMERA_06": 0.091}
SCENES = {"0": ["000000", "000001"], "1": ["000150"]}


def seen(seconds):
    """From the roof, in the world; the cloud is kept in the frame of the car."""
    eye = car(seconds + LATE_S["CAMERA_06"]) @ MOUNT["CAMERA_06"]
    return with_twins(scan(car(seconds) @ placed(np.eye(3), (1, 0, 1.9))), eye[:3, 3])


def pose_of(pose):
    return {
        "rotation": dict(zip(("qw", "qx", "qy", "qz"), quaternion(pose[:3, :3]), strict=True)),
        "translation": dict(zip("xyz", pose[:3, 3].tolist(), strict=True)),
    }


def write_scene(folder):
    data, samples = [], []
    for i in range(2):
        keys = []
        for name, mount in MOUNT.items():
            then = 0.1 * i + LATE_S[name]
            file = FILE.get(name, f"rgb/{name}/{{}}.png").format(15569195938203752 + i)
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            shown = {"filename": file, "pose": pose_of(far_from_home(car(then) @ mount))}
            if name == "LIDAR":
                local = moved(np.linalg.inv(car(then)), seen(then))
                np.savez(path, data=np.concatenate([local, np.ones((len(local), 1))], axis=1))
                datum = {"point_cloud": {**shown, "point_format": ["X", "Y", "Z", "INTENSITY"]}}
            else:
                Image.new("RGB", SIZE, (30, 60, 90)).save(path)
                datum = {"image": {**shown, "width": SIZE[0], "height": SIZE[1], "channels": 3}}
            stamp = f"2019-09-30T16:11:{38 + then:09.6f}Z"
            keys.append(f"{name}-{i}")
            data.append(
                {"key": keys[-1], "id": {"name": name, "timestamp": stamp}, "datum": datum}
            )
        samples.append({"calibration_key": "c0e1", "datum_keys": keys, "id": {"index": str(i)}})
    (folder / "scene_a8dc.json").write_text(json.dumps({"data": data, "samples": samples}))
    intrinsics = dict(zip(("fx", "fy", "cx", "cy", "skew"), K, strict=True))
    nothing = dict.fromkeys(intrinsics, 0.0)
    calibration = {
        "names": list(MOUNT),
        "intrinsics": [nothing, intrinsics, intrinsics],
        "extrinsics": [pose_of(mount) for mount in MOUNT.values()],
    }
    (folder / "calibration").mkdir()
    (folder / "calibration" / "c0e1.json").write_text(json.dumps(calibration))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("ddad")
    for name in (name for names in SCENES.values() for name in names):
        (root / name).mkdir()
        write_scene(root / name)
    splits = {
        split: {"filenames": [f"{name}/scene_a8dc.json" for name in names]}
        for split, names in SCENES.items()
    }
    (root / "ddad.json").write_text(json.dumps({"scene_splits": splits}))
    return root


def truth(name, number):
    """The points in the camera's frame at its time, and their pixels."""
    then = 0.1 * number + LATE_S[name]
    points = moved(np.linalg.inv(car(then) @ MOUNT[name]), seen(0.1 * number))
    return points, pinhole(points, *K)


@pytest.mark.parametrize("name", ["CAMERA_01", "CAMERA_06"])
def test_points_stand_where_the_camera_saw_them_from(root, name):
    data_set = Ddad(root, "val")
    keys = [key for key in list(data_set.keys()) if key[2] == name]
    assert [key[:2] for key in keys] == [("000150/scene_a8dc.json", i) for i in (0, 1)]
    for number, key in enumerate(keys):
        sample = data_set.read(key)
        points, pixels = truth(name, number)
        np.testing.assert_allclose(sample.points, points, atol=1e-6)
        front = points[:, 2] > 0.1
        np.testing.assert_allclose(sample.camera.pixels(points)[front], pixels[front], atol=1e-6)
        assert (sample.scene, sample.kind) == ("000150", "z")
        assert sample.time_gap_s == pytest.approx(LATE_S[name], abs=2e-6)


def test_labels_on_disk_are_those_of_the_first_surface(root, tmp_path):
    """Through the command line."""
    out = tmp_path / "out"
    main(["ddad", "--root", str(root), "--split=val", "--out", str(out), "--workers=1"])
    records = list(Records(out / "00000.jsonl"))
    assert len(records) == 4
    for i, record in enumerate(records):
        name = record.image.parent.name
        eye = car(0.1 * (i // 2) + LATE_S[name]) @ MOUNT[name]
        rays = record.camera.rays(record.pixels)
        z_m = reach(eye[:3, 3], rays @ eye[:3, :3].T) * rays[:, 2]
        assert len(record) == 100 and record.kind == "z" and record.scene == "000150"
        assert np.quantile(np.abs(record.label_m - z_m), 0.9) < 1e-2  # pixels are written to 0.01


def test_splits(root):
    assert len(Ddad(root, "train").keys()) == 8
    assert len(Ddad(root / "ddad.json", "val").keys()) == 4


def test_published_labels_keep_the_last_point_of_a_pixel(root):
    sample = Ddad(root, "val", "depthlm").read(("000150/scene_a8dc.json", 1, "CAMERA_06"))
    points, pixels = truth("CAMERA_06", 1)
    expected = np.zeros(SIZE[::-1])
    for z, (u, v) in zip(points[:, 2], pixels, strict=True):
        if z > 0 and -1 < u < SIZE[0] and -1 < v < SIZE[1]:
            expected[int(v), int(u)] = z
    assert (expected > 0).sum() > 50 and sample.kind == "z"
    np.testing.assert_allclose(np.nan_to_num(sample.depth), expected, atol=1e-4)


def test_real_points_stand_where_dgp_projects_them(root, tmp_path):
    """Real numbers: poses, intrinsics and three points of the scene in DGP's tests/data, and where
    its own Camera projects them."""
    copied = tmp_path / "root"
    shutil.copytree(root, copied)
    folder = copied / "000150"
    poses = {
        "LIDAR": (
            (0.28545389542589, -0.004540543911506, -0.007592118056907001, 0.9583516143830411),
            (400.8593689910042, -259.6111707515531, 12.499000373030404),
        ),
        "CAMERA_06": (  # CAMERA_05 there
            (0.393528631377736, -0.405333738513162, -0.58956103524471, 0.57728464593309),
            (399.2478405458886, -259.05241435786394, 13.848335528679026),
        ),
    }
    measured = [
        (1.6662349913808043, 5.309553709700508, -0.055861849849632605),
        (14.971502489791988, 5.6302372894236985, 0.13895952239053067),
        (26.057107941851598, 32.204872572377624, 0.39318792727021545),
    ]
    projected = [(190.05354670, 995.74610203), (1627.78784344, 715.27323899), (974.5984, 640.0048)]
    z_m = [4.019228832618921, 12.025880811197965, 40.08297459445532]

    def put(content):
        for datum in content["data"]:
            if datum["key"] in ("LIDAR-0", "CAMERA_06-0"):
                quaternion, place = poses[datum["id"]["name"]]
                (shown,) = datum["datum"].values()
                rotation = dict(zip(("qw", "qx", "qy", "qz"), quaternion, strict=True))
                shown["pose"] = {
                    "rotation": rotation,
                    "translation": dict(zip("xyz", place, strict=True)),
                }
                shown.update(width=1936, height=1216)

    def calibrate(content):
        content["intrinsics"][2] = {
            "fx": 1062.3648601535501, "fy": 1056.7635782913833,
            "cx": 939.4697803032266, "cy": 622.4747956076209, "skew": 0.0,
        }  # fmt: skip

    edit("scene_a8dc.json", put)(folder)
    edit("calibration/c0e1.json", calibrate)(folder)
    for path in folder.glob("point_cloud/LIDAR/*.npz"):
        np.savez(path, data=np.array(measured))
    sample = Ddad(copied, "val").read(("000150/scene_a8dc.json", 0, "CAMERA_06"))
    np.testing.assert_allclose(sample.points[:, 2], z_m, atol=1e-4)  # float32 in DGP
    np.testing.assert_allclose(sample.camera.pixels(sample.points), projected, atol=0.01)


def test_points_on_the_car_itself_are_left_out_by_a_mask(root, tmp_path):
    """In SurroundDepth's layout, of three channels, and not black where the car is seen."""
    copied = tmp_path / "root"
    shutil.copytree(root, copied)
    path = copied / "mask" / "CAMERA_06" / "000150" / "mask.png"
    path.parent.mkdir(parents=True)
    mask = np.zeros((*SIZE[::-1], 3), np.uint8)
    mask[40:] = 255
    Image.fromarray(mask).save(path)
    key = ("000150/scene_a8dc.json", 0, "CAMERA_06")
    sample = Ddad(copied, "val").read(key)
    points, (u, v) = truth("CAMERA_06", 0)[0], truth("CAMERA_06", 0)[1].T
    inside = (points[:, 2] > 0) & (u > -0.5) & (u < SIZE[0] - 0.5) & (v > -0.5)
    assert len(sample.points) == (inside & (v < 39.5)).sum()
    assert reason(copied, (*key[:2], "CAMERA_01")) == "no mask file"
    path = copied / "mask" / "CAMERA_01" / "000150" / "mask.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(mask[1:]).save(path)
    assert reason(copied, (*key[:2], "CAMERA_01")) == "sizes differ"


def reason(root, key):
    with pytest.raises(Skip) as skipped:
        Ddad(root, "val").read(key)
    return skipped.value.reason


def edit(name, change):
    def damage(scene):
        content = json.loads((scene / name).read_text())
        change(content)
        (scene / name).write_text(json.dumps(content))

    return damage


def write(name, text):
    def damage(scene):
        (scene / name).write_text(text)

    return damage


def rewrite(content):
    def damage(scene):
        for path in scene.glob("point_cloud/LIDAR/*.npz"):
            np.savez(path, **content)

    return damage


def shorten(scene):
    for path in scene.glob("point_cloud/LIDAR/*.npz"):
        path.write_bytes(path.read_bytes()[:5000])


def no_pose(content):
    del content["data"][1]["datum"]["image"]["pose"]


def nan_pose(content):
    content["data"][0]["datum"]["point_cloud"]["pose"]["translation"]["x"] = float("nan")


def no_lidar(content):
    content["samples"][0]["datum_keys"].pop(0)


def other_name(content):
    content["names"][1] = "CAMERA_02"


def bent(content):
    content["intrinsics"][1]["k1"] = 0.1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (remove("rgb/CAMERA_01/*.png"), "no image file"),
        (remove("point_cloud/LIDAR/*.npz"), "no sweep"),
        (edit("scene_a8dc.json", no_lidar), "no sweep"),
        (shorten, "truncated sweep"),
        (rewrite({"points": np.ones((3, 4))}), "truncated sweep"),
        (rewrite({"data": np.ones((0, 4))}), "no points"),
        (rewrite({"data": np.full((9, 4), np.nan)}), "no points"),
        (edit("scene_a8dc.json", no_pose), "no pose"),
        (edit("scene_a8dc.json", nan_pose), "broken pose"),
        (remove("calibration/*.json"), "no calibration"),
        (write("calibration/c0e1.json", "{"), "no calibration"),
        (edit("calibration/c0e1.json", other_name), "no calibration"),
        (edit("calibration/c0e1.json", bent), "unknown lens"),
    ],
)
def test_broken_scenes_are_skipped_with_a_reason(root, tmp_path, damage, reason):
    shutil.copytree(root, tmp_path / "root")
    damage(tmp_path / "root" / "000150")
    with pytest.raises(Skip) as skipped:
        Ddad(tmp_path / "root", "val").read(("000150/scene_a8dc.json", 0, "CAMERA_01"))
    assert skipped.value.reason == reason


def test_a_scene_that_was_not_downloaded_is_skipped(root, tmp_path):
    copied = tmp_path / "root"
    shutil.copytree(root, copied)
    (copied / "000000" / "scene_a8dc.json").unlink()
    data_set, reasons = Ddad(copied), []
    keys = data_set.keys()
    for key in keys:
        try:
            data_set.read(key)
        except Skip as skipped:
            reasons.append(skipped.reason)
    assert len(keys) == 5 and reasons == ["no scene file"]


def test_what_is_no_data_set_is_refused(root, tmp_path):
    with pytest.raises(InputError, match="ddad.json"):
        Ddad(tmp_path)
    with pytest.raises(InputError, match="allowed"):
        Ddad(root, "test")
    for text in (
        '{"scene_splits": {"1": {}}}',
        "[1]",
        "{",
        '{"scene_splits": {"0": {"filenames": 3}}}',
    ):
        (tmp_path / "ddad.json").write_text(text)
        with pytest.raises(InputError, match="ddad.json"):
            Ddad(tmp_path).keys()
    (tmp_path / "ddad.json").write_text('{"scene_splits": {"0": {"filenames": ["a.json"]}}}')
    (tmp_path / "a.json").write_text('{"data": []}')
    with pytest.raises(InputError, match="a.json"):
        Ddad(tmp_path).keys()
