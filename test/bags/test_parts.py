# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm bag after a kill and beside other runs: it goes on, and overwrites nothing."""

import signal
import subprocess
import sys

import pytest

pytest.importorskip("rosbags")
from rosbags.rosbag2 import Writer

from depthlm_ros.bags.parts import Parts
from depthlm_ros.cli import main
from depthlm_ros.scan import scan

KILLED = """
import os, signal, sys
from depthlm_ros.bags import parts
from depthlm_ros.cli import bag, main
parts.PART_S, asked, scan = 0.0, [], bag.scan
def deadly(*arguments):
    if len(asked) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    asked.append(arguments)
    return scan(*arguments)
bag.scan = deadly
main(sys.argv[1:])
"""


def test_a_run_that_is_killed_goes_on_and_writes_what_an_undisturbed_one_writes(
    tmp_path, record, bag, arguments, exactly
):
    folder = record()
    _, undisturbed, _ = bag(folder, out="whole.mcap")
    command = [sys.executable, "-c", KILLED, *arguments(folder)]
    killed = subprocess.run(command, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out.mcap").exists()
    _, content, said = bag(folder)
    assert " 2 of 4" in said
    assert exactly(content) == exactly(undisturbed)
    assert not (tmp_path / "out.mcap.parts").exists()


def test_parts_of_a_run_with_other_options_are_refused(record, bag, monkeypatch):
    folder = record()
    answered = []

    def broken(predictor, frame, columns, rows):
        answered.append(frame)
        return scan(predictor, frame, columns, rows) if len(answered) < fails_at else 1 / 0

    for fails_at in (1, 2):
        answered.clear()
        with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
            patch.setattr("depthlm_ros.cli.bag.scan", broken)
            bag(folder, grid=f"{fails_at}x2")  # the first leaves no part, and so no trace
    code, _, said = bag(folder, grid="5x2")
    assert code == 2 and "out.mcap.parts" in said
    _, content, said = bag(folder, grid="2x2")
    assert " 1 of 4" in said and len(content["/depthlm/points"]) == 4


def test_parts_of_another_recording_of_the_same_name_are_refused(
    tmp_path, record, shots, bag, monkeypatch
):
    """As where the recordings of several days are told apart by their folders."""
    answered = []

    def broken(*asked):
        answered.append(asked)
        return scan(*asked) if len(answered) < 2 else 1 / 0

    monday = record().rename(tmp_path / "monday")
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("depthlm_ros.cli.bag.scan", broken)
        bag(monday / "in.mcap")
    tuesday = record([(time_ns + 1, *rest) for time_ns, *rest in shots()])
    code, _, said = bag(tuesday / "in.mcap")
    assert code == 2 and "out.mcap.parts" in said
    assert bag(monday / "in.mcap")[0] == 0


def test_an_image_that_was_half_written_is_answered_again_and_not_twice(record, bag, monkeypatch):
    folder, written = record(), []

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
    assert {len(messages) for messages in content.values()} == {4}


def test_two_runs_do_not_write_the_same_output(tmp_path, record, bag):
    with Parts(tmp_path / "out.mcap", {}):
        code, _, said = bag(record())
    assert code == 2 and "out.mcap" in said


def test_the_folder_where_one_is_is_no_output(arguments, record):
    command = arguments(record())
    for out in (".", "", "/"):
        command[2] = out
        assert main(command) == 2


def test_an_output_that_exists_is_never_overwritten(tmp_path, record, bag):
    (tmp_path / "out.mcap").write_text("precious")
    code, _, said = bag(record())
    assert code == 2 and "out.mcap" in said
    assert (tmp_path / "out.mcap").read_text() == "precious"
