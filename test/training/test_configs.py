# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Every shipped config: it parses, names layers that exist, and trains two steps when small."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from safetensors.torch import load_file
from testing.configs import shortened

from depthlm_ros.checkpoints import from_folder
from depthlm_ros.errors import InputError
from depthlm_ros.predict import load_predictor
from training import sft
from training.config import Crop, read_config
from training.data.shards import Shot, write_shard

OTHERS = "grpo", "depthvlm", "dense"  # recipes with tests of their own
CONFIGS = [
    path
    for path in sorted(Path("training/configs").glob("*.yaml"))
    if not any(word in path.name for word in OTHERS)
]
LARGE = [path for path in CONFIGS if not path.name.startswith(("tiny", "own_robot"))]
# Published (DepthLM's table 5; VLM3): images, learning rate, batch, clipping, focal length.
PUBLISHED = {
    "depthlm_3b": (35e6, 5.2e-5, 1280, 0.1, 1000.0),
    "depthlm_7b": (60e6, 1.0e-4, 1280, 0.5, 1000.0),
    "depthlm_12b": (23e6, 5.6e-5, 384, 1.0, 750.0),
    "vlm3_4b": (32e6, 5.2e-5, 1280, 0.02, 1000.0),
}
SHAPE = {"width": 48, "heads": 2, "layers": 2, "mlp": 64}


@pytest.fixture(scope="module")
def views(tmp_path_factory, shot):
    """Images at each config's focal length already, so that their views are small."""
    folder = tmp_path_factory.mktemp("views")

    def at(focal_px):
        shots = []
        for seed in range(3):
            one = shot(seed)
            camera = replace(one.frame.camera, fx=focal_px, fy=focal_px)
            frame = replace(one.frame, camera=camera)
            shots.append(Shot(frame, one.distance_m, seed, "plane"))
        (folder / f"{focal_px}").mkdir(exist_ok=True)
        write_shard(folder / f"{focal_px}" / "a.npz", shots)
        return str(folder / f"{focal_px}")

    return at


