# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""GRPO: a few steps on the embedded model, the folder that comes out, resumption."""

import json
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from safetensors.torch import load_file
from trl import GRPOTrainer

from depthlm_ros.answer import FORMS
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import TINY, from_folder
from depthlm_ros.errors import DepthLMError, EngineError, InputError
from depthlm_ros.models.loading import load_parts
from depthlm_ros.predict import load_predictor
from depthlm_ros.view import Frame
from training import grpo
from training.config import GrpoConfig, read_config
from training.data.lessons import lessons
from training.data.shards import Shot, write_shard
from training.rl.processor import ViewProcessor
from training.rl.rollouts import Rollouts, check_tasks
from training.rl.trainer import GroupTrainer, group_arguments
from training.run import run_folder

CONFIGS = Path(__file__).parents[2] / "training/configs"


def shot(seed, width=120, height=90):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (height, width, 3), np.uint8)
    camera = Camera(width, height, 200.0, 200.0, width / 2, height / 2)
    distance_m = np.full((height, width), rng.uniform(1, 5), np.float32)
    return Shot(Frame(image, camera), distance_m, seed, "wall")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpo")
    write_shard(folder / "a.npz", [shot(s) for s in range(4)])
    Image.fromarray(shot(5).frame.image).save(folder / "a.png")
    line = {"image": "a.png", "intrinsics": [200, 200, 60, 45, 120, 90], "kind": "distance"}
    (folder / "r.jsonl").write_text(json.dumps({**line, "pixel_coords": [[60, 40]], "depth": [2]}))
    return GrpoConfig(
        base=str(TINY),
        data=str(folder),
        out=str(folder / "out"),
        steps=4,
        lr=1e-4,
        group=4,
        batch=2,
        micro_batch=4,
        longest=16,
        save_every=2,
        log_every=1,
        bf16=False,
        rewards={"abs_rel": 1.0, "format": 0.5},
        heldout={"records": str(folder / "r.jsonl")},
    )


@pytest.fixture(scope="module")
def finished(config):
    return grpo.train(config)


def logged(out, name):
    state = json.loads((run_folder.newest_complete(out)[0] / "trainer_state.json").read_text())
    return [entry[name] for entry in state["log_history"] if name in entry]


def test_the_folder_answers_in_the_predictor_as_its_base_does(finished):
    row = from_folder(finished)
    assert (row.wording, row.focal_px) == (from_folder(TINY).wording, from_folder(TINY).focal_px)
    assert row.calibration == {}
    # Its base reads from the map of a head that was made for other states.
    assert (row.head, row.style, row.grid_style) == (None, "marker", "position")
    for name in ("tokenizer.json", "preprocessor_config.json", "tokenizer_config.json"):
        assert (finished / name).read_bytes() == (TINY / name).read_bytes()
    ranges = load_predictor(str(finished), warm_up=False).ranges(shot(9).frame, [(60, 40)])
    assert np.isfinite(ranges.distance_m).all()
    assert "GRPO" in (finished / "README.md").read_text()


def test_the_manifest_tells_what_was_run(finished, config):
    content = json.loads((Path(config.out) / "manifest.json").read_text())
    assert content["finished"] and content["config"]["group"] == 4
    assert (content["sessions"][-1]["reached"], content["heldout"][-1]["step"]) == (4, 4)
    assert content["data"][0]["file"].endswith("a.npz")
    assert content["heldout"][-1]["styles"].keys() == {"marker"}
    assert (
        f"{content['heldout'][-1]['best_constant']:.3f} |" in (finished / "README.md").read_text()
    )


def test_a_run_of_another_config_is_not_gone_on_with(finished, config):
    with pytest.raises(InputError, match=r"\blr\b"):
        grpo.train(replace(config, lr=2e-4))


def test_checkpoints_of_steps_load_too(finished, config):
    folder, skipped = run_folder.newest_complete(config.out)
    assert (folder.name, skipped) == ("checkpoint-4", [])
    ranges = load_predictor(str(folder), warm_up=False).ranges(shot(9).frame, [(60, 40)])
    assert np.isfinite(ranges.distance_m).all()


def test_the_weights_have_learnt_and_rewards_are_logged_by_name(finished, config):
    start = load_file(TINY / "model.safetensors")
    end = load_file(run_folder.newest_complete(config.out)[0] / "model.safetensors")
    moved = [name for name in end if (start[name].float() != end[name]).any()]
    assert len(moved) > 0.9 * len(end)
    assert {weight.dtype for weight in end.values()} == {torch.float32}
    for name in ("rewards/abs_rel/mean", "rewards/format/mean"):
        assert len(logged(config.out, name)) == 4
    assert all(value <= 0 for value in map(float, logged(config.out, "rewards/abs_rel/mean")))


def test_a_resumed_run_ends_where_an_unbroken_one_does(finished, config, tmp_path):
    shutil.copytree(config.out, tmp_path / "out")
    shutil.rmtree(tmp_path / "out/checkpoint")
    (
        tmp_path / "out/steps/checkpoint-4" / run_folder.COMPLETE
    ).unlink()  # as if killed while saving
    again = grpo.train(replace(config, out=str(tmp_path / "out"), heldout={}))
    one, two = (load_file(folder / "model.safetensors") for folder in (finished, again))
    assert all(torch.equal(one[name], two[name]) for name in one)
    for name in ("loss", "reward"):
        assert logged(config.out, name) == logged(tmp_path / "out", name)


