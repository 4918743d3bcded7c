# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Servers for these tests: real vLLM where it is installed, and what it once said, repeated.

DEPTHLM_RECORD=1 has vllm_0_32.jsonl.gz written anew, from a real server; DEPTHLM_RECORD=more adds
to it what it lacks.
"""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from testing.http_servers import Answering, passing_on, recording, repeating
from testing.vllm_servers import MISSING, PYTHON, Served

from depthlm_ros.checkpoints import find_checkpoint
from depthlm_ros.demo.scene import demo_frame
from depthlm_ros.view import unify_focal

SAID = Path(__file__).with_name("vllm_0_32.jsonl.gz")
RECORD = os.environ.get("DEPTHLM_RECORD", "")


@pytest.fixture(scope="session")
def vllm(tmp_path_factory):
    """A real server, started once."""
    if given := os.environ.get("DEPTHLM_VLLM_URL"):  # one that runs already
        yield given
        return
    if not PYTHON.exists():
        pytest.skip(MISSING)
    served = Served(tmp_path_factory.mktemp("vllm") / "log")
    try:
        yield served.wait().url
    finally:
        served.stop()


@pytest.fixture(scope="session")
def said(request):
    """The answer of a real server, byte for byte as it was recorded."""
    if RECORD:
        url = request.getfixturevalue("vllm")
        if RECORD != "more":
            SAID.unlink(missing_ok=True)
        return recording(passing_on(url), SAID)
    return repeating(SAID)


@pytest.fixture
def station(said):
    with Answering(said) as server:
        yield server


@pytest.fixture(scope="session")
def tiny():
    return find_checkpoint("tiny")


@pytest.fixture
def remote(tiny):
    """remote(urls, **options) -> RemoteEngine on the checkpoint tiny, closed at the end."""
    pytest.importorskip("torch")
    from depthlm_ros.engines import make_engine

    made = []

    def make(*urls, **options):
        options = {"check": "off", "timeout": 120.0, **options}
        made.append(make_engine("remote", tiny, urls=urls, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture(scope="session")
def local(tiny):
    """The engine that all others must agree with."""
    pytest.importorskip("torch")
    from depthlm_ros.engines import make_engine

    return make_engine("local", tiny, device="cpu", check="off")


@pytest.fixture(scope="session")
def view(tiny):
    return unify_focal(demo_frame(), tiny.focal_px, tiny.axes)


@pytest.fixture(scope="session")
def questions(tiny):
    """questions(view, style name, count, seed) -> the Questions."""

    def asked(view, name, count, seed=0):
        style = tiny.asker(name)
        size = view.camera.width, view.camera.height
        pixels = np.random.default_rng(seed).integers(0, size, (count, 2))
        return [style.question(view, style.nearest_askable(view, pixel)) for pixel in pixels]

    return asked


@pytest.fixture(scope="session")
def replies(tiny):
    """replies(engine, view, questions, style name) -> what the engine says."""

    def asked(engine, view, some, name):
        scene = engine.open([view], tiny.asker(name))
        try:
            return engine.step([(scene, question) for question in some])
        finally:
            scene.close()

    return asked


def until_usable(engine, seconds):
    """Wait until all servers of an engine are asked, which takes less than so many seconds."""
    end = time.monotonic() + seconds
    while not all(server.usable for server in engine.servers):
        assert time.monotonic() < end, engine.servers
        time.sleep(0.05)


def numbers(some):
    """(N, 5): value, median, lower, upper, mass of replies."""
    return np.array([[r.value, r.median, r.lower, r.upper, r.mass] for r in some])
