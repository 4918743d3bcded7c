# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm bag on real recordings: what is written, with which stamps, and after a kill."""

import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("rosbags")
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer

from depthlm_ros.bags.messages import STORE, header_message, image_message, info_message
from depthlm_ros.camera import Camera
from depthlm_ros.cli import main
from depthlm_ros.scan import scan

CAMERA = Camera(64, 48, 40.0, 42.0, 31.0, 23.0)
FAKE = ["--engine", "scripted", "--checkpoint", "facebook/VLM3-depth"]  # answers 2 m everywhere
NS = 10**9
KILLED = """
import os, signal, sys
from depthlm_ros.bags import parts
from depthlm_ros.cli import main
from depthlm_ros.commands import bag
parts.PART_S, asked, scan = 0.0, [], bag.scan
def deadly(*arguments):
    if len(asked) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    asked.append(arguments)
    return scan(*arguments)
bag.scan = deadly
main(sys.argv[1:])
"""


def picture(shade):
    return np.full((48, 64, 3), shade, np.uint8)


def record(path, messages, storage=StoragePlugin.MCAP):
    """Write [(time [ns], topic, message)]."""
    with Writer(path, version=8, storage_plugin=storage) as writer:
        connections = {}
        for time_ns, topic, message in messages:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], time_ns, STORE.serialize_cdr(message, kind))
    return path


def shots(count=4, camera=CAMERA):
    """An Image each second, stamped 0.2 s before its recording, and camera_info with it."""
    for i in range(count):
        header = header_message((i + 1) * NS, "eye")
        time_ns = (i + 1) * NS + NS // 5
        yield time_ns, "/cam/camera_info", info_message(header, camera)
        yield time_ns + 7, "/cam/image_raw", image_message(header, picture(40 * i))


def read(path):
    """topic -> [(time [ns], message)] of a recording."""
    found = {}
    with AnyReader([Path(path)]) as reader:
        for connection, time_ns, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            found.setdefault(connection.topic, []).append((time_ns, message))
    return found


def exactly(content):
    """What read() found, as bytes."""
    return {
        topic: [(t, bytes(STORE.serialize_cdr(m, m.__msgtype__))) for t, m in messages]
        for topic, messages in content.items()
    }


@pytest.fixture
def bag(tmp_path, capsys):
    """bag(input, *options, out=...) -> (exit code, content of the output, stderr)."""

    def run(recording, *options, out="out.mcap", grid="4x2"):
        out = tmp_path / out
        code = main(["bag", str(recording), str(out), "--grid", grid, *FAKE, *options])
        return code, read(out) if out.exists() and code == 0 else {}, capsys.readouterr().err

    return run


