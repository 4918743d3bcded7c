# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Warm-up: one question a style, at the size that users ask, and never a reason not to start."""

from dataclasses import replace

import pytest

from depthlm_ros.checkpoints import find_checkpoint
from depthlm_ros.engines import make_engine
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.engines.warmup import usual_view, warm_up
from depthlm_ros.errors import EngineError
from depthlm_ros.models.progress import silent

TINY = find_checkpoint("tiny")


class Recording(ScriptedEngine):
    """A scripted engine that remembers what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked, self.scenes = [], []

    def open(self, pictures, style):
        self.scenes.append(super().open(pictures, style))
        return self.scenes[-1]

    def step(self, batch):
        self.asked += [(scene.style.name, scene.view.image.shape) for scene, _ in batch]
        return super().step(batch)


def test_each_style_is_asked_once_and_its_scene_closed():
    engine = Recording()
    warm_up(engine, TINY, silent)
    assert engine.asked == [(style, (171, 228, 3)) for style in TINY.wording]
    assert all(scene.view is None for scene in engine.scenes)


@pytest.mark.parametrize(
    ("focal_px", "largest", "size"),
    [(1000.0, (1400, 1200), (1143, 857)), (1400.0, (1400, 1000), (1400, 1000))],
)
def test_the_view_is_that_of_a_usual_camera_and_at_most_the_largest(focal_px, largest, size):
    view = usual_view(replace(TINY, focal_px=focal_px, largest_view=largest))
    assert (view.camera.width, view.camera.height, view.camera.fx) == (*size, focal_px)


def test_what_fails_is_logged_and_the_other_styles_are_warmed(caplog):
    engine = Recording()

    def refused(pictures, style):
        if style.name == "marker":
            raise EngineError("the picture is too large")
        return Recording.open(engine, pictures, style)

    engine.open = refused
    warm_up(engine, TINY, silent)
    assert [style for style, _ in engine.asked] == ["coordinates", "position"]
    assert "no warm-up in marker style: the picture is too large" in caplog.text


def test_only_the_fast_engine_is_warmed():
    """The fake would spend a scripted failure, and the yardstick is slow."""

    def failing(view, pixel):
        raise AssertionError("asked")

    make_engine("scripted", TINY, warm_up=True, answer=failing)


def test_a_warm_engine_knows_its_pace():
    pytest.importorskip("torch")
    engine = make_engine("local", TINY, warm_up=True, device="cpu")
    view, style = usual_view(TINY), TINY.asker("coordinates")
    assert engine.room(engine.open([view], style), 60.0) > 1
