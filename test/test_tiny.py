# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The embedded checkpoint: complete, small, and better than a constant in every style."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

import depthlm_ros
from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import TINY, find_checkpoint
from depthlm_ros.engines.reference import ReferenceEngine
from depthlm_ros.predict import AskingPredictor, Status, load_predictor
from depthlm_ros.scan import scan
from depthlm_ros.view import Frame
from training.heldout import measured, questions
from training.synthetic import shot

SCENE = Path(depthlm_ros.__file__).parent / "demo/scene.png"
STYLES = ("marker", "coordinates", "position")


@pytest.fixture(scope="module")
def tiny():
    return load_predictor("tiny", warm_up=False)


@pytest.fixture(scope="module")
def asked():
    return list(questions(40, 4))


def test_the_folder_is_small_enough_to_ship():
    assert sum(path.stat().st_size for path in TINY.iterdir()) <= 16_000_000


def test_it_speaks_all_three_styles_and_answers_from_its_map():
    row = find_checkpoint("tiny")
    assert tuple(row.wording) == STYLES
    assert (row.style, row.grid_style, row.kind) == ("dense", "dense", "distance")


def test_a_pixel_is_as_far_as_in_the_grid_and_in_the_map(tiny):
    """By default all three are read from one map: asked, a pixel had another distance."""
    frame = shot(3, "heldout").frame
    grid = scan(tiny, frame, 4, 3).ranges
    alone = tiny.ranges(frame, grid.asked)
    assert np.array_equal(alone.distance_m, grid.distance_m)
    u, v = grid.asked.astype(int).T
    np.testing.assert_allclose(tiny.map(frame).distance_m[v, u], alone.distance_m, rtol=1e-5)
    assert (tiny.ranges(frame, grid.asked, style="marker").distance_m != alone.distance_m).all()


@pytest.mark.parametrize("style", STYLES)
def test_it_beats_the_best_constant_and_its_intervals_hold(tiny, asked, style):
    """On held-out scenes; of 40 scenes the share inside is sure to 0.05."""
    row = measured(tiny, style, asked)
    assert row["answered"] == 1.0
    assert row["delta1"] > 1.5 * row["best_constant_delta1"]
    assert 0.83 < row["inside_90"] < 0.97


@pytest.mark.parametrize("style", STYLES)
def test_plain_generate_says_the_same(tiny, style):
    one, pixels = shot(3, "heldout"), [(100, 100), (200, 150), (60, 180)]
    view_told = tiny.ranges(one.frame, pixels, style=style)
    free = AskingPredictor(ReferenceEngine(tiny.checkpoint), _greedy(tiny.checkpoint))
    own = AskingPredictor(tiny.engine, _greedy(tiny.checkpoint))
    assert (view_told.status == Status.OK).all()
    expected = free.ranges(one.frame, pixels, style=style).distance_m
    assert np.array_equal(own.ranges(one.frame, pixels, style=style).distance_m, expected)


def _greedy(row):
    """The row, answering with the digits as published."""
    return replace(row, report="greedy")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_says_nearly_the_same_on_a_cpu(tiny, dtype):
    one, pixels = shot(3, "heldout"), [(100, 100), (200, 150), (60, 180)]
    half = load_predictor("tiny", device="cpu", dtype=dtype, warm_up=False)
    for style in STYLES:
        expected = tiny.ranges(one.frame, pixels, style=style).distance_m
        found = half.ranges(one.frame, pixels, style=style).distance_m
        assert found == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    "style, most",
    [
        ("position", 800),
        pytest.param("position", 10_000, marks=pytest.mark.slow),
        pytest.param("coordinates", 10_000, marks=pytest.mark.slow),
    ],
)
def test_memory_stays_flat_from_a_hundred_questions_on(tiny, style, most):
    """Steps of every size must leave nothing behind: 3,000 questions once kept 200 MB."""
    from depthlm_ros.bench.predictors import growth
    from depthlm_ros.bench.timing import CpuMemory

    frame = shot(3, "heldout").frame
    few, many = growth(tiny, frame, style, CpuMemory(), (100, most))
    assert many.peak_bytes - few.peak_bytes < min(40e3 * most, 100e6)


@pytest.mark.parametrize("size", [(320, 480), (640, 240), (640, 640)])
def test_the_same_view_through_pixels_that_are_not_square_is_as_far(tiny, size):
    """By fx alone the demo's distances were multiplied by 0.73, 1.50 and 0.77."""
    scene = Image.open(SCENE).convert("RGB")
    pixels = np.stack(np.meshgrid([80, 320, 560], [120, 240, 400]), axis=-1).reshape(-1, 2)
    plain = Frame(np.asarray(scene), Camera(640, 480, 525, 525, 319.5, 239.5))
    scale = np.array(size) / (640, 480)
    camera = Camera(*size, *(525 * scale), *(320 * scale[:1] - 0.5), *(240 * scale[1:] - 0.5))
    squeezed = Frame(np.asarray(scene.resize(size, Image.Resampling.BICUBIC)), camera)
    plain_m = tiny.ranges(plain, pixels, style="position").distance_m
    found = tiny.ranges(squeezed, (pixels + 0.5) * scale - 0.5, style="position").distance_m
    np.testing.assert_allclose(found, plain_m, rtol=0.05)
    assert tiny.checkpoint.warnings(camera) == []
