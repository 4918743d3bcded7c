# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest
from testing.robot import (
    CAMERA,
    START_NS,
    cloud_message,
    lidar_points,
    messages,
    tf_message,
    true_z,
    write_robot,
)

from depthlm_ros.data.records import Records
from training import synthetic
from training.curate import __main__ as command
from training.curate import writer
from training.curate.geometry import NS, pose
from training.curate.rectify import pinhole_of
from training.scenes import drive

pytest.importorskip("rosbags")
from rosbags.rosbag2 import StoragePlugin

AHEAD = (2.0, 0.0, 0.0)
TOPICS = {topic for _, topic, _ in messages("lidar", images=1)}


@pytest.fixture(autouse=True)
def short_estimate(monkeypatch):
    monkeypatch.setattr(writer, "MEASURED", 1)


def curated(recording, out, *options):
    command.main(["bag", str(recording), "--out", str(out), "--workers", "1", *options])
    return list(Records(f"{out}/*.jsonl")), json.loads((out / "manifest.json").read_text())


# 16UC1 counts millimetres; compressedDepth quantises the inverse: at 6 m to 1.8 cm.
SENSORS = {
    "lidar": 1e-3,
    "unregistered": 1e-3,
    "16UC1": 1.1e-3,
    "32FC1": 1e-3,
    "16UC1; compressedDepth png": 1.1e-3,
    "16UC1; compressedDepth rvl": 1.1e-3,
    "32FC1; compressedDepth png": 0.03,
}


@pytest.mark.parametrize("sensor", SENSORS)
def test_labels_are_the_wall_where_the_camera_sees_it_at_the_time_of_the_image(sensor, tmp_path):
    storage = StoragePlugin.SQLITE3 if sensor == "16UC1" else StoragePlugin.MCAP
    recording = write_robot(tmp_path / "drive", sensor, storage=storage)
    records, manifest = curated(recording, tmp_path / "out", "--depth")
    assert len(records) == 6 and not manifest["skipped"]
    assert manifest["longest_time_gap_s"] == pytest.approx(
        0.0 if ";" in sensor or "C1" in sensor else 0.03
    )
    for i, record in enumerate(records):
        stamp_ns = int(record.image.stem)
        assert stamp_ns == START_NS + i * NS // 2
        assert record.camera == pinhole_of(CAMERA) and record.kind == "z"
        assert record.scene == "drive" and len(record) == 100
        true = true_z(record.camera, record.pixels, stamp_ns)
        # Pixels are rounded to a hundredth: what the wall slants within that.
        slope = np.abs(true_z(record.camera, record.pixels + 0.005, stamp_ns) - true)
        assert (np.abs(record.label_m - true) <= SENSORS[sensor] + slope).all()
        depth = record.depth_map()
        v, u = np.nonzero(np.isfinite(depth))
        true = true_z(record.camera, np.stack([u, v], 1), stamp_ns)
        assert np.abs(depth[v, u] / true - 1).max() < 0.02  # within half a pixel
        assert len(u) > (2000 if sensor == "lidar" else 7000)


def test_without_ego_motion_the_labels_would_be_off(tmp_path):
    """That the test above can fail: at a standstill of TF the same sweep is centimetres off."""
    fixed = ["--fixed", "base_link"]
    recording = write_robot(tmp_path / "drive", "lidar")
    record = curated(recording, tmp_path / "out", *fixed)[0][0]
    true = true_z(record.camera, record.pixels, int(record.image.stem))
    assert np.median(np.abs(record.label_m - true)) > 0.02


def test_heldout_is_the_last_fifth_and_shares_nothing_with_train(tmp_path):
    recording = write_robot(tmp_path / "drive", "16UC1", images=12)
    stamps = {}
    for split in ("all", "train", "heldout"):
        records, _ = curated(recording, tmp_path / split, "--split", split)
        stamps[split] = {int(record.image.stem) for record in records}
    assert len(stamps["all"]) == 12
    assert stamps["train"] | stamps["heldout"] < stamps["all"]
    assert min(stamps["heldout"]) - max(stamps["train"]) >= NS
    assert len(stamps["heldout"]) == 3


