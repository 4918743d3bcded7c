# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The comparisons: equal budgets, nothing twice, rows that have not run marked so."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from depthlm_ros.errors import DepthLMError
from depthlm_ros.view import unify_focal
from training import sft
from training.tools import replicate
from training.tools.replicate import BASES, FINDINGS, GRPO_FLOPS, Replication, claimed, table

SHAPE = {"width": 48, "heads": 2, "layers": 2, "mlp": 64}


@pytest.fixture
def small(shards, tmp_path):
    """A Replication of two steps on small images."""
    return Replication(
        tmp_path / "out", shards, steps=2, batch=2, scenes=2, pixels=1, shape=SHAPE, workers=0
    )


def finished(replication, finding, run, **result):
    folder = replication.out / finding / run
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result))


def test_arms_of_a_comparison_differ_in_what_is_compared_only():
    for _, arms in FINDINGS.values():
        assert len({arm.name for arm in arms}) == len(arms) > 1
        names = {arm.name for arm in arms}
        assert all(arm.seconds_of in names | {""} for arm in arms)
        assert all(arm.base in BASES for arm in arms)
    _, (unified, raw) = FINDINGS["focal"]
    assert replace(raw, name=unified.name, base="warm", raw=False) == unified
    assert replace(BASES["warm raw"], name="warm", raw=False) == BASES["warm"]
    _, (answer, everything) = FINDINGS["loss"]
    assert replace(everything, name=answer.name, changes={}) == answer


def test_equal_seconds_are_made_of_the_measured_rate(small):
    arm = FINDINGS["labels"][1][2]
    with pytest.raises(DepthLMError, match="'one label, equal seconds'"):
        finished(small, "labels", "ten_labels", steps=100, seconds=300.0)
        small._steps(arm, "labels")
    finished(small, "labels", "one_label_equal_images", steps=100, seconds=50.0)
    assert small._steps(arm, "labels") == 600


def test_equal_flops_count_generation_and_training_of_the_whole_group(small):
    arm = next(a for a in FINDINGS["rewards"][1] if a.name == "SFT, equal FLOPs")
    assert small._steps(arm, "rewards") == round(2 * GRPO_FLOPS) == 21


def test_a_raw_image_is_not_resized(shot):
    one = shot(1)
    raw = claimed(one)
    view = unify_focal(raw.frame, 200.0)
    np.testing.assert_array_equal(view.image, one.frame.image)
    assert unify_focal(one.frame, 200.0).image.shape != one.frame.image.shape
    np.testing.assert_array_equal(raw.distance_m, one.distance_m)


def test_rows_that_have_not_run_are_marked(small):
    finished(
        small,
        "loss",
        "loss_on_all",
        images=4800,
        labels=24000,
        seconds=61.2,
        steps=300,
        delta1=0.5,
        low=0.4,
        high=0.6,
        constant=0.3,
    )
    lines = table(small).splitlines()
    runs = sum(len(arms) for _, arms in FINDINGS.values())
    assert sum("| not run |" in line for line in lines) == runs - 1
    assert "| loss | loss on all | 4,800 | 24,000 | 61 | 0.500 | 0.400 to 0.600 | 0.300 |" in lines


def test_a_finding_is_carried_out_once(small, monkeypatch):
    small.steps = 1
    small.carry_out("loss")
    rows = small.rows("loss")
    for row in rows:
        assert (row["steps"], row["images"], row["labels"]) == (1, 2, 10)
        assert 0 <= row["low"] <= row["delta1"] <= row["high"] <= 1
        assert row["seconds"] > 0
    manifest = json.loads((small.out / "loss/loss_on_all/manifest.json").read_text())
    assert manifest["config"]["loss_on"] == "all"
    assert manifest["config"]["base"].endswith("bases/warm")
    monkeypatch.setattr(sft, "train", None)
    small.carry_out("loss")
    assert small.rows("loss") == rows


@pytest.mark.slow
def test_every_finding_can_be_carried_out(small):
    for finding in FINDINGS:
        small.carry_out(finding)
    assert "not run" not in table(small)


def test_the_command_prints_the_table_without_training(tmp_path, capsys):
    replicate.main(["--steps", "0", "--out", str(tmp_path), "--data", str(tmp_path)])
    assert "| focal | unified focal length | not run |" in capsys.readouterr().out


def test_data_that_are_not_there_are_told_in_a_line(tmp_path):
    with pytest.raises(SystemExit, match="/nowhere"):
        replicate.main(["--steps", "1", "--out", str(tmp_path), "--data", f"{tmp_path}/nowhere"])


def test_runs_of_other_settings_are_not_compared(tmp_path):
    (tmp_path / "settings.json").write_text('{"seed": 9, "steps": 1}')
    with pytest.raises(SystemExit, match="seed"):
        replicate.main(["--data", str(tmp_path), "--out", str(tmp_path), "--steps", "1"])
