# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What depthlm bag reads: topics and cameras that are there or not, and what it keeps of them."""

import shutil
import sqlite3

import numpy as np
import pytest

pytest.importorskip("rosbags")
yaml = pytest.importorskip("yaml")
from rosbags.rosbag2 import StoragePlugin, Writer

from depthlm_ros.bags.messages import STORE, image_message
from depthlm_ros.camera import Camera

CAMERA = Camera(64, 48, 40.0, 42.0, 31.0, 23.0)
NS = 10**9
OTHER_QOS = """
- history: 1
  depth: 1
  reliability: 1
  durability: 1
  deadline: {sec: 9223372036, nsec: 854775807}
  lifespan: {sec: 9223372036, nsec: 854775807}
  liveliness: 1
  liveliness_lease_duration: {sec: 9223372036, nsec: 854775807}
  avoid_ros_namespace_conventions: false
"""


def test_keep_copies_everything_else_in_the_order_of_time(record, bag, read, exactly):
    folder = record()
    _, content, _ = bag(folder, "--keep")
    kept, recorded = exactly(content), exactly(read(folder))
    assert {topic: kept[topic] for topic in recorded} == recorded
    assert len(content["/depthlm/points"]) == 4


def test_the_newest_camera_info_holds_and_before_the_first_one_the_first(record, shots, bag):
    zoomed = Camera(64, 48, 80.0, 84.0, 31.0, 23.0)
    messages = list(shots(2)) + [(t + 2 * NS, *rest) for t, *rest in shots(1, zoomed)]
    del messages[0]  # the camera_info of the first image
    _, content, _ = bag(record(messages))
    focal = [info.k[0] for _, info in content["/depthlm/depth/camera_info"]]
    assert focal == [2.5, 2.5, 5.0]  # 4 of 64 columns of 40, 40 and 80 px


def test_a_camera_info_stored_after_its_image_holds_while_lens_and_size_change(record, shots, bag):
    cameras = [
        CAMERA,
        Camera(64, 48, 80.0, 84.0, 31.0, 23.0),
        Camera(32, 24, 20.0, 21.0, 15.0, 11.0),
    ]
    messages = []
    for second, camera in enumerate(cameras):
        (_, topic, info), (time_ns, images, image) = list(shots(3, camera))[2 * second :][:2]
        if camera.width == 32:
            image = image_message(image.header, np.zeros((24, 32, 3), np.uint8))
        messages += [(time_ns, images, image), (time_ns + 5_000_000, topic, info)]
    code, content, said = bag(record(messages))
    assert code == 0 and "skipped:" not in said
    infos = content["/depthlm/depth/camera_info"]
    assert [(i.header.stamp.sec, i.k[0]) for _, i in infos] == [(1, 2.5), (2, 5.0), (3, 2.5)]


def test_an_image_that_cannot_be_used_is_skipped_and_said(record, shots, bag):
    messages = list(shots())
    messages[3][2].encoding = "vendor8"
    code, content, said = bag(record(messages))
    assert code == 0 and "vendor8" in said.splitlines()[-1]
    assert [m.header.stamp.sec for _, m in content["/depthlm/points"]] == [1, 3, 4]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--topic", "/nobody"], ["/cam/image_raw (4)"]),
        (["--info", "/nobody"], ["/cam/camera_info (4)"]),
    ],
)
def test_a_topic_that_is_not_there_is_named_with_those_that_are(record, bag, options, words):
    code, _, said = bag(record(), *options)
    assert code == 2 and all(word in said for word in words)


def test_a_recording_without_camera_info_takes_a_camera_file(tmp_path, record, shots, bag):
    (tmp_path / "camera.yaml").write_text(
        "image_width: 64\nimage_height: 48\n"
        "camera_matrix: {data: [80.0, 0.0, 31.5, 0.0, 80.0, 23.5, 0.0, 0.0, 1.0]}\n"
    )
    folder = record([shot for shot in shots() if shot[1] == "/cam/image_raw"])
    code, _, said = bag(folder)
    assert code == 2 and "/cam/camera_info" in said and "--camera" in said
    _, content, _ = bag(folder, "--camera", str(tmp_path / "camera.yaml"))
    focal = [info.k[0] for _, info in content["/depthlm/depth/camera_info"]]
    assert focal == [5.0] * 4  # 4 of 64 columns of 80 px


def test_kept_answers_of_another_run_are_not_mixed_with_new_ones(tmp_path, record, bag):
    assert bag(record(), "--keep", out="first")[0] == 0
    again = tmp_path / "first"
    options = ["--keep", "--topic", "/cam/image_raw"]
    code, _, said = bag(again, *options)
    assert code == 2 and "/depthlm/" in said and "--node" in said
    _, content, _ = bag(again, *options, "--node", "/other")
    assert len(content["/other/points"]) == len(content["/depthlm/points"]) == 4


def test_a_recording_without_images_is_told_with_what_it_holds(record, shots, bag):
    code, _, said = bag(record([shot for shot in shots() if shot[1] == "/cam/camera_info"]))
    assert code == 2 and "/cam/camera_info (4 of sensor_msgs/msg/CameraInfo)" in said
    assert "--topic" not in said


@pytest.mark.parametrize("storage", list(StoragePlugin), ids=lambda s: s.name)
def test_metadata_may_tell_another_qos_than_the_files(record, bag, storage):
    """As where somebody changed it for playing."""
    folder = record(storage=storage)
    metadata = folder / "metadata.yaml"
    content = yaml.safe_load(metadata.read_text())
    topic = content["rosbag2_bagfile_information"]["topics_with_message_count"][0]
    topic["topic_metadata"]["offered_qos_profiles"] = OTHER_QOS
    metadata.write_text(yaml.safe_dump(content))
    code, content, _ = bag(folder, "--keep")
    assert code == 0
    names = "/cam/camera_info", "/cam/image_raw", "/depthlm/points"
    assert [len(content[name]) for name in names] == [4, 4, 4]


