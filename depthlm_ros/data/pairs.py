# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Pair records: two images of one place, how the camera moved, and which pixels match.

One JSON object per line: images [first, second], intrinsics [[fx, fy, cx, cy, W, H], the same of
the second], second_from_first (4 x 4, transforms points from the first camera's optical frame to
the second's, metres), matches [[u1, v1, u2, v2], ...] (optional), metric (false where the scale of
the translation is unknown; default true), source (optional).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.data.records import (
    Checked,
    RecordLines,
    named,
    need,
    outside,
    read_intrinsics,
    text_of,
)
from depthlm_ros.view import Frame

KEYS = ("images", "intrinsics", "second_from_first")


@dataclass(frozen=True, eq=False)
class PairRecord(Checked):
    """Two images and N matches. Raises RecordError for contents that cannot be.

    images: the two image files.
    cameras: their cameras.
    rotation: (3, 3); a point x of the first optical frame is rotation @ x + translation_m in the
        second.
    translation_m: (3,) metres.
    first: (N, 2) pixels of the first image.
    second: (N, 2) pixels of the second image that show the same points.
    where: "file:line", for messages.
    metric: whether the length of translation_m is in metres.
    source: name of the data set, "" where it is not stated.
    """

    images: tuple[Path, Path]
    cameras: tuple[Camera, Camera]
    rotation: np.ndarray
    translation_m: np.ndarray
    first: np.ndarray
    second: np.ndarray
    where: str
    metric: bool = True
    source: str = ""

    def _problems(self) -> Iterator[str]:
        turned = self.rotation @ self.rotation.T
        if not np.allclose(turned, np.eye(3), atol=1e-3) or np.linalg.det(self.rotation) < 0:
            yield "the first three rows and columns of second_from_first are not a rotation"
        if not np.isfinite(self.translation_m).all():
            yield f"the translation is {self.translation_m}, it must be finite"
        for name, pixels, camera in zip(
            ("first", "second"), (self.first, self.second), self.cameras, strict=True
        ):
            yield from outside(f"the {name} pixel of a match", pixels, camera)

    def __len__(self) -> int:
        return len(self.first)

    def frames(self) -> tuple[Frame, Frame]:
        """Both images, read now, with their cameras; RecordError where that fails."""
        first, second = map(self._frame, self.images, self.cameras)
        return first, second

    @property
    def moved_m(self) -> np.ndarray:
        """(3,) metres: the second camera's centre in the first's optical frame."""
        return -self.rotation.T @ self.translation_m


class Pairs(RecordLines):
    """The pair records of jsonl files by number."""

    @staticmethod
    def _parsed(content, folder, where) -> PairRecord:
        need(content, KEYS)
        pose, matches = _pose(content["second_from_first"]), _matches(content.get("matches", []))
        return PairRecord(
            images=tuple(named(folder, str(name)) for name in _two(content["images"])),
            cameras=tuple(map(read_intrinsics, _two(content["intrinsics"]))),
            rotation=pose[:3, :3],
            translation_m=pose[:3, 3],
            first=matches[:, :2],
            second=matches[:, 2:],
            where=where,
            metric=bool(content.get("metric", True)),
            source=text_of(content, "source"),
        )


def _two(values) -> list:
    if not isinstance(values, list) or len(values) != 2:
        raise ValueError(f"images and intrinsics are lists of two, got {str(values)[:80]}")
    return values


def _pose(rows) -> np.ndarray:
    pose = np.asarray(rows, dtype=np.float64)
    if pose.shape != (4, 4) or not np.array_equal(pose[3], (0, 0, 0, 1)):
        raise ValueError("second_from_first is 4 x 4 with the last row 0, 0, 0, 1")
    return pose


def _matches(rows) -> np.ndarray:
    matches = np.asarray(rows, dtype=np.float64) if len(rows) else np.empty((0, 4))
    if matches.ndim != 2 or matches.shape[1] != 4:
        raise ValueError(f"matches are lists [u, v, u, v], got {str(rows)[:80]}")
    if not np.isfinite(matches).all():
        raise ValueError("a pixel of a match is not a finite number")
    return matches
