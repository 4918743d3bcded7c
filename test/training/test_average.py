# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The mean of checkpoints: of the newest whole ones of runs, and it answers."""

import re
from shutil import copytree

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from depthlm_ros.checkpoints import TINY
from depthlm_ros.predict import load_predictor
from training.run import run_folder
from training.tools.average import main

FILES = "model.safetensors", run_folder.HEADS


def write_step(run, step, factor):
    """A complete step whose weights are the embedded checkpoint's times a factor."""
    folder = run / run_folder.STEPS / f"checkpoint-{step}"
    copytree(TINY, folder)
    state = load_file(folder / FILES[0])
    save_file({k: v * factor for k, v in state.items()}, folder / FILES[0], {"format": "pt"})
    save_file({"heads.dense.bias": torch.full((16,), factor)}, folder / FILES[1])
    (folder / "optimizer.pt").write_bytes(b"of one step")
    run_folder.mark_complete(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Steps of 7, 0.5, 1 and 1.5 times the weights, and one that was not written to its end."""
    made = tmp_path_factory.mktemp("of") / "run"
    for step, factor in ((50, 7.0), (100, 0.5), (1000, 1.5), (200, 1.0), (2000, 9.0)):
        folder = write_step(made, step, factor)
    (folder.with_name("checkpoint-2000") / run_folder.COMPLETE).unlink()
    return made


def test_the_mean_of_the_newest_whole_steps_answers_as_a_checkpoint(run, tmp_path, shot):
    out = tmp_path / "mean"
    main([str(run), str(out), "--last", "3"])
    weights, expected = (load_file(folder / FILES[0]) for folder in (out, TINY))
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=2e-3, atol=1e-6)
    assert load_file(out / FILES[1])["heads.dense.bias"].tolist() == [1.0] * 16
    assert {p.name for p in out.iterdir()} == {p.name for p in TINY.iterdir()} | {run_folder.HEADS}
    assert {(out / name).stat().st_mode for name in FILES} == {
        (out / "config.json").stat().st_mode
    }
    mean, whole = (load_predictor(str(folder), warm_up=False) for folder in (out, TINY))
    for style in ("marker", "dense"):
        answer, known = (
            made.ranges(shot().frame, [(65, 50)], style=style).distance_m for made in (mean, whole)
        )
        np.testing.assert_allclose(answer, known, rtol=0.02)


def test_runs_are_averaged_with_each_other(run, tmp_path):
    write_step(tmp_path / "other", 10, 0.5)
    main([str(run), str(tmp_path / "other"), str(tmp_path / "mean"), "--last", "1"])
    heads = load_file(tmp_path / "mean" / FILES[1])
    assert heads["heads.dense.bias"].tolist() == [1.0] * 16


@pytest.mark.parametrize("change", ["shape", "names", "file"])
def test_runs_of_unlike_models_have_no_mean(run, tmp_path, change):
    step = write_step(tmp_path / "other", 10, 0.5)
    if change == "file":
        (step / FILES[1]).unlink()
    else:
        name = "heads.dense.bias" if change == "shape" else "heads.dense.weight"
        save_file({name: torch.ones(9)}, step / FILES[1])
    run_folder.mark_complete(step)
    with pytest.raises(SystemExit, match=r"other/.*heads\.safetensors"):
        main([str(tmp_path / "other"), str(run), str(tmp_path / "mean"), "--last", "1"])
    assert not (tmp_path / "mean").exists()


@pytest.mark.parametrize(
    ("last", "named"),
    [(0, r"\b0\b"), (1, r"\b2\b"), (5, r"\b4 .*\b5\b")],
)
def test_a_mean_of_what_is_not_there_is_refused(run, tmp_path, last, named):
    with pytest.raises(SystemExit, match=named):
        main([str(run), str(tmp_path / "mean"), "--last", str(last)])
    assert not (tmp_path / "mean").exists()


def test_a_folder_that_exists_is_kept(run, tmp_path):
    with pytest.raises(SystemExit, match=re.escape(str(tmp_path))):
        main([str(run), str(tmp_path)])
