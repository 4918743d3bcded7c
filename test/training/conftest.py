# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Small images, and complete base folders of the three architectures with random weights."""

from functools import cache, partial

import numpy as np
import pytest
from testing.tiny_models import BASE_VISION, checkpoint_of, write_base

from depthlm_ros.camera import Camera
from depthlm_ros.view import Frame
from training.data.shards import Shot, write_shard


def make_shot(seed=0, width=130, height=100):
    """Noise in front of a tilted plane: enough for shapes and labels."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (height, width, 3), np.uint8)
    camera = Camera(width, height, 110.0, 110.0, width / 2, height / 2)
    distance = np.tile(np.linspace(1, 5 + seed, height, dtype=np.float32)[:, None], (1, width))
    return Shot(Frame(image, camera), distance, seed, "plane")


@pytest.fixture(scope="session")
def shot():
    """make_shot."""
    return make_shot


@pytest.fixture(scope="session")
def base_of(tmp_path_factory):
    """architecture -> its base folder, each written once."""
    torch = pytest.importorskip("torch")

    def written(architecture):
        torch.manual_seed(0)
        return write_base(tmp_path_factory.mktemp(architecture), architecture)

    return cache(written)


@pytest.fixture(scope="session")
def deep_base(tmp_path_factory):
    """A Qwen3-VL base with three DeepStack mergers, as the published ones have."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    vision = BASE_VISION._replace(layers=3, special=(0, 1, 2))
    return write_base(tmp_path_factory.mktemp("deep"), "qwen3_vl", vision)


@pytest.fixture(scope="session")
def parts_of(base_of):
    """architecture -> the Parts of its base."""
    from depthlm_ros.models.loading import load_parts

    return cache(lambda name: load_parts(checkpoint_of(name, base_of(name))))


@pytest.fixture(scope="session")
def row_about(parts_of):
    """(architecture, ask, seed) -> a Row about image `seed`."""
    from training.config import Stage
    from training.data.examples import of_shot
    from training.data.rows import make_row

    def made(architecture, ask, seed=0, **shape):
        stage, rng = Stage("s", 1, 1.0, ask), np.random.default_rng(seed)
        checkpoint = parts_of(architecture).checkpoint
        return make_row(of_shot(make_shot(seed, **shape)), checkpoint, stage, rng)

    return made


@pytest.fixture
def student_of(base_of):
    """architecture, heads -> a Student of its base, the same each time."""
    import torch
    from transformers import AutoModelForImageTextToText

    from training.model import Student

    def made(architecture, heads=False):
        torch.manual_seed(0)
        load = partial(AutoModelForImageTextToText.from_pretrained, attn_implementation="sdpa")
        return Student(load(base_of(architecture), dtype=torch.float32), heads)

    return made


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """A folder with one shard of eight images."""
    folder = tmp_path_factory.mktemp("shards")
    write_shard(folder / "a.npz", [make_shot(seed) for seed in range(8)])
    return folder


@pytest.fixture
def four_gpus(monkeypatch):
    """transformers sees four GPUs, the first of which is this process's."""
    torch = pytest.importorskip("torch")
    from transformers import TrainingArguments

    def seen(arguments):
        arguments._n_gpu, arguments.distributed_state = 4, None
        return torch.device("cuda:0")

    monkeypatch.setattr(TrainingArguments, "_setup_devices", property(seen))


@pytest.fixture
def full_disk(monkeypatch):
    """np.savez writes a few bytes and finds no more room."""

    def full(file, **_):
        file.write(b"some")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
