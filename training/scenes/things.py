# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Scanned things on a table, or on the floor, of a furnished room: 0.3 to 1.3 m away.

Rooms, light and cameras are those of near.py; the things, with the photographs that they were
scanned by on them, are what training.scenes.assets took with --scans. Knows nothing about files of
images.
"""

import numpy as np

from depthlm_ros.errors import InputError
from training.data.shards import Shot
from training.scenes.furnished import fittings, layouts, patterns
from training.scenes.furnished.builder import Builder
from training.scenes.furnished.library import Library
from training.scenes.furnished.meshes import Piece, box, boxes
from training.scenes.furnished.shell import lights, pictures
from training.scenes.furnished.views import VIEWS, first_usable, place_of
from training.scenes.near import ATTEMPTS_A_PLACE, arm_camera, is_near, leaning

KEY = 7  # of its random numbers; furnished.views.SPLITS, near.KEY and low.KEY are the others
ON_FLOOR = 0.25  # share of the places
LYING = 0.3  # share of the things
MOST_FACES = 30_000  # of a scan


def things_shot(assets, seed: int) -> Shot:
    """The image with this number, from what training.scenes.assets wrote into `assets`.

    Raises InputError without assets, or where they hold no scans.
    """

    def place_at(attempt):
        key = (KEY, seed // VIEWS, attempt // ATTEMPTS_A_PLACE)
        return place_of(str(assets), key, laid_out)

    def looking(rng, build, scene):
        return arm_camera(rng), leaning(rng, build, scene)

    return first_usable(seed, (KEY,), place_at, looking, lambda _, found: is_near(found))


def laid_out(rng, models: Library) -> tuple[str, Builder]:
    """The kind of place, and a furnished room with things in its middle, which cameras look at.

    Raises InputError where the models have no scan.
    """
    if not models.has("scan"):
        raise InputError("the assets hold no scans; build them with --scans DIR beside --from")
    build, finish = layouts.started(rng, models, *rng.uniform(3, 8, 2), rng.uniform(2.4, 3.2))
    holes = layouts.closed(build, finish)
    on_floor = rng.random() < ON_FLOOR
    x, deep = rng.uniform(0.4, 1.3), rng.uniform(0.6, 1.4)
    group, top = ([], 0.0) if on_floor else table(build, x, deep)
    shown = things(build, x, deep, top)
    centre = (build.area[:2] + build.area[2:]) / 2 + rng.uniform(-0.6, 0.6, 2)
    yaw, reach = rng.uniform(-3, 3), np.hypot(x, deep)
    build.keep_clear(*centre - reach, *centre + reach)
    put = [build.add(piece.moved(0, -deep / 2), *centre, 0, yaw) for piece in group + shown]
    layouts.furnish(build, rng.uniform(0.2, 1.2))
    pictures(build, holes, rng.integers(0, 7))
    lights(build)
    middles = [np.add(*piece.extent()) / 2 for piece in put[len(group) :]]
    build.close = np.mean(middles, 0) if middles else np.array([*centre, top])
    build.targets = middles or [build.close]
    return "things_on_the_floor" if on_floor else "things_on_a_table", build


def table(build: Builder, x, deep) -> tuple[list[Piece], float]:
    """A table from -x to x and 0 to `deep`, and the height of its top."""
    rng, high = build.rng, build.rng.uniform(0.6, 0.95)
    thick, legs = rng.uniform(0.02, 0.06), build.material(patterns.tone(rng, 0.05, 0.8, 0.1))
    material, metres = surface(build)
    top = box(-x, 0, high - thick, x, deep, high, material, metres)
    feet = [(a, b) for a in (-x + 0.03, x - 0.08) for b in (0.03, deep - 0.08)]
    low = [(a, b, 0) for a, b in feet]
    ends = [(a + 0.05, b + 0.05, high - thick) for a, b in feet]
    return [top, boxes(low, ends, [legs] * 4)], high


def surface(build: Builder) -> tuple[int, float]:
    """(material, metres a repeat) of a table's top: wood, stone, cloth, paint."""
    rng = build.rng
    found = build.image(rng.choice(["wood", "wood", "floor", "bare"]))
    if found is not None and rng.random() < 0.4:
        image, metres = found
    else:
        make = rng.choice([patterns.planks, patterns.plaster, patterns.carpet, patterns.wallpaper])
        image, metres = make(rng)
    return build.material(rng.uniform(0.6, 1, 3), image), metres * rng.uniform(0.4, 1)


def things(build: Builder, x, deep, z) -> list[Piece]:
    """Up to fourteen scans between -x and x, 0 and `deep`; some cartons and other things."""
    rng, ends = build.rng, (-x, x, 0.0, deep)
    if rng.random() < 0.6:  # close together, as they are put before an arm
        reach = rng.uniform(0.25, 0.6)
        middle = rng.uniform(-x + reach, x - reach) if x > reach else 0.0
        ends = max(-x, middle - reach), min(x, middle + reach), 0.0, min(deep, 2 * reach)
    count = int(rng.integers(1, 15))
    found = fittings.spread(build, *ends, z, count, "scan", 0.6, MOST_FACES, LYING)
    if rng.random() < 0.3:
        found += fittings.spread(build, *ends, z, int(rng.integers(1, 5)))
    for _ in range(rng.integers(0, 3)):
        size = rng.uniform(0.08, 0.45, 3)
        carton = box(*-size / 2, *size / 2, fittings.carton_material(build), 0.6)
        at = rng.uniform(-x, x), rng.uniform(0, deep), z + size[2] / 2
        found.append(carton.moved(*at, rng.uniform(-3, 3)))
    return found
