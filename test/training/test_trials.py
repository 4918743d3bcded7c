# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""training.tools.trials: a trial changes one thing, is made once, and its row is what it says."""

from dataclasses import fields

import numpy as np
import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import from_folder
from depthlm_ros.data.records import Record, write_records
from depthlm_ros.predict import load_predictor
from training import synthetic
from training.fast import render
from training.fast.recipe import Recipe
from training.heldout import answered, questions
from training.tools import trials
from training.tools.comparing import kept


def test_a_trial_changes_one_thing():
    usual = Recipe()
    for name, trial in trials.TRIALS.items():
        own = [
            f.name
            for f in fields(Recipe)
            if getattr(trial.recipe, f.name) != getattr(usual, f.name)
        ]
        if name == trials.CONTROL:
            assert not own and trial.base is None
        elif name == "focal length 300 px":  # other sizes, so that views show as much
            assert own == ["sizes"]
        else:
            assert len(own) + (trial.base is not None) == 1, name
        for shares in (trial.recipe.sources, trial.recipe.sizes):
            assert sum(shares.values()) == pytest.approx(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A pool, and a held-out set."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "pool").mkdir()
    shots = [synthetic.shot(i) for i in range(3)]
    render.write_chunk(folder / "pool/boxes_0.npz", shots, "boxes")
    synthetic.shards(folder / "rooms", 3, "heldout")
    return folder


@pytest.fixture(scope="module")
def made(world):
    """The folder of two trials of one step of two images, and what the second command printed."""
    command = f"--pool {world / 'pool'} --heldout {world / 'rooms'} --out {world / 'trials'}"
    few = ["--steps", "1", "--batch", "2", "--images", "2"]
    names = ["--trials", trials.CONTROL, "focal length 300 px"]
    trials.main([*command.split(), *few, *names])
    return world / "trials", [*command.split(), *few, *names]


def test_a_row_is_what_the_checkpoint_answers(made, world):
    folder, _ = made
    finer = folder / "focal_length_300_px"
    found = kept(finer)["sets"][str(world / "rooms")]
    predictor = load_predictor(str(finer / "checkpoint"), warm_up=False)
    assert predictor.checkpoint.focal_px == 300
    asked = list(questions(2, trials.PIXELS, shards=world / "rooms"))
    points = answered(predictor, "position", asked)
    ratio = points.answer_m / points.label_m
    right = (np.maximum(ratio, 1 / ratio) < 1.25).reshape(2, -1)
    assert found["raw"] == pytest.approx(right.mean(1))
    off = np.log(ratio.reshape(2, -1))
    off = np.abs(off - np.log(np.median(np.exp(off), axis=1, keepdims=True))) < np.log(1.25)
    assert found["aligned"] == pytest.approx(off.mean(1))


def test_intervals_are_over_the_scenes_that_records_name(tmp_path):
    path, camera = str(tmp_path / "some.jsonl"), Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
    records = [
        Record(tmp_path / "a.png", camera, np.zeros((1, 2)), np.ones(1), "z", "", scene=scene)
        for scene in ("hall", "hall", "hall", "yard", "yard", "yard")
    ]
    write_records(path, records)
    scenes = trials.Trials(tmp_path, "", [path], 0, 1, 1.0, 6, "position", 1).scenes()
    assert {place: found.tolist() for place, found in scenes.items()} == {path: [0, 0, 0, 1, 1, 1]}
    shares = {trials.CONTROL: [0.0] * 6, "no zoom": [0.0] * 3 + [1.0] * 3}
    results = {
        name: {"seconds": 1.0, "sets": {path: {"raw": of_images, "aligned": of_images}}}
        for name, of_images in shares.items()
    }
    over_scenes, over_images = (trials.table(results, of) for of in (scenes, {}))
    assert over_scenes.count("+0.500 (+0.000 to +1.000)") == 2
    assert "+0.500" in over_images and "+1.000" not in over_images


def test_what_is_finished_is_not_repeated(made, capsys):
    folder, command = made
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    trials.main(command)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == before
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[-3:]] == [
        "as shipped",
        trials.CONTROL,
        "focal length 300 px",
    ]
    assert from_folder(folder / "recipe_as_it_is/checkpoint").focal_px == 200


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--heldout {0}/none.jsonl", r"none\.jsonl"),
        ("--style none", "none"),
        ("--style dense", "dense"),
        ("--pool {0}", "no chunk"),
    ],
)
def test_what_cannot_be_measured_is_told_before_anything_is_trained(
    world, option, named, tmp_path
):
    command = f"--pool {world / 'pool'} --heldout {world / 'rooms'} --out {tmp_path / 'out'}"
    few = f"--steps 1 --batch 2 --images 1 {option.format(tmp_path)}"
    with pytest.raises(SystemExit, match=named):
        trials.main([*command.split(), *few.split()])
    assert not list((tmp_path / "out").rglob("*.safetensors"))


@pytest.mark.parametrize("option", ["--steps 2", "--images 1", "--lr 1e-3"])
def test_trials_of_other_settings_are_not_mixed(made, option):
    _, command = made
    with pytest.raises(SystemExit, match=option.split()[0].strip("-")):
        trials.main([*command, *option.split()])
