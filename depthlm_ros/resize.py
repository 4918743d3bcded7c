# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Pillow's bicubic resize, to the bit, shared out among the cores. Knows nothing about cameras."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from PIL import Image

STRIP = 200_000  # pixels; less is not worth a thread


def bicubic(image, width, height) -> np.ndarray:
    """The picture (H, W, 3) uint8 in this size, as the released preprocessing resizes it.

    Pillow resizes all rows, then all columns, and none needs another: so strips of them can be
    resized at the same time. Not where the height shrinks: from Pillow 13 on the columns may
    come first there, and then the values are rounded in another order.
    """
    count = min(_cores(), width * height // STRIP)
    if count < 2 or height < len(image):
        return _pillow(image, width, height)
    wide = np.empty((len(image), width, 3), np.uint8)
    found = np.empty((height, width, 3), np.uint8)

    def rows(strip):
        wide[strip] = _pillow(image[strip], width, strip.stop - strip.start)

    def columns(strip):
        found[:, strip] = _pillow(wide[:, strip], strip.stop - strip.start, height)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(rows, _strips(len(image), count)))
        list(pool.map(columns, _strips(width, count)))
    return found


def _pillow(image, width, height):
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def _strips(length, count) -> list:
    edges = np.linspace(0, length, count + 1).astype(int).tolist()
    return [slice(low, high) for low, high in pairwise(edges) if low < high]


def _cores() -> int:
    """Those that this process may use."""
    known = getattr(os, "sched_getaffinity", None)  # only on Linux
    return len(known(0)) if known else os.cpu_count() or 1
