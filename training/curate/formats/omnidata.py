# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Omnidata's names of images and its cameras, for sets of millions of images."""

import json
import re
from collections.abc import Iterable, Sequence
from math import isfinite, pi, tan
from pathlib import Path
from typing import Any

import numpy as np

from training.curate.formats.files import needed
from training.curate.sample import Skip

_RGB = re.compile(r"point_(\d+)_view_(\d+)_domain_rgb\.png")

View = tuple[str, int, int]  # building, point, view


def views_of(folders: Iterable[Path]) -> Sequence[View]:
    """(building, point, view) of each image in folders of buildings, by name and number."""
    found = []
    for folder in folders:
        names = (_RGB.fullmatch(path.name) for path in folder.glob("*.png"))
        numbers = sorted((int(name[1]), int(name[2])) for name in names if name)
        found.append((folder.name, np.array(numbers, np.int32).reshape(-1, 2)))
    return _Views(found)


class _Views(Sequence[View]):
    """The keys of millions of images, 8 bytes each. buildings: name and (N, 2) point, view."""

    def __init__(self, buildings: list[tuple[str, np.ndarray]]):
        self._buildings = buildings
        self._ends = np.cumsum([len(numbers) for _, numbers in buildings])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(f"{len(self)} images, asked for number {i}")
        i %= len(self)
        which = int(np.searchsorted(self._ends, i, side="right"))
        name, numbers = self._buildings[which]
        point, view = numbers[i - int(self._ends[which])]  # counts from the end
        return name, int(point), int(view)


def focal_of(path: Path, size: tuple[int, int]) -> float:
    """Pixels; of a square image, whose field of view goes from edge to edge."""
    needed(path, "no calibration")
    try:
        angle = float(json.loads(path.read_text())["field_of_view_rads"])
    except (KeyError, TypeError, ValueError) as error:
        raise Skip("broken calibration", f"{path}: field_of_view_rads: {error}") from error
    if not (isfinite(angle) and 0 < angle < pi) or size[0] != size[1]:
        raise Skip(
            "broken calibration",
            f"{path}: field_of_view_rads is {angle:g} for an image of {size[0]} x {size[1]};"
            " needed is an angle between 0 and pi, and a square image",
        )
    return size[0] / (2 * tan(angle / 2))
