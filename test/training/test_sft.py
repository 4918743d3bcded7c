# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Training: what a row asks, what a run writes, and that a batch can be learnt by heart."""

import errno
import json
import os
import shutil
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file
from testing.configs import shortened
from transformers import AutoModelForImageTextToText, AutoTokenizer

from depthlm_ros.checkpoints import Checkpoint, from_folder
from depthlm_ros.errors import CheckpointError, InputError, RecordError
from depthlm_ros.models.loading import load_parts
from depthlm_ros.predict import Status, load_predictor
from depthlm_ros.view import Frame, unify_focal
from training import sft
from training.config import Stage, read_config
from training.data.collate import Collator
from training.data.examples import (
    Sparse,
    brought_nearer,
    of_shot,
    quarter_turned,
    sometimes_zoomed,
    varied,
    zoomed,
)
from training.data.rows import make_row, stage_rows
from training.model import Student, assert_float32, load_student
from training.run import fresh
from training.run.base import ready_base
from training.run.supervised import rate, training_arguments

WORDING = {"marker": "tags", "coordinates": "tags", "position": "number"}
ROW = Checkpoint(
    "t", "", "qwen3_vl", 100.0, "marker", "position", WORDING, marker_scale=2, licence="none"
)
SHAPE = {"width": 48, "heads": 2, "layers": 2, "mlp": 64}
ALL = {"position": 3, "coordinates": 2, "marker": 1}