def test_replies_are_made_in_the_numbers_that_they_are_trained_in(config, tmp_path):
    """trl generates outside of autocast, and there the images were seen in float32."""
    changed = replace(config, bf16=True, steps=1, out=str(tmp_path))
    trainer = grpo.made_trainer(changed, group_arguments(changed), None, TINY)
    trainer.args.save_strategy = "no"
    seen = []
    trainer.model.model.visual.register_forward_pre_hook(
        lambda *_: seen.append((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
    )
    trainer.train()
    assert set(seen) == {(False, True), (True, True)}


KILLED = """
import os, signal, sys
from training import grpo
from training.rl import trainer
stock = trainer.GroupTrainer.training_step
def training_step(self, *given, **named):
    if self.state.global_step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return stock(self, *given, **named)
trainer.GroupTrainer.training_step = training_step
grpo.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_end(finished, config, tmp_path):
    path = tmp_path / "c.json"  # JSON is YAML
    path.write_text(json.dumps({**asdict(config), "out": str(tmp_path / "out"), "heldout": {}}))
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    again = grpo.train(read_config(path, GrpoConfig))
    one, two = (load_file(folder / "model.safetensors") for folder in (finished, again))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_group_reads_its_image_once(config):
    parts = load_parts(from_folder(TINY))
    mixture = lessons(config.data, ["distance"], parts.checkpoint, 1, 4, "marker")
    rollouts = Rollouts(mixture, parts, 4)
    table = rollouts.dataset()
    rows = [table[0] for _ in range(3)]
    assert rows[0]["images"][0] is rows[2]["images"][0]
    item = mixture[0].value
    np.testing.assert_array_equal(np.asarray(rows[0]["images"][0]), item.images[0])
    assert rows[0]["prompt"] == [{"role": "user", "content": item.question.text}]
    assert (rows[0]["truth"], rows[0]["task"]) == (item.truth, "distance")
    assert rows[0]["template"] == FORMS["tags"].template


def test_the_processor_makes_what_the_engines_make():
    parts = load_parts(from_folder(TINY))
    processor = ViewProcessor(parts.vision.processor, parts.tokenizer)
    image, question = shot(1).frame.image, "How far?"
    chat = [
        {
            "role": "user",
            "content": [{"type": "image", "image": image}, {"type": "text", "text": question}],
        }
    ]
    made = processor.apply_chat_template(
        [chat], tokenize=True, return_dict=True, add_generation_prompt=True, return_tensors="pt"
    )
    ours = parts.vision.prepare([image])
    assert torch.equal(made["pixel_values"], ours.tensors["pixel_values"])
    at = parts.chat.ids(question).index(parts.vision.image_id)
    ids = parts.chat.ids(question)
    expected = ids[:at] + parts.vision.token_ids(ours.grid) + ids[at + 1 :]
    assert made["input_ids"][0].tolist() == expected


def test_a_view_that_would_be_resized_again_is_refused(config, tmp_path):
    parts = load_parts(from_folder(TINY))
    parts.vision.processor.size["longest_edge"] = 64 * 64
    mixture = lessons(config.data, ["distance"], parts.checkpoint, 1, 1, "marker")
    with pytest.raises(EngineError, match="longest_edge"):
        Rollouts(mixture, parts).dataset()[0]


@pytest.mark.parametrize("name", ["grpo_tiny.yaml", "grpo_3b.yaml"])
def test_shipped_configs_parse_and_share_out_their_replies(name):
    config = read_config(CONFIGS / name, GrpoConfig)
    arguments = group_arguments(config)
    assert arguments.num_generations == 8 and arguments.beta == 0 and not arguments.shuffle_dataset
    replies = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps
    assert replies == config.batch * config.group
    first = (CONFIGS / name).read_text().splitlines()
    assert any(f"training.grpo training/configs/{name}" in line for line in first[:2])


def test_a_task_without_a_number_is_refused():
    check_tasks(["distance", "moved"])
    with pytest.raises(InputError, match="rotation"):
        check_tasks(["distance", "rotation"])


def test_replies_that_cannot_be_shared_out_are_refused(config):
    with pytest.raises(InputError, match=r"\b8 .*micro_batch 3\b"):
        group_arguments(replace(config, micro_batch=3))


def test_position_style_is_refused_with_its_reason(config, tmp_path):
    wrong = replace(config, style="position", out=str(tmp_path))
    with pytest.raises(InputError, match="marker.*coordinates"):
        grpo.made_trainer(wrong, group_arguments(wrong), None, TINY)


def test_weights_that_have_overflowed_end_a_run_in_a_sentence(monkeypatch):
    trainer = object.__new__(GroupTrainer)
    trainer.accelerator = SimpleNamespace(autocast=nullcontext)
    trainer.state = SimpleNamespace(global_step=7)

    def draw(*_):
        return torch.multinomial(torch.full((1, 3), torch.nan), 1)

    monkeypatch.setattr(GRPOTrainer, "_generate", draw)
    with pytest.raises(DepthLMError, match="step 7"):
        trainer._generate([])


def test_a_process_trains_on_one_gpu_however_many_it_sees(config, four_gpus):
    arguments = group_arguments(config)
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, config.micro_batch)
