# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rooms and corridors, furnished at random.

Knows nothing about images.
"""

import numpy as np

from training.scenes.boxes import furniture, outdoors, textures
from training.scenes.boxes.floor import Floor, Place, against, on_side
from training.scenes.boxes.parts import box, cloth, extent, placed, tube
from training.scenes.boxes.solids import Part, Surface
from training.scenes.boxes.surfaces import Light
from training.scenes.boxes.walls import (
    DOOR_M,
    WALL_M,
    Finish,
    door,
    hang,
    painting,
    random_finish,
    slabs,
    wall_of,
    window,
)

LARGE = [
    furniture.sofa,
    furniture.bed,
    furniture.wardrobe,
    furniture.chest,
    furniture.shelf,
    furniture.shelf,
    furniture.counter,
    furniture.fridge,
    furniture.screen,
    furniture.table,
    furniture.wardrobe,
]
SMALL = [
    furniture.floor_lamp,
    furniture.plant,
    furniture.chair,
    furniture.carton,
    furniture.office_chair,
    outdoors.person,
    outdoors.bin_,
    furniture.low_table,
]


def _dining(rng, floor: Floor):
    """A table in the room with chairs around it and trifles on it."""
    parts = furniture.table(rng)
    wide, deep, top = extent(parts)[1]
    for _ in range(rng.integers(0, 4)):
        x, y = rng.uniform(-wide * 0.7, wide * 0.7), rng.uniform(0.05, deep - 0.3)
        parts = parts + placed(furniture.trifle(rng), x, y, top, rng.uniform(-1, 1))
    make = rng.choice([furniture.chair, furniture.office_chair])
    seat = make(rng)
    for x in (-wide / 2, wide / 2) if wide > 0.7 else (0,):
        if rng.random() < 0.8:
            parts = parts + placed(seat, x, -rng.uniform(0.3, 0.6), 0, rng.uniform(-0.3, 0.3))
        if rng.random() < 0.7:
            y = deep + rng.uniform(0.3, 0.6)
            parts = parts + placed(seat, x, y, 0, np.pi + rng.uniform(-0.3, 0.3))
    yaw = rng.choice([0, np.pi / 2, rng.uniform(-np.pi, np.pi)], p=[0.4, 0.3, 0.3])
    floor.anywhere(rng, parts, 8, yaw)


def _furnish(rng, floor: Floor, crowd: float):
    """Things along the walls, tables, small things, people and a rug."""
    size = floor.area[2:] - floor.area[:2]
    for _ in range(int(crowd * size.sum() * rng.uniform(0.4, 1.1))):
        floor.along_wall(rng, rng.choice(LARGE)(rng))
    for _ in range(int(crowd * size.prod() / rng.uniform(8, 20)) + (rng.random() < 0.5)):
        _dining(rng, floor)
    for _ in range(int(crowd * size.prod() / rng.uniform(3, 12))):
        thing = rng.choice(SMALL)(rng)
        (floor.along_wall if rng.random() < 0.5 else floor.anywhere)(rng, thing)
    if rng.random() < 0.3 and size.min() > 2.5:
        wide, deep = rng.uniform(1.4, 2.2, 2)
        x, y = (floor.area[:2] + floor.area[2:]) / 2 + rng.uniform(-0.4, 0.4, 2)
        floor.parts.append(box(x, y, 0, wide, deep, 0.01, cloth(rng)))


def _lamps(rng, area, high) -> list[Light]:
    """One lamp under the ceiling that throws shadows, sometimes a second that does not."""
    low, top = np.array(area[:2]), np.array(area[2:])
    lights = []
    for i in range(rng.integers(1, 4)):
        x, y = rng.uniform(low + 0.3 * (top - low), top - 0.3 * (top - low))
        tone = tuple(1 + np.array([0.12, 0, -0.15]) * rng.uniform(-0.6, 1))
        shadow = 160 if i == 0 else 0
        lights.append(
            Light(
                (x, y, high - 0.15),
                (x, y + 1e-3, 0),
                rng.uniform(0.35, 0.9),
                2.0,
                tone,
                shadow,
                42.0,
            )
        )
    return lights


def _fixtures(lights, high) -> list[Part]:
    """What the lamps look like: a shining disc at the ceiling above each."""
    glow = Surface(textures.plain, (1, 1, 0.95), (0, 0, 0), 0.5, 3.0)
    return [tube(*lamp.at[:2], high - 0.06, 0.35, 0.05, glow) for lamp in lights]


def room(rng) -> Place:
    """A room of 2.5-9 m, often with a way into a second one."""
    wide, deep = rng.uniform(2.5, 9, 2) ** rng.choice([0.85, 1])
    high, finish = rng.uniform(2.4, 3.0), random_finish(rng)
    floor = Floor(0, 0, wide, deep)
    side = int(rng.integers(4)) if rng.random() < 0.55 else None
    for wall in range(4):
        length = (wide, deep)[wall % 2]
        opening = _opening(rng, length) if wall == side else None
        floor.parts += wall_of(wall, floor.area, high, finish, opening)
        if opening:
            floor.parts += _beyond(rng, floor, wall, opening, high, finish)
    floor.parts += slabs(floor.area, high, finish)
    hang(rng, floor, [w for w in range(4) if w != side])
    _furnish(rng, floor, rng.uniform(0.4, 1.6))
    lights = _lamps(rng, floor.area, high)
    parts = floor.parts + _fixtures(lights, high)
    stand = (0.25, 0.25, wide - 0.25, deep - 0.25)
    return Place.of("room", parts, lights, rng.uniform(0.1, 0.3), stand, tuple(floor.area))


def _opening(rng, length):
    """Where a doorway or a wide passage is cut from a wall: from, to, height."""
    wide = min(rng.choice([0.9, 0.9, 1.6, 2.4]), length - 0.6)
    start = rng.uniform(0.2, length - wide - 0.2)
    return start, start + wide, DOOR_M[1] if wide < 1 else 2.2


def _beyond(rng, floor: Floor, side, opening, high, finish: Finish) -> list[Part]:
    """The room behind an opening in a wall, with the opening's trim and threshold."""
    wide, deep = rng.uniform(2.5, 5), rng.uniform(1.5, 6)
    length = (floor.area[2:] - floor.area[:2])[side % 2]
    middle = (opening[0] + opening[1] - length) / 2
    other = Floor(-wide / 2, 0, wide / 2, deep)
    own = random_finish(rng) if rng.random() < 0.6 else finish
    for wall in (1, 2, 3):
        other.parts += wall_of(wall, other.area, high, own)
    other.parts += slabs(other.area, high, own)
    hang(rng, other, [1, 2, 3])
    other.keep_clear(-0.8, 0, 0.8, 1.0)
    _furnish(rng, other, rng.uniform(0.2, 0.8))
    parts = placed(other.parts, middle, -WALL_M, 0, np.pi)
    x, y, _ = against(floor.area, side, 0.5 + middle / length)
    floor.keep_clear(x - 0.6, y - 0.6, x + 0.6, y + 0.6)
    trim = [
        box(
            middle + s * (opening[1] - opening[0]) / 2,
            -WALL_M / 2,
            0,
            0.03,
            WALL_M + 0.04,
            opening[2],
            finish.trim,
        )
        for s in (-1, 1)
    ]
    sill = box(middle, -WALL_M / 2, -0.1, opening[1] - opening[0], WALL_M + 0.02, 0.1, own.floor)
    return on_side([*parts, *trim, sill], floor.area, side)


