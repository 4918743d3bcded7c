# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Topics of types that nobody here knows: images are answered, and --keep copies every byte."""

import itertools
import sqlite3

import pytest

pytest.importorskip("rosbags")
from rosbags.rosbag2 import StoragePlugin, Writer

from depthlm_ros.bags.messages import STORE
from depthlm_ros.bags.reader import RawReader

RAW = [bytes([0, 1, 0, 0, n]) + b"whatever" for n in range(3)]
TOPIC = "/robot/battery"
SUFFIX = {StoragePlugin.MCAP: "mcap", StoragePlugin.SQLITE3: "db3"}
KNOWN = "robot_msgs/msg/Battery"


@pytest.fixture
def with_foreign(tmp_path, shots):
    """with_foreign(type, definition, storage) -> a folder with images and a topic of that type."""

    def written(kind, definition, storage):
        with Writer(tmp_path / "in", version=8, storage_plugin=storage) as writer:
            foreign = writer.add_connection(
                TOPIC, kind, msgdef=definition, rihs01="RIHS01_" + 64 * "0"
            )
            connections = {}
            for index, (time_ns, topic, message) in enumerate(shots()):
                name = message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, name, typestore=STORE)
                writer.write(connections[topic], time_ns, STORE.serialize_cdr(message, name))
                if index < len(RAW):
                    writer.write(foreign, time_ns + 1, RAW[index])
        return tmp_path / "in"

    return written


def answered_and_kept(bag, recording, tmp_path):
    """The images are answered without --keep, and with it the other topic is copied."""
    code, content, _ = bag(recording, out="plain.mcap")
    assert code == 0 and len(content["/depthlm/points"]) == 4
    code, _, _ = bag(recording, "--keep", out="kept.mcap")
    assert code == 0
    with RawReader(tmp_path / "kept.mcap") as reader:
        found = [(c.topic, c.msgtype, bytes(raw)) for c, _, raw in reader.messages()]
    assert len([topic for topic, _, _ in found if topic == "/depthlm/points"]) == 4
    assert len([topic for topic, _, _ in found if topic == "/cam/image_raw"]) == 4
    return [(kind, raw) for topic, kind, raw in found if topic == TOPIC]


@pytest.fixture
def bag(arguments, capsys, read):
    """bag(input, *options, out=...) -> (exit code, content without the unknown topic, stderr)."""
    from depthlm_ros.cli import main

    def run(*words, **output):
        command = arguments(*words, **output)
        code, content = main(command), {}
        if code == 0 and "--keep" not in words:
            content = read(command[2])
        return code, content, capsys.readouterr().err

    return run


UNKNOWN = [
    (KNOWN, ""),
    (KNOWN, "this is no definition"),
    (KNOWN, "other_msgs/Missing field"),
    ("Battery", "float32 volts"),
    ("robot_msgs/Battery", "float32 volts"),
    ("robot msgs/msg/Bätt-ery", "float32 volts"),
]
FORMS = list(
    itertools.product(SUFFIX, (False, True))
)  # (storage, whether the file is given alone)


@pytest.mark.parametrize(
    ("kind", "definition", "storage", "bare"),
    [(*unknown, *form) for unknown, form in zip(UNKNOWN, itertools.cycle(FORMS))],
)
def test_a_topic_of_an_unknown_type_keeps_nothing_from_being_answered(
    with_foreign, bag, tmp_path, kind, definition, storage, bare
):
    folder = with_foreign(kind, definition, storage)
    recording = folder / f"in.{SUFFIX[storage]}" if bare else folder
    assert answered_and_kept(bag, recording, tmp_path) == [(kind, raw) for raw in RAW]


@pytest.mark.parametrize(("storage", "bare"), FORMS)
def test_definitions_in_a_language_that_nobody_reads_are_left_alone(
    with_foreign, bag, tmp_path, storage, bare
):
    """rosbag2 writes "unknown" where the recorder had no definition at hand, for images too."""
    folder = with_foreign(KNOWN, "", storage)
    file = folder / f"in.{SUFFIX[storage]}"
    if storage == StoragePlugin.MCAP:
        content = file.read_bytes()
        assert content.count(b"ros2msg") >= 3
        file.write_bytes(content.replace(b"ros2msg", b"unknown"))
    else:
        with sqlite3.connect(file) as database:
            database.execute("UPDATE message_definitions SET encoding = 'unknown'")
        database.close()
    recording = file if bare else folder
    assert answered_and_kept(bag, recording, tmp_path) == [(KNOWN, raw) for raw in RAW]


def test_a_recording_of_an_old_distribution_holds_no_definitions(with_foreign, bag, tmp_path):
    """As db3 files of Humble and older: the tables of definitions are not there."""
    folder = with_foreign(KNOWN, "", StoragePlugin.SQLITE3)
    with sqlite3.connect(folder / "in.db3") as database:
        database.execute("DROP TABLE message_definitions")
        database.execute("DROP TABLE schema")
        database.execute("ALTER TABLE topics DROP COLUMN type_description_hash")
    database.close()
    assert answered_and_kept(bag, folder, tmp_path) == [(KNOWN, raw) for raw in RAW]
    with RawReader(tmp_path / "kept.mcap") as reader:
        texts = {c.topic: c.msgdef.data for c in reader.connections}
    assert "uint8[] data" in texts["/cam/image_raw"]