def row_of(shot, ask, seed=0):
    return make_row(of_shot(shot), ROW, Stage("s", 1, 1.0, ask), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.manual_seed(0)
    return fresh.build(tmp_path_factory.mktemp("base"), **SHAPE)


@pytest.fixture(scope="module")
def collator(base):
    return Collator(load_parts(replace(ROW, model=str(base))))


@pytest.fixture
def student(base):
    torch.manual_seed(0)
    return Student(AutoModelForImageTextToText.from_pretrained(base))


@pytest.fixture
def tiny(shards, tmp_path):
    """The shipped tiny config on a few small images, three steps a stage."""
    config = read_config("training/configs/tiny.yaml", data=str(shards), out=str(tmp_path / "run"))
    return shortened(config, 3, batch=2, workers=0, shape=SHAPE)


def test_rows_depend_on_seed_and_index_only(tiny):
    def drawn(seed):
        row = stage_rows(replace(tiny, seed=seed), ROW)[8]
        return [(a.question, a.metres) for a in row.asked]

    assert drawn(1) == drawn(1) != drawn(2)


def test_each_stage_asks_its_own_questions(tiny):
    rows = stage_rows(tiny, ROW)
    assert len(rows) == 2 * 3 * 2
    assert [len(rows[i].asked) for i in (0, 5, 6, 11)] == [0, 0, 14, 14]
    assert rows[5].weights == {"dense": 1.0}


def test_the_rate_rises_and_falls_in_each_stage():
    stages = [Stage("a", 100, 1e-3, warmup=0.1), Stage("b", 50, 1e-4, final_lr=0.0)]
    rates = [rate(stages, step, 1e-3) * 1e-3 for step in range(150)]
    assert max(rates[:100]) == rates[10] == pytest.approx(1e-3)
    assert rates[99] == pytest.approx(0.05 * 1e-3, rel=0.02)
    assert max(rates[100:]) == pytest.approx(1e-4) and rates[149] < 1e-6
    assert all(a > b for a, b in pairwise(rates[10:100]))


def test_a_row_knows_the_true_distance_of_the_pixel_it_asks(shot):
    row = row_of(shot(), ALL)
    for asked in row.asked:
        v = int((asked.question.pixel[1] + 0.5) / row.view.scale[1])
        assert asked.metres == pytest.approx(1 + 4 * v / 99, abs=1e-5)


def test_a_checkpoint_that_answers_z_is_taught_z(shot):
    ray, z = (
        make_row(
            of_shot(shot()),
            replace(ROW, kind=kind),
            Stage("s", 1, 1.0, {"position": 5}),
            np.random.default_rng(0),
        )
        for kind in ("distance", "z")
    )
    for one, other in zip(ray.asked, z.asked, strict=True):
        share = ray.view.camera.rays(one.question.pixel)[0, 2]
        assert other.metres == pytest.approx(one.metres * share)


def test_an_arrow_is_drawn_for_marker_questions_only(shot):
    plain, marked = row_of(shot(), {"position": 3}), row_of(shot(), {"marker": 1})
    assert np.array_equal(plain.image, plain.view.image)
    assert (marked.image != marked.view.image).any(axis=2).sum() == 9 * 2**2


def test_unknown_distances_are_never_asked(shot):
    blind = shot()
    blind.distance_m[:60] = np.nan
    for seed in range(5):
        assert all(np.isfinite(a.metres) for a in row_of(blind, ALL, seed).asked)
    blind.distance_m[:] = np.nan
    with pytest.raises(InputError, match="plane 0"):
        row_of(blind, ALL)


def test_a_mirrored_shot_keeps_the_ray_and_distance_of_what_it_shows(shot):
    one = shot(0)
    one = replace(one, frame=Frame(one.frame.image, replace(one.frame.camera, cx=60.0)))
    one.distance_m[40, 30] = 7.0
    turned = one.mirrored()
    u = 129 - 30
    assert turned.distance_m[40, u] == 7.0
    assert (turned.frame.image[40, u] == one.frame.image[40, 30]).all()
    ray, other = one.frame.camera.rays([(30, 40)])[0], turned.frame.camera.rays([(u, 40)])[0]
    assert np.allclose(other, ray * (-1, 1, 1))


def test_variation_changes_colours_but_no_distance_and_half_of_the_images_are_mirrored(shot):
    one = shot(0)
    one.distance_m[:, :65] += 1
    found = [varied(one, np.random.default_rng(seed)) for seed in range(40)]
    for each in found:
        ways = one.distance_m, one.distance_m[:, ::-1]
        assert any(np.array_equal(each.distance_m, way) for way in ways)
    assert 10 < sum(each.distance_m[0, 0] < 1.5 for each in found) < 30
    assert all((f.frame.image != one.frame.image).mean() > 0.2 for f in found)


def test_a_zoomed_image_makes_a_larger_view_of_nearer_things(shot):
    """They keep their size across."""
    one = of_shot(shot(0))
    for example in (one, Sparse(one.frame, np.array([[30, 40]]), np.array([3.0]), "a")):
        found = zoomed(example, 1.25)
        plain, view = (unify_focal(each.frame, 100.0) for each in (example, found))
        assert view.camera.width == pytest.approx(1.25 * plain.camera.width, abs=0.6)
        points, moved = (
            each.frame.camera.rays(each.pixels) * each.distance_m.reshape(-1, 1)
            for each in (example, found)
        )
        np.testing.assert_allclose(moved, points / (1, 1, 1.25), rtol=1e-5, atol=1e-6)
        assert found.frame.image is example.frame.image
    bent = replace(one.frame.camera, distortion="plumb_bob", coefficients=(0.1, 0, 0, 0, 0))
    with pytest.raises(InputError):
        zoomed(replace(one, frame=replace(one.frame, camera=bent)), 1.25)
    ratios = [
        sometimes_zoomed(one, (0.8, 1.25), np.random.default_rng(seed)).frame.camera.fx
        / one.frame.camera.fx
        for seed in range(60)
    ]
    changed = [ratio for ratio in ratios if ratio != 1]
    assert 15 < len(changed) < 45 and 0.8 <= min(changed) < 0.9 and 1.1 < max(changed) <= 1.25


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_image_shows_the_same_things_from_a_turned_camera(shot, quarters):
    one = shot(0)
    one.distance_m[40, 30] = 7.0
    camera = replace(one.frame.camera, cx=60.0, fx=90.0)
    dense = replace(of_shot(one), frame=Frame(one.frame.image, camera))
    sparse = Sparse(dense.frame, np.array([[30, 40]]), np.array([7.0]), "a")
    turned, few = (quarter_turned(each, quarters) for each in (dense, sparse))
    ((u, v),) = few.pixels.tolist()
    assert turned.distance_m[v, u] == few.distance_m[0] == 7.0
    assert (turned.frame.image[v, u] == one.frame.image[40, 30]).all()
    assert turned.frame.camera == few.frame.camera
    x, y, z = camera.rays([(30, 40)])[0]
    for _ in range(quarters):
        x, y = y, -x
    np.testing.assert_allclose(turned.frame.camera.rays([(u, v)])[0], (x, y, z), atol=1e-12)


@pytest.mark.parametrize(
    "bad", [{"skew": 1.0}, {"distortion": "plumb_bob", "coefficients": (0.1, 0, 0, 0, 0)}]
)
def test_images_that_cannot_be_turned_are_refused(shot, bad):
    one = of_shot(shot(0))
    camera = replace(one.frame.camera, **bad)
    with pytest.raises(InputError):
        quarter_turned(replace(one, frame=replace(one.frame, camera=camera)), 1)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_brought_nearer_fills_a_view_as_large_as_before(shot, seed):
    """Its colours and distances are those of one window of the image, z by a factor less."""
    one = of_shot(shot(0))
    found = brought_nearer(one, (1.5, 3.0), np.random.default_rng(seed))
    plain, view = (unify_focal(each.frame, 100.0) for each in (one, found))
    assert view.camera.width == pytest.approx(plain.camera.width, rel=0.03)
    assert view.camera.height == pytest.approx(plain.camera.height, rel=0.03)
    small, large = found.frame.camera, one.frame.camera
    corner = round(large.cx - small.cx), round(large.cy - small.cy)
    window = np.s_[corner[1] : corner[1] + small.height, corner[0] : corner[0] + small.width]
    assert np.array_equal(found.frame.image, one.frame.image[window])
    z_m, nearer_m = (
        each.frame.camera.z_from_distance(each.pixels, each.distance_m.ravel()).reshape(
            each.distance_m.shape
        )
        for each in (one, found)
    )
    factor = large.fx / small.fx
    assert 1.5 <= factor <= 3
    np.testing.assert_allclose(nearer_m, z_m[window] / factor, rtol=1e-5)


def test_depth_images_of_another_size_are_brought_nearer_too(shot):
    one = of_shot(shot(0))
    coarse = replace(one, distance_m=one.distance_m[::2, ::2])
    fine, found = (
        brought_nearer(each, (2.0, 2.0), np.random.default_rng(3)) for each in (one, coarse)
    )
    assert found.distance_m.shape == fine.distance_m.shape
    assert np.median(np.abs(np.log(found.distance_m / fine.distance_m))) < 0.02
    with pytest.raises(RecordError):
        brought_nearer(Sparse(one.frame, np.array([[3, 4]]), np.ones(1), "a"), (2, 2), None)


def test_a_batch_is_learnt_by_heart(collator, student, shot):
    weights = {"text": 0.2, "dense": 1.0, "locate": 0.5}
    batch = collator([replace(row_of(shot(s), ALL, s), weights=weights) for s in range(2)])
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        outputs = student(**batch)
        losses.append({k: v.item() for k, v in outputs.items()})
        optimizer.zero_grad()
        outputs["loss"].backward()
        optimizer.step()
    for name in ("text_loss", "dense_loss"):
        assert losses[-1][name] < 0.4 * losses[0][name], name


def test_the_tokenizer_keeps_digits_single_and_sentences_short(collator, shot):
    assert collator.tokenizer.tokenize("12.35") == ["1", "2", ".", "3", "5"]
    for asked in row_of(shot(), ALL).asked:
        span = collator.turns.span(asked)
        assert len(span.ids) <= {"position": 12, "coordinates": 38, "marker": 22}[asked.style.name]


def test_a_run_writes_a_checkpoint_that_loads_and_says_how_it_was_made(tiny, shot):
    folder = sft.train(replace(tiny, heldout={"scenes": 1, "pixels": 1}))
    for written in (folder, *folder.parent.glob("steps/checkpoint-*")):  # also for other users
        modes = {(written / name).stat().st_mode for name in ("config.json", "model.safetensors")}
        assert len(modes) == 1
    row = from_folder(folder)
    assert row.wording == WORDING and row.model == str(folder)
    model, info = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()) and next(model.parameters()).dtype == torch.float16
    assert AutoTokenizer.from_pretrained(folder).chat_template == fresh.CHAT_TEMPLATE
    ranges = load_predictor(str(folder), warm_up=False).ranges(shot().frame, [(9, 9), (500, 9)])
    assert ranges.status[1] == Status.OUTSIDE and ranges.asked[0].tolist() != [500, 9]
    assert "python -m training.sft" in (folder / "README.md").read_text()
    content = json.loads((folder.parent / "manifest.json").read_text())
    assert content["finished"] and [h["step"] for h in content["heldout"]] == [6]
    assert content["heldout"][0]["styles"].keys() == WORDING.keys()
    assert content["data"][0]["file"].endswith("a.npz") and len(content["data"][0]["sha256"]) == 64
    assert content["sessions"][0]["reached"] == 6 and content["config"]["seed"] == 1


