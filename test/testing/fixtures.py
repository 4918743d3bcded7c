# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Fixtures about tiny models, for the conftest of a folder to import."""

import itertools
import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.engines import make_engine
from depthlm_ros.view import Frame, View
from testing.tiny_models import write_checkpoint


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """architecture -> Checkpoint of a complete folder on disk, each written once."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return cache(lambda architecture: write_checkpoint(folder / architecture, architecture))


@pytest.fixture
def copy_of(checkpoints, tmp_path):
    """architecture -> (folder, Checkpoint) of a copy that a test may break."""

    def copied(architecture):
        folder = tmp_path / architecture
        shutil.copytree(checkpoints(architecture).model, folder)
        return folder, replace(checkpoints(architecture), model=str(folder))

    return copied


@pytest.fixture(scope="session")
def engines(checkpoints):
    """(name, architecture) -> engine, each loaded once; both give the opening and leave it."""

    def made(name, architecture):
        options = {"force_opening": True} if name == "reference" else {"check": "off"}
        return make_engine(name, checkpoints(architecture), device="cpu", **options)

    return cache(made)


@pytest.fixture(scope="session")
def view_of():
    """(seed, width, height) -> a View of noise in blocks: structure at every size."""

    def view(seed, width=70, height=54):
        rng = np.random.default_rng(seed)
        blocks = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
        image = np.kron(blocks, np.ones((4, 4, 1), np.uint8))[:height, :width]
        camera = Camera(width, height, 100.0, 90.0, width / 2, height / 2)
        frame = Frame(np.ascontiguousarray(image), camera)
        return View(frame.image, camera, frame, (1.0, 1.0))

    return view


@pytest.fixture(scope="session")
def asked(view_of):
    """(engine, style name, count, seed) -> [(open scene, question), ...] about one random view."""

    def pairs(engine, name, count, seed=0):
        view, style = view_of(seed), engine.loaded.checkpoint.asker(name)
        scene = engine.open([view], style)
        places = itertools.product(range(8, 62, 3), range(8, 46, 3))
        chosen = np.random.default_rng(seed).permutation(list(places))[:count]
        return [(scene, style.question(view, tuple(pixel))) for pixel in chosen.tolist()]

    return pairs