@pytest.mark.parametrize("storage", list(StoragePlugin), ids=lambda s: s.name)
@pytest.mark.parametrize("bare", [False, True], ids=["folder", "file"])
def test_clouds_carry_the_stamps_of_their_pictures_and_the_times_of_recording(
    tmp_path, bag, storage, bare
):
    folder = record(tmp_path / "in", shots(), storage)
    suffix = {StoragePlugin.MCAP: "mcap", StoragePlugin.SQLITE3: "db3"}[storage]
    code, content, _ = bag(folder / f"in.{suffix}" if bare else folder)
    assert code == 0
    names = ("points", "overlay", "depth/image", "depth/camera_info")
    assert set(content) == {f"/depthlm/{name}" for name in names}
    for messages in content.values():
        assert [time_ns for time_ns, _ in messages] == [i * NS + NS // 5 + 7 for i in (1, 2, 3, 4)]
        assert [m.header.stamp.sec for _, m in messages] == [1, 2, 3, 4]
        assert {m.header.frame_id for _, m in messages} == {"eye"}


def test_points_and_depth_image_hold_what_was_answered(tmp_path, bag):
    _, content, _ = bag(record(tmp_path / "in", shots()))
    cloud, depth, info = (
        content[f"/depthlm/{name}"][2][1]
        for name in ("points", "depth/image", "depth/camera_info")
    )
    assert [(f.name, f.offset, f.datatype) for f in cloud.fields] == [
        (name, 4 * i, 7) for i, name in enumerate(["x", "y", "z", "rgb", "distance", "stddev"])
    ]
    assert (cloud.width, cloud.height, cloud.point_step, cloud.is_dense) == (4, 2, 24, True)
    values = cloud.data.view(np.float32).reshape(2, 4, 6)
    assert values[..., 4] == pytest.approx(2.0)
    assert np.linalg.norm(values[..., :3], axis=2) == pytest.approx(2.0)
    pixels = CAMERA.pixels(values[..., :3]).reshape(2, 4, 2)
    assert pixels[1, 2] == pytest.approx([40, 36])  # rounded middle of the third cell, second row
    assert bytes(cloud.data[12:16]) == bytes([80, 80, 80, 0])
    assert (depth.encoding, depth.width, depth.height, depth.step) == ("32FC1", 4, 2, 16)
    assert np.array_equal(depth.data.view(np.float32), values[..., 2].ravel())
    # The third cell of the second row, seen by the camera of the depth image: the same ray.
    ray = (2 - info.k[2]) / info.k[0], (1 - info.k[5]) / info.k[4]
    expected = (39.5 - CAMERA.cx) / CAMERA.fx, (35.5 - CAMERA.cy) / CAMERA.fy
    assert ray == pytest.approx(expected)
    assert (info.width, info.height) == (4, 2)


def test_compressed_pictures_give_a_compressed_overlay(tmp_path, bag):
    def compressed():
        for time_ns, topic, message in shots():
            if topic == "/cam/image_raw":
                file = BytesIO()
                Image.fromarray(message.data.reshape(48, 64, 3)).save(file, "png")
                data = np.frombuffer(file.getvalue(), np.uint8)
                kind = STORE.types["sensor_msgs/msg/CompressedImage"]
                message = kind(header=message.header, format="png", data=data)
                topic += "/compressed"
            yield time_ns, topic, message

    _, content, _ = bag(record(tmp_path / "in", compressed()))
    overlays = content["/depthlm/overlay/compressed"]
    assert [message.format for _, message in overlays] == ["jpeg"] * 4
    assert Image.open(BytesIO(overlays[0][1].data)).size == (64, 48)
    assert "/depthlm/overlay" not in content and len(content["/depthlm/points"]) == 4


def test_a_run_that_is_killed_goes_on_and_writes_what_an_undisturbed_one_writes(tmp_path, bag):
    folder = record(tmp_path / "in", shots())
    _, undisturbed, _ = bag(folder, out="whole.mcap")
    options = ["--grid", "4x2", *FAKE]
    command = [sys.executable, "-c", KILLED, "bag", str(folder), str(tmp_path / "out.mcap")]
    killed = subprocess.run([*command, *options], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out.mcap").exists()
    _, content, said = bag(folder)
    assert "going on with picture 2 of 4" in said
    assert exactly(content) == exactly(undisturbed)
    assert not (tmp_path / "out.mcap.parts").exists()


def test_parts_of_a_run_with_other_options_are_refused(tmp_path, bag, monkeypatch):
    folder = record(tmp_path / "in", shots())
    answered = []

    def broken(predictor, frame, columns, rows):
        answered.append(frame)
        return scan(predictor, frame, columns, rows) if len(answered) < fails_at else 1 / 0

    for fails_at in (1, 2):
        answered.clear()
        with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
            patch.setattr("depthlm_ros.commands.bag.scan", broken)
            bag(folder, grid=f"{fails_at}x2")  # the first leaves no part, and so no trace
    code, _, said = bag(folder, grid="5x2")
    assert code == 2 and "other options" in said and "out.mcap.parts" in said
    _, content, said = bag(folder, grid="2x2")
    assert "going on with picture 1" in said and len(content["/depthlm/points"]) == 4


def test_a_picture_that_was_half_written_is_answered_again_and_not_twice(
    tmp_path, bag, monkeypatch
):
    from rosbags.rosbag2 import Writer

    folder, written = record(tmp_path / "in", shots()), []

    def interrupted(self, connection, *message):
        written.append(connection.topic)
        if len(written) == 6:
            raise KeyboardInterrupt
        return write(self, connection, *message)

    write = Writer.write
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "write", interrupted)
        assert bag(folder)[0] == 130
    _, content, _ = bag(folder)
    assert [len(messages) for messages in content.values()] == [4] * 4


def test_two_runs_do_not_write_the_same_output(tmp_path, bag):
    from depthlm_ros.bags.parts import Parts

    with Parts(tmp_path / "out.mcap", {}):
        code, _, said = bag(record(tmp_path / "in", shots()))
    assert code == 2 and "another run is writing" in said


def test_an_output_that_exists_is_never_overwritten(tmp_path, bag):
    (tmp_path / "out.mcap").write_text("precious")
    code, _, said = bag(record(tmp_path / "in", shots()))
    assert code == 2 and "exists already" in said
    assert (tmp_path / "out.mcap").read_text() == "precious"


def test_each_second_picture_into_a_folder_under_another_name(tmp_path, bag):
    folder = record(tmp_path / "in", shots(5))
    _, content, _ = bag(folder, "--every", "2", "--node", "/rear/depthlm", out="out")
    assert [m.header.stamp.sec for _, m in content["/rear/depthlm/points"]] == [1, 3, 5]
    assert (tmp_path / "out" / "metadata.yaml").is_file()


def test_keep_copies_everything_else_in_the_order_of_time(tmp_path, bag):
    folder = record(tmp_path / "in", shots())
    _, content, _ = bag(folder, "--keep")
    kept, recorded = exactly(content), exactly(read(folder))
    assert {topic: kept[topic] for topic in recorded} == recorded
    assert len(content["/depthlm/points"]) == 4


def test_the_newest_camera_info_holds_and_before_the_first_one_the_first(tmp_path, bag):
    zoomed = Camera(64, 48, 80.0, 84.0, 31.0, 23.0)
    messages = list(shots(2)) + [(t + 2 * NS, *rest) for t, *rest in shots(1, zoomed)]
    del messages[0]  # the camera_info of the first picture
    _, content, _ = bag(record(tmp_path / "in", messages))
    focal = [info.k[0] for _, info in content["/depthlm/depth/camera_info"]]
    assert focal == [2.5, 2.5, 5.0]  # 4 of 64 columns of 40, 40 and 80 px


def test_a_picture_that_cannot_be_used_is_skipped_and_said(tmp_path, bag):
    messages = list(shots())
    messages[3][2].encoding = "vendor8"
    code, content, said = bag(record(tmp_path / "in", messages))
    assert code == 0 and "picture 1 is skipped: encoding 'vendor8'" in said
    assert [m.header.stamp.sec for _, m in content["/depthlm/points"]] == [1, 3, 4]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--topic", "/nobody"], ["no pictures on /nobody", "/cam/image_raw (4)"]),
        (["--info", "/nobody"], ["no camera_info on /nobody", "/cam/camera_info (4)"]),
    ],
)
def test_a_topic_that_is_not_there_is_named_with_those_that_are(tmp_path, bag, options, words):
    code, _, said = bag(record(tmp_path / "in", shots()), *options)
    assert code == 2 and all(word in said for word in words)