def test_processor_and_tokenizer_files_are_the_bases_byte_for_byte(tiny):
    folder = sft.train(tiny)
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        assert (folder / name).read_bytes() == (folder.parent / "base" / name).read_bytes()


def test_a_run_goes_on_from_another_with_its_heads(tiny, tmp_path):
    sft.train(tiny)
    more = replace(tiny, base=tiny.out, out=str(tmp_path / "more"), stages=tiny.stages[1:])
    base = ready_base(more, tmp_path / "base")
    arguments = training_arguments(more)
    student = load_student(more, load_parts(more.entry(base)), base, None, arguments)
    kept = torch.load(tmp_path / "run/steps/checkpoint-6/optimizer.pt")
    assert len(kept["state"]) == len(list(student.parameters()))
    again = load_student(tiny, load_parts(more.entry(base)), base, None, arguments)
    state = student.state_dict()
    assert all(torch.equal(state[k], v) for k, v in again.state_dict().items())
    assert not (tmp_path / "run/checkpoint/heads.safetensors").exists()
    untrained = Student(again.model).state_dict()["heads.dense.weight"]
    assert not torch.equal(state["heads.dense.weight"], untrained)


def test_a_run_outlives_its_base(tiny, base, tmp_path, monkeypatch):
    """Or says what is missing, on a disk without hard links."""
    for name in ("linked", "pointed"):
        source, made = tmp_path / name / "source", tmp_path / name / "base"
        shutil.copytree(base, source)
        config = replace(tiny, base=str(source))
        ready_base(config, made)
        source.rename(tmp_path / name / "moved")
        if name == "linked":
            ready_base(config, made, keep=True)
            assert load_file(made / "model.safetensors")
            monkeypatch.setattr("os.link", refuse)
    with pytest.raises(CheckpointError, match=str(source)):
        ready_base(config, made, keep=True)


