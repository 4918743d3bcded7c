# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a data set is to the writer: names of images, and for each a Sample or a reason to skip it.

Knows nothing about any one data set, nor about what is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Key = Any  # a small picklable value that names one image of a set


class Skip(Exception):
    """One image that cannot be used.

    reason: a short fixed phrase that is counted, such as "no depth file".
    detail: the file and the field.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Lens(Protocol):
    """What the writer needs of a camera; depthlm_ros.camera.Camera is one. Frozen, so that maps
    can be kept for it.

    width, height: of its image [px].
    """

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def __hash__(self) -> int: ...

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 3) unit rays of pixels (N, 2), NaN where no ray leads."""

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) pixels of points (N, 3) in the optical frame, NaN for points not seen."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One image and what was measured of it: points, or a depth map.

    name: unique in the set, such as "log/camera/stamp"; files are named after it.
    scene: what training and held-out data must not share.
    image: (H, W, 3) uint8 RGB, or the file that holds it.
    camera: of the image, its distortion included.
    points: (N, 3) metres in the camera's optical frame at the time of the image; or None.
    depth: (h, w) float32 metres on the grid of the image at any size, through the same lens, NaN
        where unknown; or None.
    kind: of `depth`, "z" or "distance"; for points, of the labels to write.
    time_gap_s: between the image and the depth sensor.
    """

    name: str
    scene: str
    image: np.ndarray | Path
    camera: Lens
    points: np.ndarray | None = None
    depth: np.ndarray | None = None
    kind: str = "z"
    time_gap_s: float = 0.0


class DataSet(Protocol):
    """One data set on disk. It is sent to other processes, so it keeps no file open.

    name: as on the command line.
    licence: one sentence on what its terms allow.
    splits: its own.
    range_m: nearest and farthest metres that are kept: as published, or as the set's devkit does.

    Made of (root, split, as_published): as_published is "", "depthlm" or "depthvlm" (reproduce
    their labels). Raises InputError where the root lacks the official layout.
    """

    name: str
    licence: str
    splits: tuple[str, ...]
    range_m: tuple[float, float]

    def keys(self) -> Sequence[Key]:
        """A key for each image of the split, always in the same order."""

    def read(self, key: Key) -> Sample:
        """Raises Skip for one image, InputError for what makes the whole set unusable."""
