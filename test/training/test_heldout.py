# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The held-out measure: its questions, its records, and a perfect answerer."""

import json
from contextlib import nullcontext

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.data.records import Records
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import OutOfMemory
from depthlm_ros.predict import AskingPredictor
from training import synthetic
from training.config import Heldout
from training.data.shards import write_shard
from training.heldout import main, measured, questions
from training.run import watch
from training.synthetic import shot

ROW = Checkpoint("t", "", "qwen3_vl", 200.0, "coordinates", "coordinates", {"coordinates": "tags"})


def test_questions_know_the_true_distance_of_their_pixels():
    (frame, places, truth), *_ = questions(1, 5)
    one = shot(0, "heldout")
    assert np.array_equal(frame.image, one.frame.image)
    assert truth.tolist() == [pytest.approx(float(one.distance_m[v, u])) for u, v in places]


def test_a_perfect_answerer_beats_the_constant_and_a_constant_does_not():
    asked = list(questions(3, 6))
    truth = iter(np.concatenate([truth for _, _, truth in asked]))
    perfect = AskingPredictor(ScriptedEngine(lambda view, pixel: next(truth)), ROW)
    row = measured(perfect, "coordinates", asked)
    assert row["delta1"] == 1.0 and row["inside_90"] == 1.0 and row["points"] == 18
    constant = AskingPredictor(ScriptedEngine(row["best_constant_m"]), ROW)
    assert measured(constant, "coordinates", asked)["ratio"] == pytest.approx(1.0)


def test_scenes_as_records_are_the_scenes_themselves(tmp_path, capsys):
    main(["records", "--first", "3", "--count", "2", "--pixels", "4", "--out", str(tmp_path)])
    path = tmp_path / "heldout_3_2x4.jsonl"
    assert capsys.readouterr().out == f"wrote {path}\n"
    records = list(Records(path))
    assert np.array_equal(records[0].frame().image, shot(3, "heldout").frame.image)
    for record, (frame, places, truth) in zip(records, questions(2, 4, first=3), strict=True):
        assert record.kind == "distance" and record.camera == frame.camera
        assert np.array_equal(record.frame().image, frame.image)
        assert np.array_equal(record.pixels, places) and np.array_equal(record.label_m, truth)


def test_records_of_shards_leave_the_images_of_others_as_they_are(tmp_path):
    """shards/heldout and the split "heldout" have one name."""
    synthetic.shards(tmp_path / "heldout", 2, "train")
    out = tmp_path / "records"
    first = f"records --count 1 --pixels 2 --out {out}"
    main(first.split())
    main(f"records --shards {tmp_path / 'heldout'} --pixels 2 --out {out}".split())
    for path in sorted(out.glob("*.jsonl")):
        for record, seed in zip(Records(path), (0, 1), strict=False):
            split = "heldout" if path.stem.endswith("1x2") else "train"
            assert np.array_equal(record.frame().image, shot(seed, split).frame.image)


def test_the_map_of_a_checkpoint_with_a_head_is_measured_beside_its_styles(capsys):
    main(["--count", "1", "--pixels", "2", "--json"])
    rows = {row["style"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == ["marker", "coordinates", "position", "dense"]
    assert (rows["dense"]["points"], rows["dense"]["answered"]) == (2, 1.0)


def test_all_scenes_of_shards_are_measured_unless_said_otherwise(tmp_path, capsys):
    write_shard(tmp_path / "x_0000000_2.npz", [shot(seed, "heldout") for seed in (4, 5)])
    main(["maps", "--shards", str(tmp_path), "--json"])
    assert json.loads(capsys.readouterr().out)["images"] == 2


@pytest.mark.parametrize("option", ["--count", "--pixels"])
def test_no_scene_or_pixel_is_no_number_of_them(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([option, "0"])
    assert option in capsys.readouterr().err


def test_scenes_of_shards_are_asked_instead_of_the_split(tmp_path):
    shots = [shot(seed, "heldout") for seed in (4, 5)]
    write_shard(tmp_path / "x_0000000_2.npz", shots)
    frame, places, truth = next(questions(1, 3, first=1, shards=tmp_path))
    assert np.array_equal(frame.image, shots[1].frame.image)
    assert truth == pytest.approx(shots[1].distance_m[places[:, 1], places[:, 0]], abs=1e-3)


@pytest.mark.parametrize(
    "arguments, named",
    [(["--shards", "{}"], r"\.npz"), (["maps", "--checkpoint", "{}"], r"config\.json")],
)
def test_the_command_refuses_in_one_line(tmp_path, arguments, named):
    with pytest.raises(SystemExit, match=f"training.heldout: .*{named}"):
        main([text.format(tmp_path) for text in arguments])


@pytest.fixture
def full(monkeypatch):
    """A machine without room for a second model."""

    def load(*_, **__):
        raise OutOfMemory("it needs 9 GB")

    monkeypatch.setattr(watch, "load_predictor", load)


def test_a_run_goes_on_where_a_checkpoint_has_no_room_beside_it(full, capsys):
    assert watch.HeldOut(Heldout(scenes=1), ["marker"]).measure("folder") == {}
    assert "9 GB" in capsys.readouterr().out


@pytest.mark.parametrize(("used", "devices"), [(True, [3]), (False, [])])
def test_measuring_keeps_the_random_numbers_of_its_own_gpu_alone(full, monkeypatch, used, devices):
    """Reading those of other GPUs would take memory of each, which other processes train on."""
    kept = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: used)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.random, "fork_rng", lambda own: kept.append(own) or nullcontext())
    watch.HeldOut(Heldout(scenes=1), ["marker"]).measure("folder")
    assert kept == [devices]
