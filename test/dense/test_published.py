# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A folder as DepthVLM was published: Qwen3-VL with depth_head.* among its weights, more keys in
its config, no depthlm.json, and no code. Small, with random weights."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file
from testing import tiny_models
from transformers import AutoConfig, AutoModelForImageTextToText

from depthlm_ros.answer import FREE
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import PUBLISHED, ROW_FILE, from_folder
from depthlm_ros.dense.head import make_head
from depthlm_ros.errors import CheckpointError, UnsupportedError
from depthlm_ros.predict import load_predictor
from depthlm_ros.question import PlainStyle
from depthlm_ros.view import Frame

NAME = "JonnyYu828/DepthVLM-4B"
SMALL = replace(PUBLISHED[NAME].head, widths=(8, 12, 16, 16, 8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of a model with three DeepStack mergers, as the 4B has."""
    made = tmp_path_factory.mktemp("published")
    row = tiny_models.write_checkpoint(made, "qwen3_vl")
    config = AutoConfig.from_pretrained(made)
    config.vision_config.depth = 4
    config.vision_config.deepstack_visual_indexes = [0, 1, 2]
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(config).save_pretrained(made)
    head = make_head(SMALL, [config.text_config.hidden_size] * 4)
    with torch.no_grad():
        for weight in head.parameters():
            weight.add_(torch.randn(weight.shape) * 0.1)
    weights = load_file(made / "model.safetensors")
    weights |= {f"depth_head.{name}": weight for name, weight in head.state_dict().items()}
    save_file(weights, made / "model.safetensors", metadata={"format": "pt"})
    described = json.loads((made / "config.json").read_text())
    described |= {"depth_head_type": "dpt", "depth_loss_weight": 1.0}
    (made / "config.json").write_text(json.dumps(described))
    (made / ROW_FILE).unlink()
    assert row.name == "tiny random"
    return made


@pytest.fixture
def small(monkeypatch):
    """The published entry with a head as small as the folder's, at a small focal length."""
    entry = replace(PUBLISHED[NAME], head=SMALL, focal_px=100.0)
    monkeypatch.setitem(PUBLISHED, NAME, entry)
    return entry


@pytest.fixture
def frame():
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    return Frame(image, Camera(128, 96, 100.0, 100.0, 63.5, 47.5))


def test_the_entry_says_what_the_paper_and_the_released_code_say():
    entry = PUBLISHED[NAME]
    assert (entry.focal_px, entry.kind, entry.architecture) == (1000.0, "z", "qwen3_vl")
    assert entry.styles == ("dense",) and entry.style == entry.grid_style == "dense"
    assert entry.system == "You are a helpful assistant."
    assert entry.head.prompt.startswith("Given this image, estimate the metric depth")
    assert entry.head.reply == "OK, I will estimate the depth map of this image."
    assert (entry.head.output, entry.head.kind, entry.head.align_corners) == ("metres", "z", True)


def test_it_gives_maps_of_z_and_speaks(folder, small, frame):
    predictor = load_predictor(str(folder), entry=NAME, device="cpu")
    found = predictor.map(frame)
    assert np.isfinite(found.distance_m).all() and found.distance_m.std() > 0.001
    ranges = predictor.ranges(frame, [(0, 0), (100, 70)])
    rays = frame.camera.rays(ranges.asked)
    assert np.allclose(ranges.z_m, ranges.distance_m * rays[:, 2]) and ranges.z_m[0] > 0.1
    assert ranges.z_m[0] < 0.85 * ranges.distance_m[0]  # in a corner of the image
    assert np.isnan(ranges.stddev_m).all()
    view = small.view(frame)
    said = predictor.ask([view], PlainStyle(), PlainStyle.ask("What do you see?", FREE)).text
    assert isinstance(said, str) and said


def test_an_entry_of_its_own_does_the_same(folder, small, frame, tmp_path):
    expected = load_predictor(str(folder), entry=NAME, device="cpu").map(frame)
    small.write(folder)
    try:
        assert from_folder(folder).head == SMALL
        found = load_predictor(str(folder), device="cpu", warm_up=False).map(frame)
    finally:
        (folder / ROW_FILE).unlink()
    assert np.array_equal(found.distance_m, expected.distance_m)


def test_what_it_cannot_be_asked_is_said(folder, small, frame):
    predictor = load_predictor(str(folder), entry=NAME, device="cpu", warm_up=False)
    with pytest.raises(CheckpointError):
        predictor.ranges(frame, [(3, 3)], style="coordinates")
    for engine in ("reference", "scripted"):
        with pytest.raises(UnsupportedError):
            load_predictor(str(folder), engine, entry=NAME)
    asked = load_predictor(str(folder), entry="facebook/VLM3-depth", device="cpu", warm_up=False)
    assert asked.checkpoint.head is None  # an entry that names none passes over its weights


def test_verify_describes_it_and_asks_nothing(folder, small, run):
    code, out, err = run("checkpoints", "--verify", folder, "--entry", NAME)
    assert code == 0, err
    assert "dense" in out and "You are a helpful assistant." in out and "says" not in out
