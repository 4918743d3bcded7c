# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The ablations of the dense head: what is compared, what a run leaves, what the table says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from PIL import Image
from testing.array_predictor import ArrayPredictor

from depthlm_ros.checkpoints import from_folder
from depthlm_ros.errors import InputError
from depthlm_ros.predict import load_predictor
from training.tools import ablate
from training.tools.ablate import (
    COMPARISONS,
    Ablation,
    Arm,
    Comparison,
    HeldOutSet,
    clear,
    report,
    table,
)
from training.tools.comparing import mean_with_interval

SMALL = {"type": "mlp", "taps": ablate.TEXT, "widths": [4], "output": "metres"}
ARMS = Arm("alone", SMALL), Arm("stages", SMALL, ablate.TWO_STAGES)


@pytest.fixture(scope="module")
def given(shards, tmp_path_factory):
    """Arguments of a small run."""
    out = tmp_path_factory.mktemp("ablate") / "out"
    words = ["--data", shards, "--heldout", shards, "--out", out, "--steps", 2, "--batch", 1]
    return [str(word) for word in (*words, "--images", 2, "--edges", 1)]


@pytest.fixture(scope="module")
def carried_out(given):
    """The folder of a run of two arms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablate, "COMPARISONS", {"head": Comparison("a claim", ARMS)})
        ablate.main([*given, "--comparisons", "head"])
    return Path(given[given.index("--out") + 1])


def test_arms_of_a_comparison_have_names_of_their_own_and_the_same_steps():
    for _, arms in COMPARISONS.values():
        assert len({arm.name for arm in arms}) == len(arms) >= 4
        assert all(sum(share for _, share in arm.phases) == 1.0 for arm in arms)
    inputs, schedule, head = (comparison.arms for comparison in COMPARISONS.values())
    assert replace(inputs[0], name="") == replace(schedule[0], name="")
    assert replace(schedule[1], name="") == replace(head[0], name="")
    assert [tap["source"] for tap in inputs[1].head["taps"]] == ["vision"] * 3


def test_each_run_is_measured_beside_the_first_on_the_same_images(carried_out, given):
    (found,) = json.loads((carried_out / ablate.REPORT).read_text()).values()
    alone, stages = found["runs"]
    place = given[given.index("--heldout") + 1]
    for row in (alone, stages):
        mean, low, high = row["sets"][place]["delta1"]
        assert 0 <= low <= mean <= high <= 1 and row["sets"][place]["images"] == 2
        assert row["parameters"] == 320 + 4 * 161 + 1024 * 5 and row["seconds"] > 0
    assert "difference" not in alone["sets"][place]
    off = stages["sets"][place]["delta1"][0] - alone["sets"][place]["delta1"][0]
    assert stages["sets"][place]["difference"][0] == pytest.approx(off)


def test_heads_begin_anew_and_a_second_stage_goes_on_from_the_first(carried_out):
    assert from_folder(carried_out / "base").head is None
    first = json.loads((carried_out / "mlp_text-1_head0.5/manifest.json").read_text())["config"]
    second = carried_out / "mlp_text-1_head0.5_language0.5/manifest.json"
    second = json.loads(second.read_text())["config"]
    assert (first["learns"], first["base"]) == ("head", str(carried_out / "base"))
    assert (second["learns"], second["base"]) == (
        "language",
        str(carried_out / "mlp_text-1_head0.5"),
    )
    assert first["seed"] != second["seed"] and first["stages"][0]["steps"] == 1
    predictor = load_predictor(
        str(carried_out / "mlp_text-1_head0.5_language0.5/checkpoint"), warm_up=False
    )
    assert predictor.checkpoint.head.type == "mlp"
    predictor.close()


def test_what_is_finished_is_not_repeated(carried_out, given, monkeypatch, capsys):
    monkeypatch.setattr(ablate, "COMPARISONS", {"head": Comparison("a claim", ARMS)})
    monkeypatch.setattr(ablate.dense, "train", None)
    ablate.main([*given, "--comparisons", "head"])
    again = capsys.readouterr().out
    ablate.main([*given, "--steps", "0", "--markdown"])
    assert "| head       | stages" in capsys.readouterr().out and "head        stages" in again
    with pytest.raises(SystemExit, match="batch"):
        ablate.main([*given, "--comparisons", "head", "--batch", "2"])


def test_what_has_not_run_is_marked(shards, tmp_path):
    text = table(report(Ablation(tmp_path, [str(shards)], [str(shards)], 0)))
    assert text.count("not run") == sum(len(c.arms) for c in COMPARISONS.values())
    assert "no difference is clear of 0" in text


def test_only_differences_whose_interval_leaves_out_zero_are_clear():
    names = ("first", "same", "better", "worse")
    offs = (None, (0.01, -0.01, 0.03), (0.02, 0.01, 0.03), (-0.02, -0.03, -0.01))
    runs = [
        {"run": name, "sets": {"rooms": {"difference": off} if off else {}}}
        for name, off in zip(names, offs, strict=True)
    ]
    lines = clear({"head": {"claim": "", "runs": runs}})
    assert [line.split(": ")[1] for line in lines] == [
        "better is better than first",
        "worse is worse than first",
    ]


def test_the_interval_is_over_scenes():
    mean, low, high = mean_with_interval([0.0, 1.0] * 50)
    assert mean == 0.5 and 0.38 < low < 0.43 and 0.57 < high < 0.62
    assert mean_with_interval([0.25] * 9) == (0.25, 0.25, 0.25)
    assert mean_with_interval([0.0, 1.0] * 50, np.array([0, 1] * 50)) == (0.5, 0.0, 1.0)


def test_a_set_that_is_not_there_ends_in_one_line(given):
    with pytest.raises(SystemExit, match="training.tools.ablate: .*nowhere"):
        ablate.main([*given, "--heldout", "/nowhere"])


def test_sets_are_shards_or_records_and_their_images_evenly_spread(tmp_path, shards):
    assert [shot.seed for shot in HeldOutSet(str(shards), 3).items(9)] == [0, 3, 7]
    lens = [50.0, 50.0, 31.5, 23.5, 64, 48]
    lines = []
    for number in range(2):
        Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / f"{number}.png")
        depth = np.full((48, 64), 2500 + 2500 * number, np.uint16)
        Image.fromarray(depth).save(tmp_path / f"depth_{number}.png")
        line = {"image": f"{number}.png", "intrinsics": lens, "kind": "distance"}
        line |= {"depth_path": f"depth_{number}.png", "scene": f"room {number}"}
        lines.append(json.dumps(line))
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    found = HeldOutSet(str(tmp_path / "r.jsonl"), 9)
    assert found.delta1(ArrayPredictor(np.full((48, 64), 2.4))) == [1.0, 0.0]
    assert found.scenes().tolist() == [0, 1]
    (tmp_path / "twice.jsonl").write_text("\n".join([*lines, lines[0]]))
    assert HeldOutSet(str(tmp_path / "twice.jsonl"), 9).scenes().tolist() == [0, 1, 0]
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(InputError):
        HeldOutSet(str(tmp_path / "none.jsonl"), 9)
