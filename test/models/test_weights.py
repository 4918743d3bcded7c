# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Weights: refused before they are read where they do not fit, and read with progress."""

import os
import subprocess
import sys
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")

from safetensors import safe_open
from testing.tiny_models import tokenizer_of

from depthlm_ros.bench import configs
from depthlm_ros.bench.shapes import Size, Text, Vision
from depthlm_ros.engines import make_engine
from depthlm_ros.engines.local.engine import LocalEngine
from depthlm_ros.errors import InputError, OutOfMemory
from depthlm_ros.models import loading, weights
from depthlm_ros.predict import load_predictor


@pytest.fixture
def progress_calls():
    """[(fraction, what)] and the progress that fills it."""
    received = []
    return received, lambda fraction, what: received.append((fraction, what))


def check_ascends_to_one(calls):
    fractions = [fraction for fraction, _ in calls]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0 and fractions[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("architecture", ["qwen3_vl", "qwen2_5_vl", "llava"])
def test_reading_tells_how_many_bytes_of_the_weights_are_there(
    checkpoints, progress_calls, architecture
):
    calls, progress = progress_calls
    loaded = loading.load(checkpoints(architecture), "cpu", progress=progress)
    check_ascends_to_one(calls)
    reading = [fraction for fraction, what in calls if what.startswith("reading 0.")]
    assert len(reading) >= 40
    largest = max(weight.nbytes for weight in loaded.model.parameters())
    whole = sum(weight.nbytes for weight in loaded.model.parameters())
    steps = [after - before for before, after in pairwise(reading)]
    assert max(steps) == pytest.approx(0.95 * largest / whole)


def test_a_bar_of_transformers_that_was_hooked_before_is_hooked_after(checkpoints):
    before = loading.transformers.logging.set_tqdm_hook(None)
    loading.load(checkpoints("qwen3_vl"), "cpu")
    assert loading.transformers.logging.set_tqdm_hook(before) is None


@pytest.mark.parametrize("name", ["local", "reference", "scripted"])
def test_every_engine_tells_when_it_is_ready(checkpoints, progress_calls, name):
    calls, progress = progress_calls
    make_engine(name, checkpoints("qwen3_vl"), progress=progress, device="cpu")
    assert calls[-1] == (1.0, "ready")


def test_a_predictor_is_warm_when_it_is_loaded(progress_calls):
    calls, progress = progress_calls
    predictor = load_predictor("tiny", progress=progress, device="cpu")
    check_ascends_to_one(calls)
    said = [what for _, what in calls]
    styles = [what.removeprefix("warming up, ") for what in said if what.startswith("warming")]
    assert styles == list(predictor.checkpoint.styles)
    assert said[-1] == "ready"


def test_weights_that_do_not_fit_are_refused_with_both_sizes(checkpoints, monkeypatch):
    monkeypatch.setattr(weights, "free_bytes", lambda device: 300_000)
    monkeypatch.setattr(weights, "part", None)  # nothing is read
    with pytest.raises(OutOfMemory, match=r"tiny random .*0\.00\d+ GB .*\bcpu .*0\.0003 GB"):
        loading.load(checkpoints("qwen3_vl"), "cpu")


def test_the_size_that_is_looked_at_is_that_of_the_weights(checkpoints, monkeypatch):
    """In the dtype that is asked for, whatever the file holds."""
    checkpoint = checkpoints("llava")
    with safe_open(f"{checkpoint.model}/model.safetensors", "pt") as file:
        names = file.keys()
        stored = sum(file.get_tensor(name).nbytes for name in names)
    config = loading.load_parts(checkpoint).config
    assert sum(weights.sizes_of(config, torch.float32).values()) == stored
    assert sum(weights.sizes_of(config, torch.bfloat16).values()) == stored / 2
    monkeypatch.setattr(weights, "free_bytes", lambda device: stored * 0.6)
    assert loading.load(checkpoint, "cpu", "bfloat16").model.dtype == torch.bfloat16


@pytest.mark.parametrize("direct", [True, False])
def test_the_processors_memory_is_looked_at_where_weights_pass_through_it(
    checkpoints, monkeypatch, direct
):
    config, asked = loading.load_parts(checkpoints("qwen3_vl")).config, []
    monkeypatch.setattr("depthlm_ros.models.compat.is_accelerate_available", lambda: direct)
    monkeypatch.setattr(weights, "free_bytes", lambda device: asked.append(device.type) or 1e9)
    monkeypatch.setattr(weights, "part", None)
    with pytest.raises(TypeError):
        weights.read_weights(
            checkpoints("qwen3_vl"), config, torch.float32, torch.device("cuda"), None
        )
    assert set(asked) == ({"cuda"} if direct else {"cpu", "cuda"})


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """(folder, bytes in two bytes a number) of 55 MB of weights in many files."""
    from transformers import AutoModelForImageTextToText

    text = Text(width=256, layers=8, heads=4, kv_heads=2, head=64, mlp=2048, vocabulary=1100)
    size = Size("llava", text, Vision(32, layers=1, heads=2, mlp=48), (70, 54, 100.0))
    config = configs.config_of(size, tokenizer_of("llava"))
    folder = tmp_path_factory.mktemp("shards")
    model = AutoModelForImageTextToText.from_config(config)
    model.save_pretrained(folder, max_shard_size="4MB")
    assert len(list(folder.glob("*.safetensors"))) > 10
    bytes_ = sum(weight.numel() * 2 for weight in model.parameters())
    return folder, bytes_


GROWN = """
import sys
from pathlib import Path

import torch
from testing.tiny_models import checkpoint_of
from transformers import AutoConfig

from depthlm_ros.models import weights


def held_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()  # no file stands behind RssAnon
    return 1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1])


def grown_by(device):
    before, most = held_bytes(), [0]

    def progress(fraction, what):
        most.append(held_bytes() - before)

    given = checkpoint, config, torch.bfloat16, torch.device(device)
    kept = weights.read_weights(*given, progress)
    progress(1.0, "all of it")
    return max(most)


folder = sys.argv[1]
checkpoint, config = checkpoint_of("llava", Path(folder)), AutoConfig.from_pretrained(folder)
grown_by("meta")  # what is allocated once
print(grown_by("meta"), grown_by("cpu"))
"""


def test_on_their_way_to_another_device_weights_are_never_held_together(shards):
    """The device without memory stands for a GPU. In a process of its own, since this one may
    hold memory that other tests gave back."""
    pytest.importorskip("accelerate")
    folder, whole = shards
    command = [sys.executable, "-c", GROWN, str(folder)]
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    elsewhere, here = map(int, done.stdout.split())
    assert elsewhere < 0.4 * whole
    assert here > 0.8 * whole, "the control"


def test_weights_for_which_a_gpu_has_no_room_after_all_are_refused(checkpoints, monkeypatch):
    """Another program may have taken what was free when the sizes were compared."""

    def full(model, device):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.\nDetails")

    monkeypatch.setattr(loading.transformers.PreTrainedModel, "to", full)
    with pytest.raises(OutOfMemory, match="tiny random .*CUDA out of"):
        loading.load(checkpoints("qwen3_vl"), "cpu")


def test_an_engine_takes_a_model_that_is_loaded_already(engines, asked):
    first = engines("local", "qwen3_vl")
    second = LocalEngine(first.loaded, check="off")
    assert second.loaded is first.loaded
    both = [engine.step(asked(engine, "coordinates", 2)) for engine in (first, second)]
    assert [r.text for r in both[0]] == [r.text for r in both[1]]


@pytest.mark.parametrize("threads", [-1, 100_000, 1.5])
def test_threads_that_the_machine_has_not_are_refused(checkpoints, threads):
    with pytest.raises(InputError, match=r"\bthreads\b"):
        loading.load(checkpoints("qwen3_vl"), "cpu", threads=threads)


def test_threads_that_the_user_gives_are_used_in_a_step(checkpoints, asked, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        engine = LocalEngine(checkpoints("qwen3_vl"), "cpu", threads=1)
        seen = []
        answers = engine._answers
        monkeypatch.setattr(
            engine, "_answers", lambda m: seen.append(torch.get_num_threads()) or answers(m)
        )
        engine.step(asked(engine, "marker", 1))
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)
