# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Where the output cannot go: one sentence, exit code 2, and nothing half written."""

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from depthlm_ros.ranges import RangeMap
from depthlm_ros.viz.files import write_map

FAKE = ["--engine", "scripted", "--checkpoint", "facebook/VLM3-depth"]  # answers 2 m everywhere
RECORD = {
    "image": "a.png",
    "intrinsics": [40, 40, 31.5, 23.5, 64, 48],
    "pixel_coords": [[30, 20]] * 200,
    "depth": [2.0] * 200,
    "kind": "distance",
}


@pytest.fixture
def full_disk():
    """No file may be longer than 4000 bytes: an OSError of the write, as on a full disk."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, most))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def in_words(code, err, name):
    lines = err.splitlines()
    return (code, len(lines)) == (2, 1) and lines[0].startswith("depthlm: ") and name in err


def test_an_overlay_that_does_not_fit_is_told_and_not_left(run, image_file, tmp_path, full_disk):
    code, _, err = run("scan", image_file, "--fx", 40, "--out", tmp_path / "out", *FAKE)
    assert in_words(code, err, "overlay.png")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["m.png", "m.npy", "m.ply"])
def test_a_map_that_does_not_fit_leaves_the_old_one(name, tmp_path, full_disk):
    metres = np.random.default_rng(0).uniform(1, 9, (48, 64))
    found = RangeMap(metres, metres, metres, Camera(64, 48, 40, 40, 31.5, 23.5))
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(InputError, match=name):
        write_map(tmp_path / name, found, np.zeros((48, 64, 3), np.uint8))
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"old"]


def test_answers_of_an_evaluation_that_do_not_fit_are_told(run, image_file, tmp_path, full_disk):
    records = tmp_path / "r.jsonl"
    records.write_bytes(json.dumps(RECORD).encode())
    code, _, err = run("eval", records, "--json", tmp_path / "report.json", *FAKE)
    assert in_words(code, err, "report.json")


def process(*words, **more):
    command = [sys.executable, "-m", "depthlm_ros", *map(str, words)]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more}
    return subprocess.run(command, check=False, timeout=120, **given)


def test_answers_that_cannot_be_printed_are_an_error(image_file):
    with open("/dev/full", "w") as full:
        done = process("ask", image_file, "--fx", 40, "--at", "3,4", *FAKE, stdout=full)
    assert in_words(done.returncode, done.stderr, os.strerror(28))


def test_a_name_that_the_encoding_of_the_output_lacks_is_printed_in_ascii(image_file, tmp_path):
    words = ["scan", image_file, "--fx", 40, "--grid", "2x2", "--out", tmp_path / "\u5ba4"]
    done = process(*words, *FAKE, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u5ba4" in done.stdout


def test_a_map_without_questions_is_told_in_json_too(run, image_file, tmp_path):
    words = ["ask", image_file, "--fx", 200, "--map", tmp_path / "m.npy", "--json"]
    code, out, _ = run(*words)
    assert (code, json.loads(out)["answers"]) == (0, [])


@pytest.mark.parametrize("words", [["--json"], ["--worst", "3"]], ids=" ".join)
def test_no_output_is_written_over_records_or_their_images(words, run, image_file, tmp_path):
    records = tmp_path / "r.jsonl"
    records.write_text(json.dumps(RECORD))
    (tmp_path / "r.png").hardlink_to(records)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    outs = ["r.jsonl"] if words == ["--json"] else ["r.png", "a.png"]
    for out in outs:
        code, _, err = run("eval", records, "--constant", 2, *words, tmp_path / out)
        assert in_words(code, err, out)
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_no_output_is_written_over_the_image_that_is_asked_about(run, image_file, tmp_path):
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "overlay.png").write_bytes(content)
    words = ["--fx", 40, *FAKE]
    code, _, err = run("ask", image_file, "--map", tmp_path / "a.png", *words)
    assert in_words(code, err, "a.png")
    code, _, err = run("scan", tmp_path / "overlay.png", "--out", tmp_path, *words)
    assert in_words(code, err, "overlay.png")
    assert {one.name for one in tmp_path.iterdir()} == {"a.png", "overlay.png"}
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [content] * 2