@pytest.mark.parametrize("name", ["run#3", "run?", "50%25"])
def test_a_database_may_lie_in_a_folder_of_any_name(tmp_path, record, bag, name):
    folder = record(storage=StoragePlugin.SQLITE3).rename(tmp_path / name)
    code, content, _ = bag(folder)
    assert code == 0 and len(content["/depthlm/points"]) == 4


def test_a_database_beside_which_messages_still_lie_is_refused(tmp_path, record, bag):
    """As a recorder leaves it that is killed, with the storage preset `resilient`."""
    folder = record(storage=StoragePlugin.SQLITE3)
    database = sqlite3.connect(folder / "in.db3", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("UPDATE messages SET timestamp = timestamp + 1")
    for name in ("in.db3", "in.db3-wal"):
        shutil.copy(folder / name, tmp_path / name)
    database.close()
    code, _, said = bag(tmp_path / "in.db3")
    assert code == 2 and str(tmp_path / "in.db3-wal") in said and "reindex" not in said
    assert bag(folder)[0] == 0


def test_a_file_whose_messages_are_compressed_is_told_to_be_named_by_its_folder(tmp_path, bag):
    with Writer(tmp_path / "in", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {"/cam/image_raw": "Image", "/cam/camera_info": "CameraInfo"}
        for topic, kind in topics.items():
            connection = writer.add_connection(topic, f"sensor_msgs/msg/{kind}", typestore=STORE)
            writer.write(connection, NS, b"\x28\xb5\x2f\xfd compressed")
    code, _, said = bag(tmp_path / "in/in.mcap")
    assert code == 2 and "metadata.yaml" in said and "CDR" not in said


def test_a_recording_that_was_cut_off_is_refused_with_what_mends_it(tmp_path, record, bag):
    folder = record()
    whole = (folder / "in.mcap").read_bytes()
    (folder / "in.mcap").write_bytes(whole[: len(whole) // 2])
    code, _, said = bag(folder)
    assert code == 2 and str(folder) in said and "mcap recover" in said
    code, _, said = bag(tmp_path / "nothing")
    assert code == 2 and str(tmp_path / "nothing") in said


def test_what_is_no_recording_is_told_with_what_is_one(tmp_path, record, bag):
    folder = record()
    (folder / "metadata.yaml").unlink()
    code, _, said = bag(folder)
    assert code == 2 and "metadata.yaml" in said and "reindex" in said
    assert bag(folder / "in.mcap")[0] == 0
    (tmp_path / "a.mp4").write_bytes(b"video")
    code, _, said = bag(tmp_path / "a.mp4", out="b.mcap")
    assert code == 2 and ".mcap" in said and "recover" not in said


def test_a_run_that_answers_nothing_leaves_nothing(tmp_path, record, bag):
    (tmp_path / "camera.yaml").write_text("no camera")
    code, _, said = bag(record(), "--camera", str(tmp_path / "camera.yaml"))
    assert code == 2 and "camera.yaml" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["camera.yaml", "in"]


@pytest.mark.parametrize(
    ("options", "out"),
    [
        (["--node", "depth-lm"], "a"),
        (["--node", "/a b"], "a"),
        (["--node", "/"], "a"),
        ([], "a.db3"),
        ([], "a.bag"),
    ],
)
def test_names_that_cannot_be_are_refused(options, out, record, bag):
    with pytest.raises(SystemExit) as ended:
        bag(record(), *options, out=out)
    assert ended.value.code == 2


def test_the_demo_recording_shows_image_and_answers_together(bag):
    _, content, _ = bag("demo")
    counts = {topic: len(messages) for topic, messages in content.items()}
    assert counts["/camera/image_raw"] == counts["/depthlm/points"] == 4
    frames = {m.header.frame_id for messages in content.values() for _, m in messages}
    assert frames == {"camera_optical_frame"}


def test_an_image_whose_bytes_are_damaged_is_skipped_and_said(tmp_path, shots, bag):
    with Writer(tmp_path / "in", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}
        for index, (time_ns, topic, message) in enumerate(shots()):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            raw = STORE.serialize_cdr(message, kind)
            writer.write(connections[topic], time_ns, raw[:30] if index == 3 else raw)
    code, content, said = bag(tmp_path / "in")
    assert code == 0 and len([line for line in said.splitlines() if "skipped" in line]) == 1
    assert [m.header.stamp.sec for _, m in content["/depthlm/points"]] == [1, 3, 4]


@pytest.mark.parametrize(("options", "lines"), [([], 4), (["--axes", "both"], 0)])
def test_the_doubts_about_a_lens_that_zooms_are_told_of_its_first_images(
    record, shots, bag, options, lines
):
    oblong = [Camera(64, 48, 60.0 + n, 40.0, 31.0, 23.0) for n in range(5)]
    messages = [
        shot for n, camera in enumerate(oblong) for shot in list(shots(5, camera))[2 * n :][:2]
    ]
    code, content, said = bag(record(messages), *options)
    doubts = said.splitlines()
    assert (code, len(doubts), len(content["/depthlm/points"])) == (0, lines, 5)
    assert [f"fx = {60 + n}," in line for n, line in enumerate(doubts[:3])] == [True] * len(
        doubts[:3]
    )
    assert not doubts or doubts[3].endswith(": 2")