def refuse(*_):
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def test_labels_of_pixels_teach_nothing_where_nothing_is_asked(shot):
    one = shot()
    example = Sparse(one.frame, np.array([[60, 45]]), np.array([2.0]), "r.jsonl:1")
    for ask, teaches in (({"position": 1}, True), ({}, False)):
        stage = Stage("s", 1, 1.0, ask)
        with nullcontext() if teaches else pytest.raises(RecordError, match="r.jsonl:1"):
            assert make_row(example, ROW, stage, np.random.default_rng(0)).asked


def test_a_base_of_another_architecture_is_refused_by_both_names(tiny, base_of):
    with pytest.raises(CheckpointError, match="qwen2_5_vl.*qwen3_vl"):
        sft.train(replace(tiny, base=str(base_of("qwen2_5_vl"))))


def test_a_folder_that_holds_another_run_is_refused(tiny):
    sft.train(tiny)
    with pytest.raises(InputError, match="seed"):
        sft.train(replace(tiny, seed=7))


def test_weights_that_learn_are_float32(student):
    student.model.bfloat16()
    with pytest.raises(Exception, match="float32"):
        assert_float32(student)


def test_a_process_trains_on_one_gpu_however_many_it_sees(tiny, four_gpus):
    """On four, transformers would read four times the batch and cut positions into axes."""
    arguments = training_arguments(replace(tiny, bf16=False))
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, tiny.batch)