def test_a_recording_without_camera_info_takes_a_camera_file(tmp_path, bag):
    (tmp_path / "camera.yaml").write_text(
        "image_width: 64\nimage_height: 48\n"
        "camera_matrix: {data: [80.0, 0.0, 31.5, 0.0, 80.0, 23.5, 0.0, 0.0, 1.0]}\n"
    )
    folder = record(tmp_path / "in", [shot for shot in shots() if shot[1] == "/cam/image_raw"])
    code, _, said = bag(folder)
    assert code == 2 and "no camera_info on /cam/camera_info" in said and "--camera" in said
    _, content, _ = bag(folder, "--camera", str(tmp_path / "camera.yaml"))
    focal = [info.k[0] for _, info in content["/depthlm/depth/camera_info"]]
    assert focal == [5.0] * 4  # 4 of 64 columns of 80 px


def test_kept_answers_of_another_run_are_not_mixed_with_new_ones(tmp_path, bag):
    assert bag(record(tmp_path / "in", shots()), "--keep", out="first")[0] == 0
    again = tmp_path / "first"
    options = ["--keep", "--topic", "/cam/image_raw"]
    code, _, said = bag(again, *options)
    assert code == 2 and "already holds /depthlm/" in said and "--node" in said
    _, content, _ = bag(again, *options, "--node", "/other")
    assert len(content["/other/points"]) == len(content["/depthlm/points"]) == 4


def test_a_recording_that_was_cut_off_is_refused_with_what_mends_it(tmp_path, bag):
    folder = record(tmp_path / "in", shots())
    whole = (folder / "in.mcap").read_bytes()
    (folder / "in.mcap").write_bytes(whole[: len(whole) // 2])
    code, _, said = bag(folder)
    assert code == 2 and "cannot be read" in said and "mcap recover" in said
    code, _, said = bag(tmp_path / "nothing")
    assert code == 2 and "no recording at" in said


def test_the_demo_recording_shows_picture_and_answers_together(bag):
    _, content, _ = bag("demo")
    counts = {topic: len(messages) for topic, messages in content.items()}
    assert counts["/camera/image_raw"] == counts["/depthlm/points"] == 4
    frames = {m.header.frame_id for messages in content.values() for _, m in messages}
    assert frames == {"camera_optical_frame"}
