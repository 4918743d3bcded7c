# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The pictures of marker questions: preprocessed once, and again only around each arrow.

What the model sees equals, bit for bit, what the image processor makes of the whole picture with
its arrow. Pillow resizes along one axis, rounds to bytes, and then along the other: so the
arrow's strip is resized along the first axis at its full length, and of the result the part
around the arrow along the second. Values are looked up in the processor's own table. Knows
nothing about models.
"""

from functools import lru_cache
from math import ceil, floor

import numpy as np
import torch
from PIL import Image

from depthlm_ros.models.vision import Pictures

REACH = 4  # pixels: more than any of Pillow's filters look to a side, in the coarser raster


def drawn(asked) -> Pictures:
    """A picture each for [(canvas, view pixel (u, v)), ...], all of one size."""
    blanks = [canvas.prepared for canvas, _ in asked]
    tensors = {name: torch.cat([b.tensors[name] for b in blanks]) for name in blanks[0].tensors}
    pictures = Pictures(tensors, blanks[0].size, blanks[0].grid)
    for index, (canvas, pixel) in enumerate(asked):
        canvas.draw(pictures, index, pixel)
    return pictures


class Canvas:
    """One view that is asked about by a style which draws. vision: see vision.py; prepared: the
    view alone, as Pictures on the device where the marked ones are wanted."""

    def __init__(self, vision, view, style, prepared):
        self._vision, self._view, self._style, self.prepared = vision, view, style, prepared
        self._filter = vision.processor.resample
        self._axes = _axes(view.image.shape[:2], prepared.size, self._filter)
        self._half = self._resized(view.image, self._axes[0])

    @property
    def nbytes(self) -> int:
        """Memory held, without the view's picture."""
        return self._half.nbytes + sum(t.nbytes for t in self.prepared.tensors.values())

    def draw(self, pictures, index, pixel) -> None:
        """Put the marker of a view pixel (u, v) onto a copy of the view, the index-th picture."""
        first, second = self._axes
        strip = self._painted(pixel)[second]
        seen = self._touched(pixel)
        image = _cut(self._style.picture(self._view, pixel), second, strip)
        part = _cut(self._half, first, seen[first]).copy()
        _cut(part, second, strip)[:] = _cut(self._resized(image, first), first, seen[first])
        part = _cut(self._resized(part, second), second, seen[second])
        self._vision.paste(pictures, index, self._values(part), seen[0].start, seen[1].start)

    def _painted(self, pixel):
        """The slices of the view, rows and columns, that hold the marker."""
        u, v = self._style.painted(pixel).T
        return [slice(places.min(), places.max() + 1) for places in (v, u)]

    def _touched(self, pixel):
        """Of what the model sees, rows and columns that may depend on the marker, in whole
        tokens."""
        side, found = self._vision.side, []
        for axis, painted in enumerate(self._painted(pixel)):
            wanted = self.prepared.size[axis]
            scale = wanted / self._view.image.shape[axis]
            reach = REACH * max(scale, 1.0)
            low = floor((painted.start * scale - reach) / side) * side
            high = ceil((painted.stop * scale + reach) / side) * side
            found.append(slice(max(low, 0), min(high, wanted)))
        return found

    def _resized(self, image, axis):
        return _resized(image, axis, self.prepared.size[axis], self._filter)

    def _values(self, image):
        """(3, h, w) as the model takes them, of (h, w, 3) uint8."""
        channels = torch.from_numpy(np.moveaxis(image, 2, 0).astype(np.int64))
        return torch.gather(self._vision.levels, 1, channels.flatten(1)).view(channels.shape)


def _cut(image, axis, part):
    return image[part] if axis == 0 else image[:, part]


def _resized(image, axis, length, resample):
    """(h, w, 3) uint8 of another length along one axis."""
    height, width = image.shape[:2]
    size = (length, height) if axis else (width, length)
    return np.asarray(Image.fromarray(image).resize(size, resample))


@lru_cache(maxsize=64)
def _axes(before, after, resample):
    """The axes in the order in which Pillow resizes, which depends on the sizes (height, width)
    and on its version; seen on noise."""
    noise = np.random.default_rng(0).integers(0, 256, (*before, 3), dtype=np.uint8)
    whole = Image.fromarray(noise).resize(after[::-1], resample)
    wide = _resized(noise, 1, after[1], resample)
    return (1, 0) if np.array_equal(_resized(wide, 0, after[0], resample), whole) else (0, 1)
