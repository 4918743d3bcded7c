# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Several callers about one image: it is opened once, and closed when the last one is done."""

import numpy as np
import pytest

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import EngineError
from depthlm_ros.predict import AskingPredictor, Status
from depthlm_ros.view import Frame, SharedFrame

CAMERA = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
IMAGE = np.zeros((480, 640, 3), np.uint8)
PIXEL = [(320, 240)]


class CountingEngine(ScriptedEngine):
    """Remembers the scenes that it opened."""

    def open(self, images, style):
        self.scenes = [*getattr(self, "scenes", []), super().open(images, style)]
        return self.scenes[-1]

    @property
    def closed(self):
        return [scene.view is None for scene in self.scenes]


@pytest.fixture
def predictor():
    wording = {"marker": "tags", "coordinates": "tags"}
    row = Checkpoint("test", "", "qwen3_vl", 1000.0, "coordinates", "marker", wording)
    return AskingPredictor(CountingEngine(), row)


def test_callers_of_one_frame_share_its_scene_until_the_last_is_answered(predictor):
    frame = SharedFrame(IMAGE, CAMERA)
    jobs = [predictor.start(frame, PIXEL * n) for n in (1, 2, 3)]
    jobs[1].cancel()
    assert predictor.engine.closed == [False]
    replies = [job.wait() for job in jobs]
    assert [Status(s).name for s in replies[1].status] == ["CANCELLED"] * 2
    assert replies[0].distance_m.tolist() + replies[2].distance_m.tolist() == pytest.approx(
        [2.0] * 4
    )
    assert predictor.engine.closed == [True]


def test_who_asks_later_opens_it_again(predictor):
    frame = SharedFrame(IMAGE, CAMERA)
    for _ in range(2):
        predictor.ranges(frame, PIXEL)
    assert predictor.engine.closed == [True, True]


def test_other_styles_frames_and_windows_have_scenes_of_their_own(predictor):
    frame, other = (SharedFrame(IMAGE, CAMERA) for _ in range(2))
    jobs = [predictor.start(frame, PIXEL), predictor.start(frame, PIXEL, style="marker")]
    jobs.append(predictor.start(other, PIXEL))
    assert len(predictor.engine.scenes) == 3
    corners = [(5, 5), (900, 700)]
    wide = Camera(1000, 800, 500.0, 500.0, 499.5, 399.5)  # 2000 x 1600 at 1000 px: four windows
    large = SharedFrame(np.zeros((800, 1000, 3), np.uint8), wide)
    jobs += [predictor.start(large, corners) for _ in range(2)]
    assert len(predictor.engine.scenes) == 5
    for job in jobs:
        job.wait()
    assert all(predictor.engine.closed)


def test_a_frame_whose_image_may_change_is_opened_for_each(predictor):
    frame = Frame(IMAGE, CAMERA)
    jobs = [predictor.start(frame, PIXEL) for _ in range(2)]
    assert len(predictor.engine.scenes) == 2
    for job in jobs:
        job.wait()
    assert predictor.engine.closed == [True, True]


def test_what_fails_for_all_is_closed_too(predictor):
    def fail(view, pixel):
        raise ValueError("broken")

    predictor.engine.answer = fail
    frame = SharedFrame(IMAGE, CAMERA)
    jobs = [predictor.start(frame, PIXEL) for _ in range(2)]
    for job in jobs:
        with pytest.raises(EngineError, match="broken"):
            job.wait()
    assert predictor.engine.closed == [True]
