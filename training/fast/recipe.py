# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What training.fast shows and asks: sizes, worlds, zoom, colours, questions and losses."""

from dataclasses import dataclass, field

SIZES = {
    (160, 224): 0.3,
    (192, 256): 0.14,
    (160, 288): 0.12,
    (128, 224): 0.08,
    (192, 192): 0.06,
    (224, 160): 0.06,
    (128, 256): 0.07,
    (96, 288): 0.06,
    (224, 288): 0.06,
    (256, 320): 0.05,
}
SOURCES = {
    "real": 0.14,
    "furnished": 0.23,
    "wider": 0.16,
    "near": 0.12,
    "low": 0.06,
    "things": 0.09,
    "boxes": 0.05,
    "road": 0.15,
}
ASKED = (
    (0.5, ("marker", "position", "position", "coordinates")),
    (0.5, ("position", "position", "position", "coordinates", "coordinates")),
)
WEIGHTS = {"text": 0.25, "dense": 2.5, "locate": 1.0}


@dataclass(frozen=True)
class Recipe:
    """The defaults are those of the embedded checkpoint, but for the worlds low and things, which
    it was not shown.

    sizes: (height, width) in pixels of a view at a focal length of 200 px -> share of the batches.
    sources: share of a batch's images, by where they come from; what is not in the pool is shared
        out.
    asked: (share of the batches, styles asked in).
    weights: of the losses text, dense and locate, and of teacher (training/fast/teacher.py).
    zoom: least and most of it; z is divided by it.
    zoomed: share of the views that are.
    grey: share of the views without colours.
    light: how much light, colours and focus change, over what is usual.
    """

    sizes: dict = field(default_factory=lambda: SIZES)
    sources: dict = field(default_factory=lambda: SOURCES)
    asked: tuple = ASKED
    weights: dict = field(default_factory=lambda: WEIGHTS)
    zoom: tuple = (0.8, 1.25)
    zoomed: float = 0.5
    grey: float = 1 / 3
    light: float = 1.0
