# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Homes: living rooms, kitchens, bathrooms, table tops; and the choice among all places.

Each furnishes a Builder. Knows nothing about images.
"""

import numpy as np

from training.scenes.furnished import fittings, patterns
from training.scenes.furnished.builder import Builder
from training.scenes.furnished.groups import covered, dining, shelf_or, solo
from training.scenes.furnished.library import Library
from training.scenes.furnished.shell import WALL_M, Finish, lights, pictures, shell, wall

LARGE = (
    "sofa",
    "bed",
    "storage",
    "storage",
    "by_wall",
    "shelf",
    "shelf",
    "desk",
    "counter",
    "armchair",
    "low_table",
    "bedside",
    "machine",
    "tall_kitchen",
)
LOOSE = (
    "chair",
    "armchair",
    "plant",
    "floor_lamp",
    "person",
    "carton",
    "office_chair",
    "animal",
    "low_table",
    "person",
    "sitting",
    "sport",
    "bedside",
)


def started(rng, library, wide, deep, high, bare=False):
    """A Builder of this size and its finish."""
    if library.taller and rng.random() < 0.6:
        high *= rng.uniform(1.1, 1.9)
    build = Builder(rng, library, (0, 0, wide, deep), high)
    return build, Finish(build, bare)


def closed(build: Builder, finish: Finish, chance=0.45, **about):
    """The shell, by chance with a way into another room; returns what is on the walls."""
    if build.rng.random() < chance and build.area[2] > 1.8:
        holes = shell(build, finish, opening=2, **about)
        _beyond(build, finish)
        holes[2].append((0, 99, 0, 3, True))
        return holes
    return shell(build, finish, **about)


def _beyond(build: Builder, finish: Finish):
    """A narrow or wide way into a second, furnished room behind the y1 side."""
    rng, (x0, _, x1, y1) = build.rng, build.area
    wide = min(rng.choice([0.9, 1.0, 1.8, 3.0]), x1 - x0 - 0.6)
    start = rng.uniform(0.2, x1 - x0 - wide - 0.2)
    tall = rng.choice([2.05, build.high]) if wide > 1.5 else 2.05
    wall(build, 2, finish, [(x1 - x0 - start - wide, x1 - x0 - start, 0, tall)])
    area = (x0, y1 + WALL_M, x1, y1 + WALL_M + rng.uniform(2, 8))
    other = Builder(rng, build.library, area, build.high)
    other.materials, other.images = build.materials, build.images
    holes = shell(other, Finish(other) if rng.random() < 0.5 else finish, doors=1, opening=0)
    other.keep_clear(x0 + start, y1, x0 + start + wide, y1 + 1.2)
    furnish(other, rng.uniform(0.3, 1))
    lights(other)
    pictures(other, holes, 3)
    build.join(other)
    build.keep_clear(x0 + start, y1 - 1, x0 + start + wide, y1)


def furnish(build: Builder, crowd=1.0):
    """Sofas, beds, cupboards, shelves, tables, plants, people: whatever fits."""
    rng, size = build.rng, build.area[2:] - build.area[:2]
    for _ in range(int(crowd * size.sum() * rng.uniform(0.5, 1.3))):
        build.along_wall(shelf_or(build, rng.choice(LARGE)))
    for _ in range(int(crowd * size.prod() / rng.uniform(8, 20)) + (rng.random() < 0.5)):
        build.anywhere(dining(build), 6, rng.choice([0, np.pi / 2, rng.uniform(-3, 3)]))
    for _ in range(int(crowd * size.prod() / rng.uniform(2.5, 9))):
        group = solo(build, rng.choice(LOOSE), full=False)
        (build.along_wall if rng.random() < 0.5 else build.anywhere)(group)
    if rng.random() < 0.35 and (rug := build.thing("rug", 0.3)) is not None:
        build.add(
            rug,
            *rng.uniform(build.area[:2] + 0.8, build.area[2:] - 0.8),
            0.003,
            rng.choice([0, np.pi / 2]),
        )


def living(rng, library: Library) -> Builder:
    """A living room, bedroom or studio of 2.5-9 m, seldom a lobby of up to 18 m."""
    size, high = rng.uniform(2.5, 9, 2) ** rng.choice([0.85, 1]), rng.uniform(2.35, 3.1)
    if rng.random() < 0.15:
        size, high = rng.uniform(7, 18, 2), rng.uniform(2.8, 5)
    build, finish = started(rng, library, *size, high)
    holes = closed(build, finish)
    furnish(build, rng.uniform(0.5, 1.6))
    pictures(build, holes, rng.integers(0, 8))
    lights(build)
    return build


def kitchen(rng, library: Library) -> Builder:
    """Counters along one to three sides, cupboards above, a fridge, a table."""
    size = rng.uniform(2.2, 6, 2)
    build, finish = started(rng, library, *size, rng.uniform(2.4, 2.9))
    holes = closed(build, finish, 0.3)
    for side in rng.permutation(4)[: rng.integers(1, 4)]:
        row = min(size[side % 2] - 0.1, rng.uniform(1.2, 4))
        build.along_wall(fittings.counter(build, row, rng.random() < 0.75), 4, [int(side)])
    for role in ("tall_kitchen", "machine", "machine", "counter", "upper", "storage", "shelf"):
        if rng.random() < 0.6:
            group = shelf_or(build, role)
            if role == "upper" and group:
                group = [p.moved(0, 0, 1.45) for p in group[:1]]
            build.along_wall(group)
    build.anywhere(dining(build), 8, rng.choice([0, np.pi / 2]))
    for role in rng.choice(["person", "chair", "carton", "plant", "animal"], rng.integers(0, 4)):
        build.anywhere(solo(build, role))
    pictures(build, holes, rng.integers(0, 5))
    lights(build)
    return build


def bathroom(rng, library: Library) -> Builder:
    """A small tiled room with a bath, a basin, a toilet."""
    build, finish = started(rng, library, *rng.uniform(1.6, 4.5, 2), rng.uniform(2.3, 2.8))
    image, finish.wall_m = patterns.tiles(rng)
    finish.wall = build.material(image=image)
    holes = closed(build, finish, 0.3, windows=int(rng.integers(0, 2)))
    for role in rng.choice(["bath", "bath", "bath", "machine", "storage"], rng.integers(4, 9)):
        build.along_wall(solo(build, role))
    pictures(build, holes, rng.integers(0, 4))
    lights(build)
    return build


def table_top(rng, library: Library) -> Builder:
    """A furnished room in which the camera stands close to a table full of things."""
    build, finish = started(rng, library, *rng.uniform(3, 7, 2), rng.uniform(2.4, 3))
    holes = closed(build, finish)
    group = covered(build, "desk", int(rng.integers(6, 26)))
    centre = (build.area[:2] + build.area[2:]) / 2 + rng.uniform(-0.6, 0.6, 2)
    if build.put(group, *centre, rng.uniform(-3, 3)):
        build.close = build.targets[-1]
    furnish(build, rng.uniform(0.4, 1.2))
    pictures(build, holes, rng.integers(1, 7))
    lights(build)
    return build