def test_an_image_without_a_time_does_not_move_the_border(tmp_path):
    """As of a simulation whose clock had not begun."""
    spoilt = list(messages("16UC1", images=12))
    first = next(message for _, topic, message in spoilt if topic == "/eye/image_raw")
    first.header.stamp.sec = first.header.stamp.nanosec = 0
    topics = {topic for _, topic, _ in spoilt}
    recording = write_robot(tmp_path / "drive", "16UC1", topics, more=spoilt)
    assert len(curated(recording, tmp_path / "heldout", "--split", "heldout")[0]) == 3


def test_a_scene_that_stands_still_is_thinned(tmp_path):
    recording = write_robot(tmp_path / "drive", "16UC1", still=True)
    assert len(curated(recording, tmp_path / "once")[0]) == 1
    every = ("--still", "0", "--every", "0", "--apart", "0")
    assert len(curated(recording, tmp_path / "all", *every)[0]) == 6
    assert len(curated(recording, tmp_path / "some", "--still", "0", "--every", "1")[0]) == 3


def test_a_sheet_of_overlays_is_written(tmp_path):
    from PIL import Image

    curated(write_robot(tmp_path / "drive", "lidar"), tmp_path / "out")
    with Image.open(tmp_path / "out" / "overlays.jpg") as sheet:
        assert min(sheet.size) > 200


@pytest.mark.parametrize(
    "sensor, without, reason",
    [
        ("lidar", ["/tf_static"], "no transform"),
        ("lidar", ["/tf"], ""),  # then the mounts still lead from lidar to camera
        ("lidar", ["/eye/camera_info"], "no calibration"),
        ("unregistered", ["/depth/camera_info"], "no calibration"),
    ],
)
def test_what_a_recording_lacks_is_told(sensor, without, reason, tmp_path):
    recording = write_robot(tmp_path / "drive", sensor, without)
    if not reason:
        assert len(curated(recording, tmp_path / "out")[0]) == 6
        return
    with pytest.raises(SystemExit) as end:
        curated(recording, tmp_path / "out")
    assert f"6 {reason}" in str(end.value)


def empty_cloud(message):
    message.data, message.width, message.row_step = message.data[:0], 0, 0


def cut_cloud(message):
    message.data = message.data[:100]


def small_image(message):
    message.data = message.data[:100]


@pytest.mark.parametrize(
    "topic, damage, reason",
    [
        ("/lidar/points", empty_cloud, "no points"),
        ("/lidar/points", cut_cloud, "broken measurement"),
        ("/eye/image_raw", small_image, "truncated image"),
    ],
)
def test_a_broken_message_is_skipped_with_its_reason(topic, damage, reason, tmp_path):
    spoilt = list(messages("lidar"))
    damage([message for _, where, message in spoilt if where == topic][3])
    recording = write_robot(tmp_path / "drive", "lidar", TOPICS, more=spoilt)
    records, manifest = curated(recording, tmp_path / "out")
    assert len(records) == 5 and manifest["skipped"] == {reason: 1}
    assert manifest["examples"][reason][0]


def test_returns_that_never_came_are_no_points(tmp_path):
    """Drivers of lidars write them as 0, 0, 0: where the lidar stands, here before the camera."""

    def filled(message):
        stamp = message.header.stamp
        points = lidar_points(stamp.sec * NS + stamp.nanosec) - AHEAD
        message.header.frame_id = "bumper"
        return cloud_message(message.header, np.concatenate([points, np.zeros((9, 3))]))

    spoilt = [
        (time_ns, topic, filled(message) if topic == "/lidar/points" else message)
        for time_ns, topic, message in messages("lidar")
    ]
    mount = tf_message(0, [("lidar", "bumper", pose(np.eye(3), AHEAD))])
    more = [*spoilt, (START_NS - NS, "/tf_static", mount)]
    recording = write_robot(tmp_path / "drive", "lidar", TOPICS, more=more)
    records, _ = curated(recording, tmp_path / "out", "--depth")
    assert len(records) == 6
    assert all(np.nanmin(record.depth_map()) > 3 for record in records)


def test_a_transform_that_is_no_rotation_is_left_out(tmp_path):
    spoilt = list(messages("lidar"))
    for number, message in enumerate(m for _, topic, m in spoilt if topic == "/tf"):
        message.transforms[0].transform.rotation.x = np.nan if number % 2 else 0.0
    recording = write_robot(tmp_path / "drive", "lidar", TOPICS, more=spoilt)
    records, manifest = curated(recording, tmp_path / "out")
    assert len(records) == 6 and not manifest["skipped"]  # between those that are left


