# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Whether answered and refused questions let go of their images without the garbage collector."""

import gc

import numpy as np
import pytest

pytest.importorskip("rclpy")
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros.convert import image_message
from depthlm_ros.view import Frame

WORDING = {"marker": "tags", "coordinates": "tags"}
ENTRY = Checkpoint("fake", "", "none", 250.0, "marker", "coordinates", WORDING)
MOST_LIVE = 3  # the newest image, the one before it and one that is being asked about


@pytest.fixture
def seen(start_node):
    """A robot with a node in this process."""
    return start_node(lambda progress: AskingPredictor(ScriptedEngine(), ENTRY))[1]


@pytest.fixture
def uncollected():
    """Until the end nothing is freed but what nobody refers to any more; the number of frames that
    live before, which other tests hold."""
    gc.collect()
    gc.disable()
    yield live_frames()
    gc.enable()


def live_frames() -> int:
    return sum(isinstance(thing, Frame) for thing in gc.get_objects())


def test_the_newest_images_are_let_go_of_once_they_are_answered(uncollected, seen):
    for _ in range(10):
        seen.show()
    assert live_frames() - uncollected <= MOST_LIVE


def test_images_in_requests_are_let_go_of_whether_they_are_answered_or_refused(uncollected, seen):
    seen.show()
    image = image_message(seen.header(), np.zeros((240, 320, 3), np.uint8))
    answered = seen.query_image.Request(image=image, camera_info=seen.info(), u=[160.0], v=[120.0])
    for _ in range(10):
        assert seen.call(seen.image, answered).success
    wrong = seen.info()
    wrong.k = [1e-3, 0.0, 160.0, 0.0, 1e-3, 120.0, 0.0, 0.0, 1.0]  # a view beyond all bounds
    refused = seen.query_image.Request(image=image, camera_info=wrong, u=[160.0], v=[120.0])
    for _ in range(10):
        assert not seen.call(seen.image, refused).success
    assert live_frames() - uncollected <= MOST_LIVE
