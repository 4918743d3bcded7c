# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Things that stand together: a table with chairs, a workplace, a cupboard with things on it.

Each returns pieces of which the first is the one that needs room on the floor; back at y = 0,
standing on z = 0. Knows nothing about rooms.
"""

import numpy as np

from training.scenes.furnished import fittings, patterns
from training.scenes.furnished.builder import Builder
from training.scenes.furnished.fittings import spread
from training.scenes.furnished.meshes import box, tube

ON_TOP = ("small", "small", "gadget", "small_plant", "table_lamp", "screen")


def solo(build: Builder, role, full=True):
    """A model, most times with things on its top; None where the assets have none."""
    if not build.library.has(role):
        return None
    rng, number = build.rng, build.library.entry(build.rng, role)
    piece = build.model(number)
    found, top = [piece], build.top(number)
    if full and top < 1.5 and rng.random() < 0.7:
        (x0, y0, _), (x1, y1, _) = piece.extent()
        found += spread(build, x0, x1, y0, y1, top, int(rng.integers(1, 6)), rng.choice(ON_TOP))
    return found


def shelf_or(build: Builder, role):
    """A shelf full of things where the role is "shelf", else a model of the role."""
    return fittings.shelf(build) if role == "shelf" else solo(build, role)


def covered(build: Builder, role, count):
    """A table, a model or one of boards, with `count` things on it."""
    if build.library.has(role) and build.rng.random() < 0.75:
        number = build.library.entry(build.rng, role)
        group, top = [build.model(number)], build.top(number)
    else:
        group, top = fittings.desk(build, clutter=0)
    (x0, y0, _), (x1, y1, _) = group[0].extent()
    return group + spread(build, x0, x1, y0, y1, top, count)


def dining(build: Builder):
    """A table with chairs on both sides and things on it."""
    rng = build.rng
    group = covered(build, "table", int(rng.choice([0, 2, 5, 10])))
    if not build.library.has("chair"):
        return group
    number = build.library.entry(rng, "chair", 5_000)
    (x0, y0, _), (x1, y1, _) = group[0].extent()
    seats = max(1, int((x1 - x0) / 0.65))
    for x in x0 + (np.arange(seats) + 0.5) * (x1 - x0) / seats:
        for edge, way, yaw in ((y0, -1, 0.0), (y1, 1, np.pi)):
            if rng.random() < 0.8:
                chair = build.model(number, 0.03)
                away = rng.uniform(0, 0.25) + chair.extent()[1][1] * 0.7
                group.append(chair.moved(x, edge + way * away, 0, yaw + rng.normal(0, 0.2)))
    return group


def workplace(build: Builder, wide, deep, pair, chair):
    """One desk or two back to back, a chair at each; chair: number of a model or None."""
    rng, group = build.rng, []
    for turn in (0.0, np.pi) if pair else (0.0,):
        found, _ = fittings.desk(build, wide, deep, int(rng.integers(0, 7)))
        if chair is not None and rng.random() < 0.85:
            seat = build.model(chair, 0.05)
            y = deep + seat.extent()[1][1] + rng.uniform(-0.2, 0.4)
            found.append(seat.moved(rng.uniform(-0.3, 0.3), y, 0, np.pi + rng.normal(0, 0.5)))
        group += [p.moved(0, 0, 0, turn) for p in found]
    return group


def bench(build: Builder, table, chair):
    """A narrow table of a lecture room with two chairs behind it."""
    group = [table]
    for x in (-0.35, 0.35):
        if chair is not None and build.rng.random() < 0.85:
            seat = build.model(chair, 0.02)
            yaw = np.pi + build.rng.normal(0, 0.1)
            group.append(seat.moved(x, 0.75 + seat.extent()[1][1] * 0.6, 0, yaw))
    return group


def tank(build: Builder):
    """A boiler or a machine with a round body and a box beside it."""
    rng, dark = build.rng, build.material((0.1,) * 3)
    material = build.material(patterns.tone(rng, 0.2, 0.9, 0.5))
    r, high = rng.uniform(0.2, 1), rng.uniform(0.5, 3)
    return [
        tube(0, r, 0.1, high, r, material, 20),
        box(-r, 0, 0, r, 2 * r, 0.1, dark),
        box(-0.2, 2 * r, 0.3, 0.2, 2 * r + 0.3, rng.uniform(0.6, 1.6), dark),
    ]


def machine(build: Builder):
    """A machine of boxes: body, head, table, control panel."""
    rng, steel = build.rng, build.material(patterns.tone(build.rng, 0.3, 0.8, 0.3))
    body, dark = build.material(patterns.tone(rng, 0.2, 0.9, 0.6)), build.material((0.07,) * 3)
    wide, deep, high = rng.uniform(0.8, 3), rng.uniform(0.7, 1.6), rng.uniform(1.2, 2.6)
    x = wide / 2
    return [
        box(-x, 0, 0, x, deep, rng.uniform(0.7, 1.0), body),
        box(-x, 0, 0.6, x - rng.uniform(0.1, 0.5), deep * 0.5, high, body),
        box(-x * 0.7, deep * 0.4, high * 0.6, x * 0.3, deep * 0.9, high * 0.9, steel),
        box(x - 0.05, deep, 0.9, x + 0.35, deep + 0.12, 1.5, dark),
    ]


def pile(build: Builder):
    """Cartons in layers on a pallet."""
    rng, each = build.rng, fittings.carton_material(build)
    found = [box(-0.6, 0, 0, 0.6, 1.0, 0.14, fittings.wood(build))]
    for layer in range(rng.integers(1, 4)):
        z = 0.14 + 0.41 * layer
        found.append(box(-0.55, 0.05, z, 0.55, 0.95, z + 0.4, each, 0.6))
    return found
