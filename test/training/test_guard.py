# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Bad gradients and bad records: stopped or counted, and named."""

import errno
import json
import os
import re
from dataclasses import replace
from itertools import count
from math import inf, nan
from pathlib import Path

import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from safetensors.torch import load_file
from testing.configs import shortened

from depthlm_ros.errors import InputError, OutOfMemory, RecordError
from training import sft
from training.config import read_config
from training.data.mixture import BadData
from training.data.rows import stage_rows
from training.run import dry_run
from training.run.guard import BadStep, Guard

SHAPE = {"width": 48, "heads": 2, "layers": 2, "mlp": 64}
GOOD = {
    "image": "ok.png",
    "intrinsics": [200, 200, 60, 45, 120, 90],
    "kind": "z",
    "pixel_coords": [[60, 45], [20, 30], [110, 80]],
    "depth": [2.0, 3.5, 1.25],
}
BAD = {
    "gone.png cannot be read": {"image": "gone.png"},
    "cut.png cannot be read": {"image": "cut.png"},
    "but its camera is for": {"intrinsics": [200, 200, 60, 45, 640, 480]},
    "focal length is fx = 0": {"intrinsics": [0, 0, 60, 45, 120, 90]},
    "not a positive number": {"depth": [2.0, 0.0, 1.0]},
    "positive number of metres": {"depth": [2.0, -1.0, 1.0]},
    "is not a positive": {"depth": [2.0, nan, 1.0]},
    "pixel (500, 30) is not on": {"pixel_coords": [[60, 45], [500, 30], [1, 1]]},
    "kind is 'range'": {"kind": "range"},
    "nothing says whether": {"kind": ""},
}


@pytest.fixture
def records(tmp_path):
    """lines -> a config that trains on a jsonl of them, in all styles."""
    pixels = torch.randint(0, 255, (90, 120, 3), dtype=torch.uint8).numpy()
    Image.fromarray(pixels).save(tmp_path / "ok.png")
    whole = (tmp_path / "ok.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])

    def made(lines, **changes):
        path = tmp_path / "r.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        config = read_config("training/configs/tiny_markers.yaml", base="fresh", shape=SHAPE)
        config = shortened(config, 2, data=[{"records": str(path)}], out=str(tmp_path / "run"))
        return replace(config, batch=2, workers=0, heldout={}, **changes)

    return made


@pytest.mark.parametrize("said", BAD)
def test_a_bad_record_is_refused_with_file_and_line(records, said):
    config = records([{**GOOD, **BAD[said]}], bad="refuse")
    with pytest.raises(RecordError) as raised:
        stage_rows(config, config.entry(""))[0]
    assert "r.jsonl:1: " in str(raised.value)


def test_bad_records_are_skipped_counted_and_the_count_survives_a_resumption(records, capsys):
    lines = [GOOD, *({**GOOD, **bad} for bad in BAD.values())]
    config = records(lines, save_every=2, bad_share=1.0)
    sft.train(config)
    first = capsys.readouterr().out
    assert "r.jsonl:" in first
    counts = json.loads((Path(config.out) / "manifest.json").read_text())["skipped"]
    (Path(config.out) / "steps/checkpoint-4/complete.json").unlink()
    sft.train(config)
    again = json.loads((Path(config.out) / "manifest.json").read_text())["skipped"]
    assert again["counts"] == counts["counts"] and sum(n for *_, n in counts["counts"]) > 4


def test_only_labelled_pixels_are_asked_and_with_their_own_distance(records):
    config = records([GOOD])
    rows = stage_rows(config, config.entry(""))
    for row in (rows[i] for i in range(len(rows))):
        places = row.view.to_view(GOOD["pixel_coords"]).tolist()
        ray = row.example.frame.camera.rays(GOOD["pixel_coords"])[:, 2]
        for asked in row.asked:
            which = places.index(list(asked.question.pixel))
            assert asked.metres == pytest.approx(GOOD["depth"][which] / ray[which])


def test_an_empty_dataset_is_refused(records):
    with pytest.raises(InputError, match=r"r\.jsonl"):
        sft.train(records([]))


def test_crop_camera_and_pixels_move_together(records):
    """What a crop's own camera says of an asked pixel is what the whole image's says."""
    config = records([GOOD], crop={"width": [60, 110], "height": [50, 80]})
    sizes = set()
    rows = stage_rows(config, config.entry(""), multiple=4)
    for row in (rows[i] for i in range(len(rows))):
        camera = row.view.camera
        sizes.add((camera.width, camera.height))
        assert row.image.shape == (camera.height, camera.width, 3)
        assert camera.width % 4 == camera.height % 4 == 0
        assert abs(row.view.offset[0] - (120 - camera.width) / 2) <= 0.5  # centred
        whole = row.example.frame.camera
        for asked in row.asked:
            place = row.view.to_frame(asked.question.pixel) - 0.5
            assert camera.rays(asked.question.pixel) == pytest.approx(whole.rays(place), abs=1e-9)
    assert len(sizes) > 2


def usual(guard):
    """The guard after thirty steps of ordinary norms."""
    for step in range(30):
        guard.saw([f"room {step}"])
        assert guard.takes(1.0 + step % 3, step)
    return guard


@pytest.mark.parametrize("norm", [nan, inf, 25.0])
def test_a_gradient_that_is_no_number_or_a_spike_is_passed_over_a_bounded_number_of_times(norm):
    guard = usual(Guard(spike=10, skip_steps=2))
    for step in (31, 32):
        guard.saw(["a.jsonl:7", "a.jsonl:9"])
        assert not guard.takes(norm, step)
    assert [one["step"] for one in guard.passed_over] == [31, 32]
    assert guard.passed_over[0]["records"] == ["a.jsonl:7", "a.jsonl:9"]
    assert guard.takes(2.0, 33)
    guard.saw(["a.jsonl:8"])
    with pytest.raises(BadStep) as raised:
        guard.takes(norm, 34)
    assert "step 34" in str(raised.value) and "a.jsonl:8" in str(raised.value)


def test_a_resumed_guard_refuses_what_an_unbroken_one_does():
    guard = usual(Guard(spike=10, skip_steps=1))
    assert not guard.takes(25.0, 31)
    again = Guard(spike=10, skip_steps=1)
    again.restore(json.loads(json.dumps(guard.state())))
    assert again.state() == guard.state()
    with pytest.raises(BadStep):
        again.takes(25.0, 32)


def test_the_first_steps_may_be_wild():
    guard = Guard(spike=10)
    for step, norm in enumerate((1.0, 500.0, 3.0)):
        assert guard.takes(norm, step)


@pytest.fixture
def poison(monkeypatch):
    """steps -> the loss of these steps is no number."""
    from training.model import Student

    forward = Student.forward

    def poisoned(*steps):
        calls = count(1)

        def loss_of(self, **batch):
            found = forward(self, **batch)
            return {**found, "loss": found["loss"] * nan} if next(calls) in steps else found

        monkeypatch.setattr(Student, "forward", loss_of)

    return poisoned


def weights(config, step):
    return load_file(Path(config.out) / f"steps/checkpoint-{step}/model.safetensors")


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_poisoned_step_leaves_the_weights_alone_and_the_run_goes_on(tiny_run, poison, optimizer):
    config = replace(tiny_run, save_every=1, keep=9, optimizer=optimizer)
    poison(3)
    assert sft.train(config).exists()
    assert equal(weights(config, 2), weights(config, 3))
    assert not equal(weights(config, 3), weights(config, 4))
    (one,) = json.loads((Path(config.out) / "manifest.json").read_text())["passed_over"]
    assert (one["step"], one["norm"]) == (3, "nan") and one["records"][0].startswith("plane")


def test_a_run_that_was_ended_by_bad_steps_goes_on_once_more_are_allowed(tiny_run, poison):
    """As the error advises; and what was passed over before counts after a resumption."""
    config = replace(tiny_run, save_every=1, skip_steps=1)
    poison(2, 4)
    with pytest.raises(BadStep):
        sft.train(config)
    poison(1)  # the step that is taken again
    with pytest.raises(BadStep):
        sft.train(config)
    poison(1)
    sft.train(replace(config, skip_steps=2))
    content = json.loads((Path(config.out) / "manifest.json").read_text())
    assert [one["step"] for one in content["passed_over"]] == [2, 4] and content["finished"]


@pytest.fixture
def tiny_run(shards, tmp_path):
    config = read_config("training/configs/tiny_markers.yaml", base="fresh", shape=SHAPE)
    config = shortened(config, 2, data=str(shards), out=str(tmp_path / "run"))
    return replace(config, batch=2, workers=0, heldout={})


def test_a_run_that_cannot_fit_is_refused_before_it_starts(tiny_run, monkeypatch):
    monkeypatch.setattr(dry_run, "free_bytes", lambda device: 10_000)
    with pytest.raises(OutOfMemory, match=r"0\.\d+ GB.*lora"):
        sft.train(tiny_run)
    monkeypatch.undo()
    monkeypatch.setattr(dry_run.shutil, "disk_usage", lambda _: type("Disk", (), {"free": 1000}))
    with pytest.raises(InputError, match=r" GB .*/run\b"):
        sft.train(tiny_run)
    assert not list((Path(tiny_run.out)).glob("steps/*"))


def test_a_disk_that_fills_up_while_saving_costs_one_checkpoint(tiny_run, monkeypatch, capsys):
    from training.run import export

    write, calls = export.save_file, []

    def full(state, path, **more):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(state, path, **more)

    monkeypatch.setattr(export, "save_file", full)
    with pytest.raises(OSError) as raised:
        sft.train(replace(tiny_run, save_every=1))
    assert raised.value.errno == errno.ENOSPC
    monkeypatch.undo()
    sft.train(replace(tiny_run, save_every=1))
    assert "checkpoint-2" in capsys.readouterr().out
    sessions = json.loads((Path(tiny_run.out) / "manifest.json").read_text())["sessions"]
    assert sessions[-1]["from_step"] == 1


def test_the_dry_run_tells_memory_disk_and_time(tiny_run):
    said = sft.train(tiny_run, dry_run=True)
    assert re.search(r"\b236 x 181\b.*\b6\b.*\b2\b", said)
    for line in ("memory: ", "disk: "):
        assert line in said


def test_a_run_of_mostly_bad_records_ends_and_goes_on_once_they_are_allowed(records):
    config = records([GOOD, {**GOOD, **BAD["gone.png cannot be read"]}])
    with pytest.raises(BadData):
        sft.train(config)
    assert not (Path(config.out) / "checkpoint").exists()
    folder = sft.train(replace(config, bad_share=0.9))
    assert (folder / "model.safetensors").exists()
    state = json.loads((Path(config.out) / "steps/checkpoint-4/trainer_state.json").read_text())
    counts = json.loads((Path(config.out) / "steps/checkpoint-4/skipped.json").read_text())
    bad = sum(n for *_, n in counts["counts"])
    assert counts["used"] == 8 and bad > 0
    shares = [h["skipped_share"] for h in state["log_history"] if "skipped_share" in h]
    assert not shares or 0 <= shares[-1] < 1


@pytest.mark.parametrize("factor", [1000, 0.001])
def test_labels_that_cannot_be_metres_end_a_run_before_the_base_is_made(records, factor):
    wrong = {**GOOD, "depth": [metres * factor for metres in GOOD["depth"]]}
    config = records([wrong])
    with pytest.raises(InputError) as raised:
        sft.train(config)
    assert "r.jsonl" in str(raised.value) and "median_m" in str(raised.value)
    assert not (Path(config.out) / "base").exists()


def test_far_labels_are_trained_where_the_config_says_that_they_are_true(records, capsys):
    config = records([{**GOOD, "depth": [400.0, 420.0, 410.0]}], median_m=(0.05, 500.0))
    assert sft.train(config).exists()
    assert " 410 m" in capsys.readouterr().out


def test_a_label_that_the_answers_digits_cannot_say_is_a_bad_record(records):
    config = records([{**GOOD, "depth": [1400.0] * 3}], bad="refuse")
    with pytest.raises(RecordError):
        stage_rows(config, config.entry(""))[0]