def corridor(rng) -> Place:
    """A corridor 1.2-2.6 m wide and 8-25 m long with doors on both sides."""
    wide, deep, high = rng.uniform(1.2, 2.6), rng.uniform(8, 25), rng.uniform(2.3, 3)
    finish, floor = random_finish(rng), Floor(0, 0, wide, deep)
    for wall in range(4):
        floor.parts += wall_of(wall, floor.area, high, finish)
    floor.parts += slabs(floor.area, high, finish)
    _line_with_doors(rng, floor)
    floor.parts += on_side((window if rng.random() < 0.5 else door)(rng), floor.area, 2)
    for _ in range(rng.integers(0, 5)):
        thing = rng.choice(SMALL + [furniture.shelf, outdoors.bench])(rng)
        floor.along_wall(rng, thing)
    lights = _row_of_lamps(wide / 2, deep, high)
    parts = floor.parts + _fixtures(lights, high)
    stand = (0.35, 0.3, wide - 0.35, deep * 0.4)
    aim = (0, deep * 0.6, wide, deep) if rng.random() < 0.75 else (0, 0, wide, deep)
    return Place.of("corridor", parts, lights, rng.uniform(0.15, 0.35), stand, aim)


def _line_with_doors(rng, floor: Floor):
    """Equal doors and different pictures along both sides of a corridor."""
    deep, state = floor.area[3], rng.integers(1 << 31)
    for side in (1, 3):
        for y in np.arange(rng.uniform(1, 3), deep - 1, rng.choice([2.5, 3.5, 5])):
            make = door if rng.random() < 0.75 else painting
            once = np.random.default_rng(state if make is door else rng.integers(1 << 31))
            floor.parts += on_side(make(once), floor.area, side, y / deep)


def _row_of_lamps(x, deep, high) -> list[Light]:
    """Seven lamps at most, 3 m apart; the second throws shadows."""
    return [
        Light(
            (x, y, high - 0.1),
            (x, y + 1e-3, 0),
            0.55,
            1.6,
            shadow_px=128 if i == 1 else 0,
            focal_px=40.0,
        )
        for i, y in enumerate(np.arange(1.5, deep, 3.0)[:7])
    ]
