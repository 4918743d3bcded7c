# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Distances in a panorama from its ground alone.

Whoever sees level ground from a known height knows how far away each of its points is, and so the
foot of whatever stands on it: its front is as far as its foot. A file says where the ground ends:

    {"square": {"walls": [[column, foot, top], ...], "objects": [[left, right, foot, top], ...],
                "unknown": [[left, right, upper, lower], ...], "height_m": 1.6}}

in columns and rows of a panorama of 1024 x 512 whose horizon lies between rows 255 and 256. Labels
of this kind are rough: a row is a tenth of the distance at 9 m and a quarter at 20 m, and the
height is the usual one of a tripod. They tell a head that a photograph shows a street and no room.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from depthlm_ros.entries import bad_entries
from depthlm_ros.errors import InputError
from training.curate.formats.files import json_of

ROWS, COLUMNS = 512, 1024  # that marks count in
Row = Annotated[float, Field(ge=0, le=ROWS)]
Foot = Annotated[float, Field(gt=ROWS / 2, le=ROWS)]  # below the horizon
Column = Annotated[float, Field(ge=0, le=COLUMNS)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Ground:
    """Where the ground of one panorama ends.

    walls: (column, foot, top), by ascending columns and joined by straight lines: the row where
        what stands around meets the ground, and where it ends above. The same column twice is a
        jump.
    objects: (left, right, foot, top) of things that stand before them, the nearer ones last.
    unknown: (left, right, upper, lower) of boxes without a label: water, slopes, stairs, glass.
    height_m: of the camera above the ground.
    """

    walls: Annotated[list[tuple[Column, Foot, Row]], Field(min_length=1)]
    objects: list[tuple[Column, Column, Foot, Row]] = Field(default_factory=list)
    unknown: list[tuple[Column, Column, Row, Row]] = Field(default_factory=list)
    height_m: Annotated[float, Field(gt=0)] = 1.6

    def __post_init__(self) -> None:
        columns = [column for column, _, _ in self.walls]
        if columns != sorted(columns):
            raise ValueError("the columns of walls must ascend")

    def distances(self) -> np.ndarray:
        """(512, 1024) float32 metres along the ray; 0 where nothing is known."""
        row = np.arange(ROWS)[:, None] + 0.5
        below = _below(row)
        column, foot, top = np.array(self.walls).T
        across = np.arange(COLUMNS) + 0.5
        foot, top = (np.interp(across, column, rows) for rows in (foot, top))
        ground = self.height_m / np.sin(np.maximum(below, 1e-6))
        known = np.where(row >= top, self._away(foot) / np.cos(below), 0)
        known = np.where(row >= foot, ground, known)
        for left, right, foot_row, top_row in self.objects:
            box = slice(round(top_row), round(foot_row)), slice(round(left), round(right))
            known[box] = (self._away(foot_row) / np.cos(below))[box[0]]
        for left, right, upper, lower in self.unknown:
            known[round(upper) : round(lower), round(left) : round(right)] = 0
        return known.astype(np.float32)

    def _away(self, foot: np.ndarray | float) -> np.ndarray:
        """Metres over the ground to what meets it in these rows."""
        return self.height_m / np.tan(_below(foot))


def _below(rows: np.ndarray | float) -> np.ndarray:
    """Radians that these rows lie below the horizon."""
    return np.radians((rows - ROWS / 2) * 180 / ROWS)


def read_grounds(path: Path) -> dict[str, Ground]:
    """The panoramas of a file by name; InputError for what it may not hold."""
    try:
        return TypeAdapter(dict[str, Ground]).validate_python(json_of(path))
    except ValidationError as error:
        raise InputError("; ".join(map(str, bad_entries(Ground, error, str(path))))) from error
