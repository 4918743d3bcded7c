# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Offices, lecture rooms, corridors, halls, stores: places where people work.

Each furnishes a Builder. Knows nothing about images.
"""

import numpy as np

from training.scenes.furnished import fittings, patterns
from training.scenes.furnished.builder import Builder
from training.scenes.furnished.groups import (
    bench,
    dining,
    machine,
    pile,
    shelf_or,
    solo,
    tank,
    workplace,
)
from training.scenes.furnished.layouts import closed, started
from training.scenes.furnished.library import Library
from training.scenes.furnished.meshes import box, panel
from training.scenes.furnished.shell import lights, pictures, shell


def office(rng, library: Library) -> Builder:
    """Rows of desks with screens and chairs, cupboards and boards along the walls."""
    build, finish = started(rng, library, *rng.uniform(3, 13, 2), rng.uniform(2.5, 3.2))
    holes = closed(build, finish, 0.3, windows=int(rng.integers(1, 6)))
    wide, deep, pair = rng.uniform(1.2, 1.8), rng.uniform(0.65, 0.8), rng.random() < 0.6
    step = np.array([wide + rng.choice([0.02, 0.6]), deep * (1 + pair) + rng.uniform(1.6, 2)])
    yaw = rng.choice([0, np.pi / 2])
    along, across = step if yaw == 0 else step[::-1]
    chair = library.entry(rng, "office_chair", 8_000) if library.has("office_chair") else None
    for x in np.arange(build.area[0] + 1.1, build.area[2] - 0.8, along):
        for y in np.arange(build.area[1] + 1.1, build.area[3] - 0.8, across):
            if rng.random() < 0.85:
                build.put(workplace(build, wide, deep, pair, chair), x, y, yaw)
    for role in rng.choice(
        ["shelf", "shelf", "shelf", "storage", "by_wall", "plant", "carton"], rng.integers(2, 10)
    ):
        build.along_wall(shelf_or(build, role))
    for role in rng.choice(["person", "plant", "office_chair"], rng.integers(0, 4)):
        build.anywhere(solo(build, role))
    pictures(build, holes, rng.integers(1, 8))
    lights(build)
    return build


def lecture(rng, library: Library) -> Builder:
    """Rows of tables and chairs that face a board."""
    build, finish = started(
        rng, library, rng.uniform(5, 11), rng.uniform(6, 14), rng.uniform(2.6, 4)
    )
    holes = shell(build, finish, windows=int(rng.integers(1, 6)))
    holes[0].append((0, 99, 0, 3, True))
    wide, half = build.area[2], min(rng.uniform(1, 2.2), build.area[2] / 2 - 0.3)
    board = build.material([(0.95,) * 3, (0.12, 0.14, 0.12), (0.2, 0.25, 0.2)][rng.integers(3)])
    build.add(box(wide / 2 - half, 0, 0.9, wide / 2 + half, 0.04, 2.1, board))
    build.put(solo(build, "desk") or fittings.desk(build)[0], wide / 2 + rng.uniform(-1, 1), 1.2)
    table = fittings.desk(build, 1.3, 0.5, 0)[0][0]
    seat = library.entry(rng, "chair", 4_000) if library.has("chair") else None
    count = max(1, int((wide - 1.4) / 1.5))
    for y in np.arange(2.6, build.area[3] - 1, rng.uniform(1.0, 1.5)):
        for x in 0.7 + (np.arange(count) + 0.5) * (wide - 1.4) / count:
            build.put(bench(build, table, seat), x, y)
    for role in rng.choice(["person", "plant", "carton", "by_wall"], rng.integers(0, 4)):
        build.along_wall(solo(build, role))
    pictures(build, holes, rng.integers(0, 6))
    lights(build)
    return build


def corridor(rng, library: Library) -> Builder:
    """1.3-3 m wide, 6-30 m long, with doors and things along both sides."""
    wide, deep = rng.uniform(1.3, 3), rng.uniform(6, 30)
    build, finish = started(rng, library, wide, deep, rng.uniform(2.3, 3.4))
    holes = closed(
        build, finish, 0.25, doors=int(deep / rng.uniform(1.5, 4)), windows=int(rng.integers(0, 4))
    )
    for role in rng.choice(
        ["storage", "by_wall", "plant", "person", "carton", "chair", "bedside", "shelf"],
        rng.integers(0, 12),
    ):
        build.along_wall(shelf_or(build, role), 4, (1, 3))
    pictures(build, holes, int(rng.integers(0, 14)))
    strength, step = rng.uniform(0.4, 1.2), rng.uniform(2, 4)
    spots = [(wide / 2, y) for y in np.arange(rng.uniform(0.5, 2), deep, step)]
    build.panels(spots, *((0.6, 0.6) if step < 3 else (0.3, 1.2)), np.full(3, strength))
    return build


def hall(rng, library: Library) -> Builder:
    """A factory, store or sports hall: 8-35 m, 4-10 m high, racks, machines, columns, beams."""
    wide, deep = rng.uniform(8, 25), rng.uniform(10, 35)
    build, finish = started(rng, library, wide, deep, rng.uniform(3.8, 10), bare=True)
    holes = shell(build, finish, windows=int(rng.integers(0, 8)), doors=int(rng.integers(1, 4)))
    _frame(build)
    _gates(build)
    tall, rows = rng.uniform(1.8, build.high - 1), rng.random() < 0.55
    for _ in range(int(rng.integers(4, 22))):
        if rows:
            rack = fittings.rack(build, rng.uniform(1.8, 3), tall, rng.uniform(0.5, 1.1))
            build.anywhere(rack, 4, rng.choice([0, 0, 0, np.pi / 2]))
        else:
            build.anywhere(solo(build, rng.choice(["industry", "vehicle", "storage"])), 4)
    for _ in range(int(wide * deep / rng.uniform(5, 18))):
        group = _equipment(build)
        (build.along_wall if rng.random() < 0.35 else build.anywhere)(group)
    pictures(build, holes, rng.integers(0, 6))
    lights(build)
    return build


def _frame(build: Builder):
    """Beams across the hall, columns under some, a pipe along it."""
    rng, (_, _, wide, deep), high = build.rng, build.area, build.high
    steel = build.material(patterns.tone(rng, 0.2, 0.8, 0.4))
    for y in np.arange(3, deep, rng.uniform(4, 7)):
        build.add(box(0, y, high - 0.5, wide, y + 0.2, high - 0.15, steel))
        if rng.random() < 0.6:
            for x in (0.3, wide - 0.3, wide / 2):
                build.put(fittings.column(build, high, steel), x, y)
    pipe = rng.uniform(0.05, 0.2)
    build.add(box(1, 0, high - 1, 1 + pipe, deep, high - 1 + pipe, steel))


def _gates(build: Builder):
    """Gates in the wall at the end, as pictures or as models."""
    for x in np.arange(2.5, build.area[2] - 2, 5):
        if build.rng.random() < 0.4:
            found, model = build.image("gate"), build.thing("gate", 0.1)
            if found and build.rng.random() < 0.6:
                gate = panel(3, 2.8, build.material(image=found[0]))
                build.add(gate, x, build.area[3], 0, np.pi)
            elif model is not None:
                build.add(model, x, build.area[3] + 0.1, 0, np.pi)


def _equipment(build: Builder):
    """One thing of a hall."""
    role = build.rng.choice(
        [
            "industry",
            "industry",
            "carton",
            "person",
            "desk",
            "dining",
            "machine",
            "pile",
            "tank",
            "sport",
        ]
    )
    made = {"dining": dining, "machine": machine, "pile": pile, "tank": tank}.get(role)
    return made(build) if made else solo(build, role)


def store(rng, library: Library) -> Builder:
    """Aisles of full shelves: a library, an archive, a shop."""
    wide, deep = rng.uniform(3, 10), rng.uniform(4, 14)
    build, finish = started(rng, library, wide, deep, rng.uniform(2.4, 4))
    holes = shell(build, finish)
    high, depth = rng.uniform(1.5, 2.3), rng.uniform(0.3, 0.6)
    for x in np.arange(0.1, wide - depth - 0.5, depth * 2 + rng.uniform(0.9, 1.8)):
        for y in np.arange(0.8, deep - 1.2, 1.02):
            for yaw in (np.pi / 2, -np.pi / 2):
                if rng.random() < 0.93:
                    build.put(
                        fittings.shelf(build, 1.0, high, depth, 0.92), x + depth, y + 0.5, yaw
                    )
    for role in rng.choice(["person", "carton", "chair", "desk", "plant"], rng.integers(0, 8)):
        build.anywhere(solo(build, role))
    pictures(build, holes, 3)
    lights(build)
    return build
