# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Which checkpoints of a run are trusted after kills and full disks."""

import errno
import json
import os
import re

import pytest

pytest.importorskip("torch")
from training.run import run_folder


def write(out, step, complete=True):
    folder = out / run_folder.STEPS / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "trainer_state.json").write_text("{}")
    if complete:
        run_folder.mark_complete(folder)
    return folder


def test_the_newest_complete_checkpoint_is_found_by_number(tmp_path):
    for step in (90, 1000, 200):
        write(tmp_path, step)
    assert run_folder.newest_complete(tmp_path) == (tmp_path / "steps/checkpoint-1000", [])


@pytest.mark.parametrize(
    "harm, named",
    [
        (lambda f: (f / "complete.json").unlink(), ""),
        (
            lambda f: (f / "model.safetensors").write_bytes(b"wei"),
            r"model\.safetensors.*\b3\b.*\b7",
        ),
        (lambda f: (f / "trainer_state.json").unlink(), r"trainer_state\.json.*\b2\b"),
        (lambda f: (f / "complete.json").write_text("{"), r"complete\.json"),
    ],
)
def test_a_broken_checkpoint_is_skipped_and_named(tmp_path, harm, named):
    write(tmp_path, 2)
    harm(write(tmp_path, 4))
    found, skipped = run_folder.newest_complete(tmp_path)
    assert found.name == "checkpoint-2"
    assert len(skipped) == 1 and re.search(f"checkpoint-4.*{named}", skipped[0])


def test_nothing_complete_means_from_the_beginning(tmp_path):
    write(tmp_path, 2, complete=False)
    found, skipped = run_folder.newest_complete(tmp_path)
    assert found is None and len(skipped) == 1


def test_pruning_keeps_the_newest_and_the_best_and_what_is_half_written(tmp_path):
    for step in range(1, 7):
        write(tmp_path, step, complete=step != 3)
    run_folder.prune(tmp_path, keep=2, spare=(1,))
    assert [run_folder.step_of(f) for f in run_folder.checkpoints(tmp_path)] == [1, 3, 5, 6]


def test_a_json_is_whole_or_the_old_one(tmp_path, monkeypatch):
    run_folder.write_json(tmp_path / "a.json", {"step": 1})
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(run_folder.os, "fsync", lambda _: (_ for _ in ()).throw(full))
    with pytest.raises(OSError) as raised:
        run_folder.write_json(tmp_path / "a.json", {"step": 2})
    assert raised.value is full
    assert json.loads((tmp_path / "a.json").read_text()) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_takes_the_place_of_another(tmp_path):
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    run_folder.replace_folder(tmp_path / "new", tmp_path / "old")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["old", "old/new"]
