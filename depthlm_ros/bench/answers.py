# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How long a predictor takes for what users ask first: a pixel in each style, a map, a grid read
from it and one asked; as lines to print, each the median of a few times."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

from depthlm_ros.camera import Camera
from depthlm_ros.predict import Predictor, has_map
from depthlm_ros.scan import grid_pixels
from depthlm_ros.view import Frame

GRID = 32, 24
VIEW = 256, 192


def lines(predictor: Predictor, frame: Frame, engine: str) -> Iterator[str]:
    """About a frame; engine: the name of the predictor's."""
    entry = predictor.checkpoint
    middle = [(frame.camera.width // 2, frame.camera.height // 2)]
    for style in entry.styles if engine == "local" else entry.wording:
        yield line(f"one pixel, {style}", partial(predictor.ranges, frame, middle, style=style))
    if has_map(entry, engine):
        view = _view(frame, entry.focal_px)
        yield line("every pixel of a {} x {} view".format(*VIEW), lambda: predictor.map(view))
    grid = grid_pixels(frame.camera, *GRID)
    for style in dict.fromkeys((entry.grid_style, entry.speaking().grid_style)):
        title = "a grid of {} x {}, {}".format(*GRID, style)
        yield line(title, partial(predictor.ranges, frame, grid, style=style), 1)


def line(title: str, action: Callable[[], object], times: int = 5) -> str:
    """The median time of an action after one that does not count."""
    action()
    seconds = median(_timed(action) for _ in range(times))
    figure = f"{seconds * 1e3:10.2f} ms" if seconds < 0.1 else f"{seconds:10.2f} s"
    return f"{title:<44}{figure}"


def _view(frame: Frame, focal_px: float) -> Frame:
    """An image in the size of VIEW, at the focal length of a checkpoint."""
    width, height = VIEW
    camera = Camera(width, height, focal_px, focal_px, width / 2, height / 2)
    return Frame(frame.resized(width, height), camera)


def _timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin
