# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Streets between houses, with cars, people and trees.

Houses have storeys of 3 m, pavements slabs of 0.5 m. Knows nothing about images.
"""

import numpy as np

from training.scenes.boxes import outdoors, textures
from training.scenes.boxes.floor import Floor, Place
from training.scenes.boxes.parts import box, colour, placed, plain
from training.scenes.boxes.solids import Part, Surface
from training.scenes.boxes.surfaces import Light
from training.scenes.boxes.walls import door

MOST = {
    outdoors.person: 6,
    outdoors.tree: 4,
    outdoors.pole: 5,
    outdoors.bin_: 3,
    outdoors.bench: 2,
}


def street(rng) -> Place:
    """A street 22-36 m long between houses, closed by a house, with cars, people and trees."""
    road, walk = rng.uniform(5, 8), rng.uniform(1.8, 3.2)
    end, kerb = rng.uniform(22, 36), rng.uniform(0.1, 0.15)
    floor = Floor(-road / 2 - walk, -4, road / 2 + walk, end)
    floor.parts += street_ground(rng, road, walk, end, kerb)
    for side in (-1, 1):
        floor.parts += houses(rng, side, road / 2 + walk, end)
    floor.parts += house(rng, 0, end + 0.5, road + 2 * walk + 2, 1.0, 0)
    parked(rng, floor, road, end)
    strew(rng, floor, road, walk, end, kerb)
    x, y = rng.uniform(-30, 30), rng.uniform(-30, 20)
    sun = Light((x, y, 55), (0, 10, 0), rng.uniform(0.5, 1.4), 60.0, (1, 0.96, 0.88), 224, 260.0)
    stand = (-road / 2 - walk + 0.5, -2, road / 2 + walk - 0.5, end * 0.45)
    aim = (-road / 2 - walk, end * 0.3, road / 2 + walk, end)
    return Place.of("street", floor.parts, [sun], rng.uniform(0.2, 0.5), stand, aim)


def strew(rng, floor: Floor, road: float, walk: float, end: float, kerb: float) -> None:
    """People, trees, posts, bins and benches on the pavements; trees and posts at the kerb."""
    for make, most in MOST.items():
        for _ in range(rng.integers(0, most + 1)):
            side, y = rng.choice([-1, 1]), rng.uniform(2, end - 1)
            kerbside = make in (outdoors.tree, outdoors.pole)
            x = side * (road / 2 + (0.15 if kerbside else rng.uniform(0.4, walk - 0.3)))
            turn = rng.uniform(-3, 3) if make is outdoors.person else -side * np.pi / 2
            floor.put(make(rng), x, y, turn, kerb)


def street_ground(rng, road: float, walk: float, end: float, kerb: float) -> list[Part]:
    """Asphalt with dashes of 3 m every 6 m, pavements of half-metre slabs, kerb stones."""
    tar, middle, long = rng.uniform(0.08, 0.25), (end - 6) / 2, end + 8
    asphalt = Surface(textures.rough, (tar,) * 3, (0, 0, 0))
    stone = colour(rng, 0.3, 0.6, 0.15)
    slab = Surface(textures.tiles, stone, tuple(np.multiply(stone, 0.5)), 0.5)
    white, edge = plain(rng, 0.6, 0.85, 0), Surface(textures.tiles, (0.5,) * 3, (0.2,) * 3, 1.0)
    parts = [box(0, middle, -0.2, road, long, 0.2, asphalt)]
    parts += [box(0, y, 0, 0.12, 3, 0.003, white) for y in np.arange(0, end - 3, 6)]
    for side in (-1, 1):
        x = side * (road + walk + 0.6) / 2  # 0.6 m under the houses, some of which stand back
        parts.append(box(x, middle, -0.2, walk + 0.6, long, 0.2 + kerb, slab))
        parts.append(box(side * (road / 2 + 0.06), middle, 0, 0.12, long, kerb + 0.005, edge))
    return parts


def house(rng, x: float, y: float, wide: float, deep: float, yaw: float) -> list[Part]:
    """A house front 3-6 storeys high whose middle is (x, y), with a door and a plinth."""
    storeys, tone = rng.integers(3, 7), colour(rng, 0.2, 0.8, 0.5)
    glass = colour(rng, 0.04, 0.25, 0.4)
    high = storeys * textures.STOREY_M + 0.6
    front = Surface(textures.facade, tone, glass, rng.uniform(1.9, 2.8))
    plinth = plain(rng, 0.15, 0.5, 0.2)
    parts = [
        box(0, 0, 0, wide, deep, high, front),
        box(0, 0, 0, wide + 0.04, deep + 0.06, 0.5, plinth),
        box(0, 0, high, wide + 0.1, deep + 0.5, 0.3, plain(rng, 0.1, 0.5)),
    ]
    entry = placed(door(rng, 0.95), rng.uniform(-wide / 2 + 0.8, wide / 2 - 0.8), deep / 2)
    return placed(parts + entry, x, y, 0, yaw)


def houses(rng, side: int, edge: float, end: float) -> list[Part]:
    """Houses of 5-12 m along one side of the street."""
    parts, y = [], -5.0
    while y < end + 1:
        wide, back = rng.uniform(5, 12), rng.uniform(0, 0.4)
        parts += house(rng, side * (edge + 0.5 + back), y + wide / 2, wide, 1.0, side * np.pi / 2)
        y += wide
    return parts


def parked(rng, floor: Floor, road: float, end: float) -> None:
    """Cars at the kerbs and now and then one that drives."""
    for side in (-1, 1):
        y = rng.uniform(0, 8)
        while y < end - 6:
            if rng.random() < 0.45:
                turn = 0 if side > 0 else np.pi
                back = 0 if side > 0 else 4.5
                floor.put(outdoors.car(rng), side * (road / 2 - 1.1), y + back, turn)
            y += rng.uniform(5, 7)
    if rng.random() < 0.4:
        floor.put(outdoors.car(rng), rng.choice([-0.9, 0.9]), rng.uniform(6, end - 6), 0)
