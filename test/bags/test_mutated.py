# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Recordings with damaged bytes: depthlm bag answers what is left, or says why it cannot."""

import shutil

import numpy as np
import pytest

pytest.importorskip("rosbags")
from rosbags.rosbag2 import StoragePlugin, Writer
from testing.mutations import mutated

from depthlm_ros.bags.messages import STORE, header_message, image_message, info_message
from depthlm_ros.camera import Camera
from depthlm_ros.cli import main

CAMERA = Camera(16, 12, 10.0, 10.0, 7.5, 5.5)
NS = 10**9


def record(folder, storage):
    """Two images and their camera_info, and a topic of an unknown type."""
    with Writer(folder, version=8, storage_plugin=storage) as writer:
        kinds = {"/image": "sensor_msgs/msg/Image", "/camera_info": "sensor_msgs/msg/CameraInfo"}
        connections = {
            topic: writer.add_connection(topic, kind, typestore=STORE)
            for topic, kind in kinds.items()
        }
        battery = writer.add_connection(
            "/battery",
            "robot_msgs/msg/Battery",
            msgdef="float32 volts",
            rihs01="RIHS01_" + "0" * 64,
        )
        for second in (1, 2):
            header = header_message(second * NS, "eye")
            image = image_message(header, np.full((12, 16, 3), 80, np.uint8))
            messages = {"/image": image, "/camera_info": info_message(header, CAMERA)}
            for topic, message in messages.items():
                raw = STORE.serialize_cdr(message, message.__msgtype__)
                writer.write(connections[topic], second * NS, raw)
            writer.write(battery, second * NS, bytes([0, 1, 0, 0, 0, 0, 0, 65]))


@pytest.fixture
def answered(tmp_path, capsys):
    """answered(count, storage, spoilt) -> how many of `count` recordings were answered.

    spoilt: which file of the recording is damaged, by its suffix.
    """

    def run(count, storage, spoilt):
        record(tmp_path / "whole", storage)
        whole = next((tmp_path / "whole").glob(f"*{spoilt}"))
        shutil.copytree(tmp_path / "whole", tmp_path / "in")
        content, out = whole.read_bytes(), tmp_path / "out.mcap"
        draw, codes = np.random.default_rng(5), []
        for number in range(count):
            path = tmp_path / "in" / whole.name
            path.write_bytes(mutated(content, draw))
            given = [tmp_path / "in" if number % 2 or spoilt == ".yaml" else path, out]
            options = ["--grid", "1x1", "--engine", "scripted", "--keep"]
            codes.append(main(["bag", *map(str, given), *options]))
            output = capsys.readouterr().err
            assert codes[-1] == 0 or output.splitlines()[-1].startswith("depthlm: ")
            out.unlink(missing_ok=True)
            shutil.rmtree(tmp_path / "out.mcap.parts", ignore_errors=True)
        assert set(codes) <= {0, 2}
        return codes.count(0)

    return run


CASES = [
    (StoragePlugin.MCAP, ".mcap"),
    (StoragePlugin.SQLITE3, ".db3"),
    (StoragePlugin.MCAP, ".yaml"),
]


@pytest.mark.parametrize(("storage", "spoilt"), CASES, ids=["mcap", "db3", "metadata"])
def test_no_foreign_error_leaves_a_damaged_recording(answered, storage, spoilt):
    assert 3 < answered(60, storage, spoilt) < 57


@pytest.mark.slow
@pytest.mark.parametrize(("storage", "spoilt"), CASES, ids=["mcap", "db3", "metadata"])
def test_no_foreign_error_leaves_many_damaged_recordings(answered, storage, spoilt):
    assert 100 < answered(1700, storage, spoilt) < 1600
