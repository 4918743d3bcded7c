# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Place: solids, lights and where to stand. Floor: a rectangle that fills with things.

Knows nothing about what the things are.
"""

from dataclasses import dataclass

import numpy as np

from training.scenes.boxes.parts import extent, placed
from training.scenes.boxes.solids import Part, Solids, Surface
from training.scenes.boxes.surfaces import Light


@dataclass(frozen=True)
class Place:
    """Solids with their surfaces and lights, the floor (x0, y0, x1, y1) to stand on and aim at."""

    kind: str
    solids: Solids
    surfaces: list[Surface]
    lights: list[Light]
    ambient: float
    stand: tuple
    aim: tuple

    @classmethod
    def of(cls, kind, parts: list[Part], lights, ambient, stand, aim) -> "Place":
        """A place made of parts."""
        return cls(kind, Solids.of(parts), [p.surface for p in parts], lights, ambient, stand, aim)


class Floor:
    """A rectangle of floor that fills with things which do not overlap."""

    def __init__(self, x0, y0, x1, y1):
        self.area = np.array([x0, y0, x1, y1], float)
        self.taken = []
        self.parts = []

    def free(self, spot, gap=0.03) -> bool:
        """Whether the rectangle (x0, y0, x1, y1) is inside and overlaps nothing."""
        low, high = np.asarray(spot[:2]), np.asarray(spot[2:])
        inside = (low >= self.area[:2] - 1e-6).all() and (high <= self.area[2:] + 1e-6).all()
        return inside and all(
            (low >= t[2:] - gap).any() or (high <= t[:2] + gap).any() for t in self.taken
        )

    def keep_clear(self, x0, y0, x1, y1):
        """Nothing is put there later."""
        self.taken.append(np.array([x0, y0, x1, y1], float))

    def put(self, parts, x, y, yaw=0.0, z=0.0, solid=True) -> bool:
        """Put a thing at (x, y) if there is room for it."""
        there = placed(parts, x, y, z, yaw)
        low, high = extent(there)
        if solid:
            if not self.free([*low[:2], *high[:2]]):
                return False
            self.keep_clear(*low[:2], *high[:2])
        self.parts += there
        return True

    def along_wall(self, rng, parts, tries=6) -> bool:
        """Put a thing with its back to some wall."""
        for _ in range(tries):
            side, share = rng.integers(4), rng.random()
            x, y, yaw = against(self.area, side, share)
            if self.put(placed(parts, 0, 0.01), x, y, yaw):
                return True
        return False

    def anywhere(self, rng, parts, tries=6, yaw=None) -> bool:
        """Put a thing somewhere, turned at random unless yaw is given."""
        for _ in range(tries):
            x, y = rng.uniform(self.area[:2], self.area[2:])
            turn = rng.uniform(-np.pi, np.pi) if yaw is None else yaw
            if self.put(parts, x, y, turn):
                return True
        return False


def against(area, side, share):
    """A point on a side of the area and the yaw that turns a thing's back to it.

    Sides 0 to 3 are y0, x1, y1, x0; share runs along the x of what is put there.
    """
    x0, y0, x1, y1 = area
    x, y = share * (x1 - x0), share * (y1 - y0)
    return [
        (x0 + x, y0, 0.0),
        (x1, y0 + y, np.pi / 2),
        (x1 - x, y1, np.pi),
        (x0, y1 - y, -np.pi / 2),
    ][side]


def on_side(parts, area, side, share=0.5) -> list[Part]:
    """Parts made for the wall y = 0 moved to a side of the area."""
    x, y, yaw = against(area, side, share)
    return placed(parts, x, y, 0, yaw)
