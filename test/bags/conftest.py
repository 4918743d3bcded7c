# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Small recordings, depthlm bag on them, and what a recording holds."""

from pathlib import Path

import numpy as np
import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.cli import main

try:
    from rosbags.highlevel import AnyReader
    from rosbags.rosbag2 import StoragePlugin, Writer
except ImportError:
    pass  # then every module here skips itself and says so
else:
    from depthlm_ros.bags.messages import STORE, header_message, image_message, info_message

CAMERA = Camera(64, 48, 40.0, 42.0, 31.0, 23.0)
FAKE = ["--engine", "scripted", "--checkpoint", "facebook/VLM3-depth"]  # answers 2 m everywhere
NS = 10**9


@pytest.fixture
def camera():
    """The camera of shots."""
    return CAMERA


@pytest.fixture
def shots():
    """shots(count, camera) -> (time [ns], topic, message) of an Image each second, stamped 0.2 s
    before its recording, and of camera_info with it."""

    def taken(count=4, camera=CAMERA):
        for i in range(count):
            header = header_message((i + 1) * NS, "eye")
            time_ns = (i + 1) * NS + NS // 5
            yield time_ns, "/cam/camera_info", info_message(header, camera)
            image = np.full((48, 64, 3), 40 * i, np.uint8)
            yield time_ns + 7, "/cam/image_raw", image_message(header, image)

    return taken


@pytest.fixture
def record(tmp_path, shots):
    """record([(time [ns], topic, message)] or shots(), storage) -> the folder of the recording."""

    def written(messages=None, storage=StoragePlugin.MCAP):
        with Writer(tmp_path / "in", version=8, storage_plugin=storage) as writer:
            connections = {}
            for time_ns, topic, message in messages or shots():
                kind = message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
                writer.write(connections[topic], time_ns, STORE.serialize_cdr(message, kind))
        return tmp_path / "in"

    return written


def read_recording(path):
    """topic -> [(time [ns], message)] of a recording."""
    found = {}
    with AnyReader([Path(path)]) as reader:
        for connection, time_ns, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            found.setdefault(connection.topic, []).append((time_ns, message))
    return found


@pytest.fixture
def read():
    """read_recording."""
    return read_recording


@pytest.fixture
def exactly():
    """What read found, as bytes."""

    def serialized(content):
        return {
            topic: [(t, bytes(STORE.serialize_cdr(m, m.__msgtype__))) for t, m in messages]
            for topic, messages in content.items()
        }

    return serialized


@pytest.fixture
def arguments(tmp_path):
    """arguments(input, *options, out=..., grid=...) -> those of depthlm bag."""

    def made(recording, *options, out="out.mcap", grid="4x2"):
        return ["bag", str(recording), str(tmp_path / out), "--grid", grid, *FAKE, *options]

    return made


@pytest.fixture
def bag(arguments, capsys):
    """bag(input, *options, out=..., grid=...) -> (exit code, content of the output, stderr)."""

    def run(*words, **output):
        command = arguments(*words, **output)
        code, out = main(command), Path(command[2])
        written = read_recording(out) if out.exists() and code == 0 else {}
        return code, written, capsys.readouterr().err

    return run
