# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The images of marker questions: preprocessed once, and again only around each arrow.

What the model sees equals, bit for bit, what the image processor makes of the whole image with
its arrow. Pillow resizes along one axis, rounds to bytes, and then along the other: so the
arrow's strip is resized along the first axis at its full length, and of the result the part
around the arrow along the second. Values are looked up in the processor's own table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, floor

import numpy as np
import torch
from PIL import Image

from depthlm_ros.models.vision import ImageTensors, QwenVision
from depthlm_ros.question import MarkerStyle
from depthlm_ros.view import View

Pixel = tuple[float, ...]  # (u, v) of the view
REACH = 4  # pixels: more than any of Pillow's filters look to a side, in the coarser raster


def drawn(asked: Sequence[tuple[Canvas, Pixel]]) -> ImageTensors:
    """An image each for [(canvas, view pixel (u, v)), ...], all of one size."""
    blanks = [canvas.prepared for canvas, _ in asked]
    tensors = {name: torch.cat([b.tensors[name] for b in blanks]) for name in blanks[0].tensors}
    images = ImageTensors(tensors, blanks[0].size, blanks[0].grid)
    parts = [(index, *canvas.marked(pixel)) for index, (canvas, pixel) in enumerate(asked)]
    asked[0][0].vision.put(images, parts)
    return images


class Canvas:
    """One view that is asked about by a style which draws.

    vision: of the model.
    prepared: the view alone, on the device where the marked images are wanted.
    """

    def __init__(self, vision: QwenVision, view: View, style: MarkerStyle, prepared: ImageTensors):
        self.vision, self._view, self._style, self.prepared = vision, view, style, prepared
        self._filter = vision.processor.resample
        self._axes = _axes(view.image.shape[:2], prepared.size, self._filter)
        self._half = self._resized(view.image, self._axes[0])

    @property
    def nbytes(self) -> int:
        """Memory held, without the view's image."""
        return self._half.nbytes + sum(t.nbytes for t in self.prepared.tensors.values())

    def marked(self, pixel: Pixel) -> tuple[int, int, np.ndarray]:
        """(top, left, (h, w, 3) uint8) of what the model sees around the marker of a view pixel
        (u, v)."""
        first, second = self._axes
        strip = self._painted(pixel)[second]
        seen = self._touched(pixel)
        image = _cut(self._view.image, second, strip).copy()
        corner = [0, 0]
        corner[1 - second] = strip.start  # (u, v)
        self._style.paint(image, np.asarray(pixel) - corner)
        part = _cut(self._half, first, seen[first]).copy()
        _cut(part, second, strip)[:] = _cut(self._resized(image, first), first, seen[first])
        part = _cut(self._resized(part, second), second, seen[second])
        return seen[0].start, seen[1].start, part

    def _painted(self, pixel: Pixel) -> list[slice]:
        """The slices of the view, rows and columns, that hold the marker; InputError too near the
        border."""
        self._style.check_room(self._view, pixel)
        u, v = self._style.painted(pixel).T
        return [slice(places.min(), places.max() + 1) for places in (v, u)]

    def _touched(self, pixel: Pixel) -> list[slice]:
        """Of what the model sees, rows and columns that may depend on the marker, in whole
        tokens."""
        side = self.vision.side
        found = []
        for axis, painted in enumerate(self._painted(pixel)):
            wanted = self.prepared.size[axis]
            scale = wanted / self._view.image.shape[axis]
            reach = REACH * max(scale, 1.0)
            low = floor((painted.start * scale - reach) / side) * side
            high = ceil((painted.stop * scale + reach) / side) * side
            found.append(slice(max(low, 0), min(high, wanted)))
        return found

    def _resized(self, image: np.ndarray, axis: int) -> np.ndarray:
        return _resized(image, axis, self.prepared.size[axis], self._filter)


def _cut(image: np.ndarray, axis: int, part: slice) -> np.ndarray:
    return image[part] if axis == 0 else image[:, part]


def _resized(image: np.ndarray, axis: int, length: int, resample: int) -> np.ndarray:
    """(h, w, 3) uint8 of another length along one axis."""
    height, width = image.shape[:2]
    size = (length, height) if axis else (width, length)
    return np.asarray(Image.fromarray(image).resize(size, resample))


@lru_cache(maxsize=64)
def _axes(before: tuple[int, int], after: tuple[int, int], resample: int) -> tuple[int, int]:
    """The axes in the order in which Pillow resizes, which depends on the sizes (height, width)
    and on its version; seen on noise."""
    noise = np.random.default_rng(0).integers(0, 256, (*before, 3), dtype=np.uint8)
    whole = Image.fromarray(noise).resize(after[::-1], resample)
    wide = _resized(noise, 1, after[1], resample)
    return (
        (1, 0)
        if np.array_equal(_resized(wide, 0, after[0], resample), np.asarray(whole))
        else (0, 1)
    )
