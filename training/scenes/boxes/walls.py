# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Walls, floors and ceilings, and what belongs to them: doors, windows, pictures.

A wall's parts are made in the wall's own frame (x along it, centred; y into the room; z up) and
moved to a side of the floor.
"""

from dataclasses import dataclass

import numpy as np

from training.scenes.boxes import textures
from training.scenes.boxes.floor import Floor, against, on_side
from training.scenes.boxes.parts import box, colour, extent, plain, wood
from training.scenes.boxes.solids import Part, Surface

WALL_M = 0.12
DOOR_M = (0.86, 2.05)


@dataclass(frozen=True)
class Finish:
    """Surfaces of a room."""

    wall: Surface
    floor: Surface
    ceiling: Surface
    trim: Surface


def random_finish(rng) -> Finish:
    """Walls, floor, ceiling and trim that somebody might have chosen together."""
    tone = colour(rng, 0.35, 0.9, 0.4)
    kind = rng.choice(
        [textures.plain, textures.plain, textures.stripes, textures.bricks, textures.tiles]
    )
    wall = Surface(kind, tone, tuple(np.multiply(tone, rng.uniform(0.75, 0.95))), 0.2)
    return Finish(wall, _ground(rng), plain(rng, 0.75, 0.95, 0.05), plain(rng, 0.5, 0.95, 0.2))


def _ground(rng) -> Surface:
    if rng.random() < 0.6:
        tone = colour(rng, 0.15, 0.8, 0.4)
        joint = tuple(np.multiply(tone, rng.choice([0.4, 0.6, 1.4])))
        return Surface(textures.tiles, tone, joint, 0.5)
    if rng.random() < 0.6:
        return wood(rng)
    a, b = colour(rng, 0.1, 0.6, 0.4), colour(rng, 0.1, 0.6, 0.4)
    return Surface(rng.choice([textures.checker, textures.rough]), a, b, 0.5)


def wall_of(side, area, high, finish: Finish, opening=None) -> list[Part]:
    """One wall of the area, with skirting; `opening` (from, to, height) along it is left out."""
    length = (area[2:] - area[:2])[side % 2]
    spans = [(0.0, length, 0.0, high)]
    if opening:
        start, end, top = opening
        spans = [(0.0, start, 0.0, high), (end, length, 0.0, high), (start, end, top, high)]
    parts = []
    for left, right, low, top in spans:
        x, wide = (left + right) / 2 - length / 2, right - left
        parts.append(box(x, -WALL_M / 2, low, wide, WALL_M, top - low, finish.wall))
        if low == 0:
            parts.append(box(x, 0.006, 0, wide, 0.012, 0.08, finish.trim))
    return on_side(parts, area, side)


def door(rng, wide=DOOR_M[0]) -> list[Part]:
    """A closed door 2.05 m high with its frame and handle at 1.05 m."""
    leaf, frame, steel = wood(rng), plain(rng, 0.5, 0.95, 0.1), plain(rng, 0.3, 0.7, 0)
    if rng.random() < 0.5:
        leaf = plain(rng, 0.2, 0.95, 0.4)
    dim = leaf._replace(a=tuple(np.multiply(leaf.a, 0.85)))
    high = DOOR_M[1]
    return [
        box(0, 0.015, 0, wide, 0.03, high, leaf),
        box(0, 0.015, high, wide + 0.16, 0.05, 0.08, frame),
        *(box(x, 0.015, 0, 0.08, 0.05, high, frame) for x in (-wide / 2 - 0.04, wide / 2 + 0.04)),
        *(box(0, 0.018, z, wide * 0.65, 0.03, 0.75, dim) for z in (0.2, 1.12)),
        box(wide / 2 - 0.12, 0.06, 1.03, 0.12, 0.05, 0.025, steel),
    ]


def window(rng) -> list[Part]:
    """A window whose sill is at 0.9 m, bright as the day behind it."""
    wide, high, frame = rng.uniform(0.8, 1.8), rng.uniform(1.1, 1.4), plain(rng, 0.7, 0.95, 0.1)
    day = Surface(
        textures.mottle, (0.75, 0.85, 1.0), (0.45, 0.55, 0.45), 0.8, rng.uniform(0.4, 1.5)
    )
    bars = np.linspace(-wide / 2, wide / 2, 2 + int(wide > 1))
    return [
        box(0, 0.01, 0.9, wide, 0.02, high, day),
        box(0, 0.07, 0.86, wide + 0.1, 0.14, 0.04, frame),
        *(box(x, 0.02, 0.9, 0.06, 0.04, high, frame) for x in bars),
        *(box(0, 0.02, z, wide, 0.04, 0.06, frame) for z in (0.9, 0.86 + high)),
    ]


def painting(rng) -> list[Part]:
    """A picture on a wall, its middle at about 1.5 m."""
    wide, high = rng.uniform(0.3, 0.9, 2)
    art = Surface(textures.picture, colour(rng, vivid=1), colour(rng, vivid=1), 0.5)
    low = rng.uniform(1.4, 1.6) - high / 2
    return [
        box(0, 0.012, low, wide, 0.024, high, plain(rng, 0.05, 0.8)),
        box(0, 0.015, low + 0.04, wide - 0.08, 0.025, high - 0.08, art),
    ]


def hang(rng, floor: Floor, sides):
    """Doors, windows and pictures on the walls; the floor before a door stays clear."""
    used = []
    choice = [door] + [window] * rng.integers(0, 3) + [painting] * rng.integers(0, 4)
    for make in choice:
        side, share = rng.choice(sides), rng.uniform(0.1, 0.9)
        length = (floor.area[2:] - floor.area[:2])[side % 2]
        parts = make(rng)
        half = extent(parts)[1, 0]
        place = share * length
        clash = any(s == side and abs(place - p) < half + h + 0.05 for s, p, h in used)
        if clash or not half < place < length - half:
            continue
        used.append((side, place, half))
        floor.parts += on_side(parts, floor.area, side, share)
        if make is door:
            x, y, _ = against(floor.area, side, share)
            floor.keep_clear(x - 0.6, y - 0.6, x + 0.6, y + 0.6)


def slabs(area, high, finish: Finish) -> list[Part]:
    """Floor and ceiling under and over the area."""
    x, y = (area[0] + area[2]) / 2, (area[1] + area[3]) / 2
    wide, deep = area[2] - area[0] + WALL_M, area[3] - area[1] + WALL_M
    return [
        box(x, y, -0.1, wide, deep, 0.1, finish.floor),
        box(x, y, high, wide, deep, 0.1, finish.ceiling),
    ]