@pytest.fixture
def small(tmp_path, views, base_of):
    """A config with other base, data, batch and steps, and nothing else changed."""

    def made(path, steps=2):
        config = read_config(path, out=str(tmp_path / "run"))
        if config.base == "fresh" or "tiny" in path.name:
            config = replace(config, base="fresh", shape=SHAPE)
        else:
            config = replace(config, base=str(base_of(config.checkpoint.architecture)))
        focal_px = config.checkpoint.focal_px
        data = views(focal_px)
        if any(stage.tasks for stage in config.stages):
            data = [{"shards": data}, {"pairs": write_pair(tmp_path, focal_px)}]
        return shortened(
            config,
            -(-steps // len(config.stages)),
            data=data,
            batch=2,
            micro_batch=0,
            workers=0,
            heldout={},
            save_every=100,
        )

    return made


def write_pair(folder, focal_px):
    """A file with a pair of small images."""
    Image.new("RGB", (130, 100), (90, 120, 60)).save(folder / "a.png")
    pose = [[1, 0, 0, 0.3], [0, 1, 0, 0], [0, 0, 1, 0.4], [0, 0, 0, 1]]
    lens = [focal_px, focal_px, 65, 50, 130, 100]
    line = {"images": ["a.png"] * 2, "intrinsics": [lens] * 2, "second_from_first": pose}
    (folder / "p.jsonl").write_text(json.dumps(line))
    return str(folder / "p.jsonl")


def test_there_is_a_config_for_every_published_model_and_for_one_gpu():
    names = {path.stem for path in CONFIGS}
    assert {"tiny", "tiny_markers", *PUBLISHED, *(f"{n}_lora" for n in PUBLISHED)} <= names


@pytest.mark.parametrize("name", PUBLISHED)
def test_hyper_parameters_are_the_published_ones(name):
    config, (images, lr, batch, clip, focal_px) = read_config(path_of(name)), PUBLISHED[name]
    (stage,) = config.stages
    assert stage.steps * config.batch == pytest.approx(images, rel=1e-4)
    assert (stage.lr, config.batch, config.clip) == (lr, batch, clip)
    assert (stage.warmup, stage.final_lr) == (0.1, 0.0)
    assert config.entry("").focal_px == focal_px
    whole = name == "vlm3_4b"  # DepthLM crops, VLM3 does not
    assert config.crop == (None if whole else Crop(width=(1000, 1400), height=(700, 1200)))
    assert config.entry("").largest_view == ((2048, 1280) if whole else (1400, 1200))
    assert config.bf16 and config.activation_checkpointing
    aspects = {entry.what: entry.aspect for entry in config.data if "taskonomy" in entry.place}
    assert aspects == {"curated": None if whole else (1.0, 1.3)}
    assert sum(entry.aspect is not None for entry in config.data) == (0 if whole else 1)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_opens_with_its_launch_line(path):
    first = next(line for line in path.read_text().splitlines() if "training.sft" in line)
    assert first.startswith("# ") and first.endswith(f"-m training.sft {path}")


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_the_layers_that_are_wrapped_exist_in_the_model(path, student_of):
    config = read_config(path)
    model = student_of(config.checkpoint.architecture).model
    there = {type(module).__name__ for module in model.modules()}
    assert set(config.fsdp.layers if config.fsdp else ()) <= there
    assert bool(config.fsdp) != bool(config.lora)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_trains_two_steps_and_what_it_ships_answers(path, small, shot, capsys):
    config = small(path)
    folder = sft.train(config)
    assert "wrapper: none" in capsys.readouterr().out
    assert from_folder(folder).wording == config.checkpoint.wording
    predictor = load_predictor(str(folder), warm_up=False, longest=8)
    assert len(predictor.ranges(shot().frame, [(60, 50)], style=config.checkpoint.style)) == 1


@pytest.mark.parametrize("name", ["depthlm_3b_lora", "depthlm_12b_lora"])
def test_adapters_are_merged_and_move_only_what_they_are_beside(name, small):
    config = replace(small(path_of(name), 4), dtype="float32")
    sft.train(config)
    before = load_file(Path(config.base) / "model.safetensors")
    after = load_file(Path(config.out) / "checkpoint/model.safetensors")
    assert before.keys() == after.keys()
    moved = {k for k, v in after.items() if not torch.equal(v, before[k].bfloat16().float())}
    assert len(moved) == 2 * 7
    assert all("layers" in k and k.endswith("_proj.weight") for k in moved)
    assert not any("visual" in k or "vision" in k for k in moved)


@pytest.mark.parametrize("bf16", [True, False])
def test_helping_heads_learn_beside_adapters(small, bf16):
    config = replace(small(path_of("depthlm_3b_lora"), 2), bf16=bf16)
    stage = replace(config.stages[0], weights={"text": 1.0, "dense": 1.0, "locate": 1.0})
    folder = sft.train(replace(config, stages=(stage,)))
    assert (folder.parent / "steps/checkpoint-2/heads.safetensors").exists()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_with_adapters_goes_on_where_it_stopped(small, tmp_path, optimizer):
    config = replace(small(path_of("depthlm_3b_lora"), 4), save_every=2, log_every=1)
    config = replace(config, optimizer=optimizer)
    sft.train(replace(config, out=str(tmp_path / "whole")))
    sft.train(config)
    (tmp_path / "run/steps/checkpoint-4/complete.json").unlink()
    sft.train(config)
    weights = [tmp_path / name / "checkpoint/model.safetensors" for name in ("whole", "run")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_batch_that_cannot_be_shared_out_evenly_is_refused(small):
    with pytest.raises(InputError, match=r"\b3 .*micro_batch 2 x 1\b"):
        sft.train(replace(small(path_of("depthlm_3b")), batch=3, micro_batch=2))


def path_of(name):
    return Path("training/configs") / f"{name}.yaml"
