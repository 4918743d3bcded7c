# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A question in each style before the first user's, who else would wait for what happens once:
weights fetched from disk, products compiled, the pace of this machine unknown.

Works with any Engine; knows nothing about models.
"""

import logging

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import DepthLMError
from depthlm_ros.view import Frame, View

# Of the focal length: a camera that sees 60 degrees across, four by three.
WIDTH, HEIGHT = 1.143, 0.857


def warm_up(engine, checkpoint, progress) -> None:
    """Ask an Engine once in each style of its Checkpoint, at the size of a usual view.

    What fails here is logged and no error: the user's own pictures may be smaller. progress: see
    progress.py.
    """
    view = usual_view(checkpoint)
    for index, name in enumerate(checkpoint.wording):
        progress(index / len(checkpoint.wording), f"warming up, {name}")
        try:
            _ask(engine, view, checkpoint.asker(name))
        except DepthLMError as error:
            logging.getLogger(__name__).warning("no warm-up in %s style: %s", name, error)


def usual_view(checkpoint) -> View:
    """A grey View at the checkpoint's focal length, of the size that most cameras have then."""
    focal_px, largest = checkpoint.focal_px, checkpoint.largest_view
    width, height = (
        min(int(focal_px * side), most)
        for side, most in zip((WIDTH, HEIGHT), largest, strict=True)
    )
    camera = Camera(width, height, focal_px, focal_px, width / 2, height / 2)
    frame = Frame(np.full((height, width, 3), 128, np.uint8), camera)
    return View(frame.image, camera, frame, (1.0, 1.0))


def _ask(engine, view, style):
    scene = engine.open([view], style)
    try:
        middle = view.camera.width // 2, view.camera.height // 2
        engine.step([(scene, style.question(view, middle))])
    finally:
        scene.close()
