# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Warm-up: one question per style, at the size that users ask, and never a reason not to start."""

import pytest

from depthlm_ros import predict
from depthlm_ros.checkpoints import find_checkpoint, without_head
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import EngineError
from depthlm_ros.predict import load_predictor
from depthlm_ros.view import usual_frame

TINY = without_head(find_checkpoint("tiny"))


class Recording(ScriptedEngine):
    """A scripted engine that remembers what it was asked, and opens no scene in some styles."""

    def __init__(self, refused=()):
        super().__init__()
        self.asked, self.scenes, self.refused = [], [], refused

    def open(self, images, style):
        if style.name in self.refused:
            raise EngineError("the image is too large")
        self.scenes.append(super().open(images, style))
        return self.scenes[-1]

    def step(self, batch):
        self.asked += [(scene.style.name, scene.view.image.shape) for scene, _ in batch]
        return super().step(batch)


@pytest.fixture
def loaded(monkeypatch):
    """loaded(name, engine) -> what load_predictor makes of an engine of this name."""

    def load(name, engine):
        monkeypatch.setattr(predict, "make_engine", lambda *args, **options: engine)
        return load_predictor(TINY, name)

    return load


def test_each_style_is_asked_once_and_its_scene_closed(loaded):
    engine = Recording()
    loaded("local", engine)
    assert engine.asked == [(style, (171, 228, 3)) for style in TINY.wording]
    assert all(scene.view is None for scene in engine.scenes)


@pytest.mark.parametrize(
    ("focal_px", "largest", "size"),
    [(1000.0, (1400, 1200), (1143, 857)), (1400.0, (1400, 1000), (1400, 1000))],
)
def test_the_frame_is_that_of_a_usual_camera_and_at_most_the_largest(focal_px, largest, size):
    camera = usual_frame(focal_px, largest).camera
    assert (camera.width, camera.height, camera.fx) == (*size, focal_px)


def test_what_fails_is_logged_and_the_other_styles_are_warmed(loaded, caplog):
    engine = Recording(refused=["marker"])
    loaded("local", engine)
    assert [style for style, _ in engine.asked] == ["coordinates", "position"]
    assert "marker" in caplog.text and "the image is too large" in caplog.text


@pytest.mark.parametrize("name", ["scripted", "reference"])
def test_only_the_fast_engine_is_warmed(loaded, name):
    """The fake would spend a scripted failure, and the yardstick is slow."""
    engine = Recording()
    loaded(name, engine)
    assert engine.asked == []


def test_a_warm_engine_knows_its_pace():
    """So its first step already takes several questions."""
    pytest.importorskip("torch")
    predictor = load_predictor("tiny", device="cpu")
    frame = usual_frame(TINY.focal_px, TINY.largest_view)
    predictor.start(frame, [(20, 20)] * 3, style="coordinates")
    assert predictor.run_once() and predictor.stats().batch_size > 1
