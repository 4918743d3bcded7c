# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Marked images equal, bit for bit, what the image processor makes of the whole image."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from depthlm_ros.engines.local import drawing
from depthlm_ros.engines.local.drawing import Canvas, drawn
from depthlm_ros.models import loading
from depthlm_ros.question import MarkerStyle

ARROWS = 12  # of each case, beside the corners
# Larger and smaller along either axis than what the processors make of them, and equal.
SIZES = [(333, 251), (300, 300), (112, 230), (230, 119), (224, 448), (61, 57), (571, 428)]


@pytest.fixture(scope="module")
def vision_of(checkpoints):
    """(architecture, resize) -> a Vision of its own."""

    def made(architecture, resize=True):
        vision = loading.load_parts(checkpoints(architecture)).vision
        vision.processor.do_resize = resize
        return vision

    return made


def arrows(view, style, count=ARROWS):
    """View pixels: the corners that can be asked, and random ones."""
    size = view.camera.width, view.camera.height
    anywhere = np.random.default_rng(0).integers(0, size, (count, 2))
    corners = [(0, 0), size, (0, size[1]), (size[0], 0)]
    return [style.nearest_askable(view, pixel) for pixel in (*corners, *anywhere)]


def check_equal(vision, view, style, pixels):
    """drawn() against the processor's own way, for all pixels at once."""
    canvas = Canvas(vision, view, style, vision.prepare([view.image]))
    found = drawn([(canvas, pixel) for pixel in pixels])
    expected = vision.prepare([style.image(view, pixel) for pixel in pixels])
    assert (found.size, found.grid) == (expected.size, expected.grid)
    assert found.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(found.tensors[name], expected.tensors[name]) for name in found.tensors)


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("architecture", ["qwen3_vl", "qwen2_5_vl", "llava"])
def test_marked_images_are_those_of_the_processor(vision_of, view_of, architecture, size, scale):
    view, style = view_of(1, *size), MarkerStyle(scale)
    check_equal(vision_of(architecture), view, style, arrows(view, style))


@pytest.mark.parametrize(
    ("architecture", "size"), [("llava", (333, 251)), ("qwen3_vl", (160, 96)), ("llava", (64, 64))]
)
def test_marked_images_are_those_of_a_processor_that_does_not_resize(
    vision_of, view_of, architecture, size
):
    view, style = view_of(2, *size), MarkerStyle()
    check_equal(vision_of(architecture, resize=False), view, style, arrows(view, style))


@pytest.mark.parametrize("architecture", ["qwen3_vl", "llava"])
def test_values_that_are_not_rescaled_come_from_the_same_table(copy_of, view_of, architecture):
    import json

    folder, checkpoint = copy_of(architecture)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_rescale": False}))
    view, style = view_of(3, 100, 80), MarkerStyle()
    check_equal(loading.load_parts(checkpoint).vision, view, style, arrows(view, style, 3))


def test_control_a_patch_that_is_not_made_again_is_noticed(vision_of, view_of, monkeypatch):
    view, style, vision = view_of(1, 333, 251), MarkerStyle(), vision_of("qwen2_5_vl")
    touched, across = Canvas._touched, []

    def short(self, pixel):
        rows, columns = touched(self, pixel)
        tight = slice(columns.start, columns.start + vision.side)
        across.append(columns.stop - columns.start)
        return rows, tight

    monkeypatch.setattr(Canvas, "_touched", short)
    border = 140  # between two tokens: the arrow lies on both sides
    with pytest.raises(AssertionError):
        check_equal(vision, view, style, [(border + 2, 100)])
    assert across == [2 * vision.side]


def test_control_the_other_order_of_axes_is_noticed(vision_of, view_of, monkeypatch):
    view, style, vision = view_of(1, 300, 300), MarkerStyle(), vision_of("qwen2_5_vl")
    right = drawing._axes((300, 300), (308, 308), vision.processor.resample)
    monkeypatch.setattr(drawing, "_axes", lambda *sizes: right[::-1])
    with pytest.raises(AssertionError):
        check_equal(vision, view, style, arrows(view, style, 3))


def test_a_step_prepares_no_image_again(engines, asked, monkeypatch):
    engine = engines("local", "qwen2_5_vl")
    pairs = asked(engine, "marker", 3, seed=0) + asked(engine, "marker", 2, seed=1)
    expected = [reply.text for reply in engine.step(pairs)]
    monkeypatch.setattr(engine.loaded.vision, "prepare", None)
    assert [reply.text for reply in engine.step(pairs)] == expected


def test_a_scene_counts_what_it_keeps_to_draw_on_and_gives_it_back(engines, asked):
    ((scene, _),) = asked(engines("local", "llava"), "marker", 1)
    image, seen = 70 * 54 * 3, 80 * 64 * 3
    half = 80 * 54 * 3
    assert scene.nbytes == image + half + 4 * seen + 2 * 8
    scene.close()
    assert scene.nbytes == 0