def test_messages_that_cannot_be_decoded_are_counted(tmp_path, monkeypatch, capsys):
    recording = write_robot(tmp_path / "drive", "lidar")
    storage = next(recording.glob("*.mcap"))
    whole = storage.read_bytes()
    encoded = b"plumb_bob"
    assert whole.count(encoded) == 6
    at = whole.index(encoded)
    size = len(encoded) + 1
    assert whole[at - 4 : at] == size.to_bytes(4, "little")
    storage.write_bytes(whole[: at - 4] + (1 << 30).to_bytes(4, "little") + whole[at:])
    _, manifest = curated(recording, tmp_path / "out")
    assert manifest["arguments"]["unreadable_messages"] == 1
    assert "1 messages" in capsys.readouterr().out


@pytest.mark.parametrize("without", [["/eye/image_raw"], ["/lidar/points"]])
def test_a_recording_without_images_or_measurements_is_refused(without, tmp_path):
    recording = write_robot(tmp_path / "drive", "lidar", without)
    with pytest.raises(SystemExit) as end:
        curated(recording, tmp_path / "out")
    assert "/tf_static (1 of tf2_msgs/msg/TFMessage)" in str(end.value)


def test_of_two_topics_one_must_be_named(tmp_path):
    more = [
        (t, "/other/points", m) for t, topic, m in messages("lidar") if topic == "/lidar/points"
    ]
    recording = write_robot(tmp_path / "drive", "lidar", more=more)
    with pytest.raises(SystemExit) as end:
        curated(recording, tmp_path / "out")
    named = "/lidar/points", "/other/points", "--measured"
    assert all(name in str(end.value) for name in named)
    assert len(curated(recording, tmp_path / "out", "--measured", "/lidar/points")[0]) == 6


def test_a_topic_of_camera_info_that_is_not_there_is_refused(tmp_path):
    recording = write_robot(tmp_path / "drive", "lidar")
    with pytest.raises(SystemExit) as end:
        curated(recording, tmp_path / "out", "--info", "/ear/camera_info")
    named = "/ear/camera_info", "/eye/camera_info", "--info"
    assert all(name in str(end.value) for name in named)
    assert len(curated(recording, tmp_path / "out", "--info", "/eye/camera_info")[0]) == 6


def test_images_without_times_of_their_own_are_refused(tmp_path):
    spoilt = list(messages("16UC1"))
    for _, _, message in spoilt:
        if hasattr(message, "header"):
            message.header.stamp.sec = message.header.stamp.nanosec = 0
    topics = {topic for _, topic, _ in spoilt}
    recording = write_robot(tmp_path / "drive", "16UC1", topics, more=spoilt)
    with pytest.raises(SystemExit) as end:
        curated(recording, tmp_path / "out")
    assert "6 images on /eye/image_raw" in str(end.value)


def test_measurements_far_from_any_image_are_counted(tmp_path):
    recording = write_robot(tmp_path / "drive", "lidar")
    with pytest.raises(SystemExit) as end:
        curated(recording, tmp_path / "out", "--apart", "0.02")
    told = str(end.value)
    assert "6 no image near in time" in told and "0.03 s" in told and "--apart is 0.02" in told


def test_a_rendered_recording_gives_the_renderers_distances(tmp_path):
    """As docs/own_robot.md tries it: camera_info is wrong by a factor, what is measured is not."""
    synthetic.main(
        ["recording", "--out", str(tmp_path / "d"), "--count", "2", "--focal-error", "1.3"]
    )
    records, _ = curated(tmp_path / "d", tmp_path / "out", "--still", "0")
    assert len(records) == 2
    for number, record in enumerate(records):
        _, z_m = drive.view(number)
        u, v = record.pixels.astype(int).T
        assert np.array_equal(record.pixels, np.stack([u, v], 1))
        assert np.abs(record.label_m - z_m[v, u]).max() < 1e-3
        assert record.camera.fx == pytest.approx(1.3 * drive.CAMERA.fx)


@pytest.mark.parametrize(
    "options, code", [(["--near=5", "--far=2"], 1), (["--still=nan"], 2), (["--still=-1"], 2)]
)
def test_limits_that_leave_nothing_are_refused(options, code, tmp_path):
    recording = write_robot(tmp_path / "drive", "16UC1")
    with pytest.raises(SystemExit) as end:
        curated(recording, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()
    assert end.value.code == 2 if code == 2 else "--near" in str(end.value)
