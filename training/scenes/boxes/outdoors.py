# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""People, cars, trees and what stands on pavements, at their true sizes.

Things as in furniture.py, which says in which frame.
"""

import numpy as np

from training.scenes.boxes import textures
from training.scenes.boxes.parts import ball, box, cloth, colour, plain, tube, wood
from training.scenes.boxes.solids import Surface


def person(rng):
    """A standing or walking person, 1.5-1.9 m."""
    k, skin = rng.uniform(1.5, 1.9) / 1.75, rng.choice([0.25, 0.5, 0.8])
    flesh = Surface(textures.plain, (0.9 * skin, 0.65 * skin, 0.5 * skin), (0, 0, 0))
    shirt, trousers = cloth(rng), plain(rng, 0.03, 0.4)
    hair, step = plain(rng, 0.02, 0.3, 0.4), rng.uniform(0, 0.16)
    legs = [
        part
        for side, y in ((-0.1, 0.2 - step), (0.1, 0.2 + step))
        for part in (
            tube(side * k, y, 0.06, 0.15 * k, 0.8 * k, trousers),
            box(side * k, y + 0.05, 0, 0.1, 0.27, 0.08, plain(rng, 0.03, 0.3)),
        )
    ]
    arms = [
        part
        for x in (-0.25, 0.25)
        for part in (
            tube(x * k, 0.2, 0.85 * k, 0.1 * k, 0.58 * k, shirt),
            ball(x * k, 0.2, 0.72 * k, 0.09, 0.1, 0.18, flesh),
        )
    ]
    return [
        *legs,
        *arms,
        ball(0, 0.2, 0.78 * k, 0.42 * k, 0.28 * k, 0.5 * k, shirt),
        ball(0, 0.2, 0.98 * k, 0.46 * k, 0.27 * k, 0.5 * k, shirt),
        tube(0, 0.2, 1.4 * k, 0.11, 0.15 * k, flesh),
        ball(0, 0.21, 1.5 * k, 0.17 * k, 0.21 * k, 0.25 * k, flesh),
        ball(0, 0.18, 1.56 * k, 0.19 * k, 0.21 * k, 0.2 * k, hair),
    ]


def car(rng):
    """A car 4.5 x 1.8 x 1.5 m, its length along y."""
    paint, glass, dark = (
        plain(rng, 0.03, 0.9, 0.9),
        plain(rng, 0.03, 0.1, 0.2),
        plain(rng, 0.02, 0.05, 0),
    )
    red, white = Surface(textures.plain, (0.7, 0.05, 0.04), (0, 0, 0)), plain(rng, 0.8, 0.95, 0)
    steel = plain(rng, 0.4, 0.7, 0)
    wheels = [
        part
        for x in (-0.8, 0.8)
        for y in (0.85, 3.55)
        for part in (
            ball(x, y, 0, 0.24, 0.64, 0.64, dark),
            ball(x * 1.09, y, 0.16, 0.12, 0.32, 0.32, steel),
        )
    ]
    lamps = [
        box(x, y, 0.6, 0.35, 0.02, 0.14, tone)
        for x in (-0.65, 0.65)
        for y, tone in ((0, red), (4.5, white))
    ]
    plates = [box(0, y, 0.42, 0.52, 0.02, 0.11, white) for y in (0, 4.5)]
    return [
        box(0, 2.25, 0.2, 1.8, 4.5, 0.68, paint),
        box(0, 1.95, 0.88, 1.6, 2.5, 0.5, glass),
        box(0, 1.9, 1.38, 1.5, 2.1, 0.12, paint),
        *wheels,
        *lamps,
        *plates,
        *(box(0, y, 0.88, 1.62, 0.1, 0.5, paint) for y in (0.9, 2.0)),
    ]


def tree(rng):
    """A street tree 4-8 m high."""
    high, bark = rng.uniform(4, 8), Surface(textures.rough, (0.2, 0.15, 0.1), (0, 0, 0))
    green = tuple(np.array([0.18, 0.4, 0.1]) * rng.uniform(0.5, 1.3))
    leaf = Surface(textures.mottle, green, tuple(np.multiply(green, 0.3)), 0.5)
    blobs = [
        ball(
            *rng.uniform(-0.7, 0.7, 2) + (0, 0.3),
            rng.uniform(2.2, high - 1.5),
            *rng.uniform(1.2, 2.4, 3),
            leaf,
        )
        for _ in range(7)
    ]
    return [tube(0, 0.3, 0, rng.uniform(0.18, 0.35), high - 1, bark), *blobs]


def pole(rng):
    """A lamp post or a sign post."""
    steel = plain(rng, 0.1, 0.6, 0.2)
    if rng.random() < 0.5:
        sign = Surface(textures.stripes, colour(rng, 0.3, 0.8, 1), (0.9, 0.9, 0.9), 0.3)
        return [tube(0, 0.1, 0, 0.06, 2.8, steel), box(0, 0.14, 2.2, 0.6, 0.02, 0.6, sign)]
    return [tube(0, 0.1, 0, 0.14, 5.0, steel), box(0, 0.4, 5.0, 0.2, 0.9, 0.1, steel)]


def bin_(rng):
    """A refuse bin about 1.05 m high."""
    body = plain(rng, 0.1, 0.5, 0.8)
    return [box(0, 0.35, 0.05, 0.55, 0.6, 0.95, body), box(0, 0.35, 1.0, 0.6, 0.66, 0.06, body)]


def bench(rng):
    """A bench: seat at 0.45 m."""
    return [
        box(0, 0.3, 0.4, 1.6, 0.45, 0.05, wood(rng)),
        box(0, 0.05, 0.5, 1.6, 0.05, 0.35, wood(rng)),
        *(box(x, 0.3, 0, 0.08, 0.4, 0.4, plain(rng, 0.1, 0.4, 0)) for x in (-0.7, 0.7)),
    ]
