# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Images in memory with known distances, as records: for whatever takes those of files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depthlm_ros.data.records import Record
from depthlm_ros.view import Frame


@dataclass(frozen=True, eq=False)
class LoadedRecord(Record):
    """A Record whose image is in memory. loaded: that image with its camera."""

    loaded: Frame | None = None

    @classmethod
    def of(
        cls, frame: Frame, pixels: np.ndarray, distance_m: np.ndarray, where: str
    ) -> "LoadedRecord":
        """Of a frame whose pixels (N, 2) are distance_m (N,) away, along the ray."""
        return cls(Path(), frame.camera, pixels, distance_m, "distance", where, loaded=frame)

    def frame(self) -> Frame:
        """The image with its camera."""
        assert self.loaded is not None
        return self.loaded
