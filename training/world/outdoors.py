# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""People, cars, trees and what stands on pavements, at their true sizes.

Things as in furniture.py, which says in which frame.
"""

import numpy as np

from . import textures
from .parts import ball, box, cloth, colour, plain, tube, wood
from .solids import Surface


def person(rng):
    """A standing or walking person, 1.5-1.9 m."""
    k, skin = rng.uniform(1.5, 1.9) / 1.75, rng.choice([.25, .5, .8])
    flesh = Surface(textures.plain, (.9 * skin, .65 * skin, .5 * skin), (0, 0, 0))
    shirt, trousers = cloth(rng), plain(rng, .03, .4)
    hair, step = plain(rng, .02, .3, .4), rng.uniform(0, .16)
    legs = [part for side, y in ((-.1, .2 - step), (.1, .2 + step)) for part in (
        tube(side * k, y, .06, .15 * k, .8 * k, trousers),
        box(side * k, y + .05, 0, .1, .27, .08, plain(rng, .03, .3)))]
    arms = [part for x in (-.25, .25) for part in (
        tube(x * k, .2, .85 * k, .1 * k, .58 * k, shirt),
        ball(x * k, .2, .72 * k, .09, .1, .18, flesh))]
    return [*legs, *arms, ball(0, .2, .78 * k, .42 * k, .28 * k, .5 * k, shirt),
            ball(0, .2, .98 * k, .46 * k, .27 * k, .5 * k, shirt),
            tube(0, .2, 1.4 * k, .11, .15 * k, flesh),
            ball(0, .21, 1.5 * k, .17 * k, .21 * k, .25 * k, flesh),
            ball(0, .18, 1.56 * k, .19 * k, .21 * k, .2 * k, hair)]


def car(rng):
    """A car 4.5 x 1.8 x 1.5 m, its length along y."""
    paint, glass, dark = plain(rng, .03, .9, .9), plain(rng, .03, .1, .2), plain(rng, .02, .05, 0)
    red, white = Surface(textures.plain, (.7, .05, .04), (0, 0, 0)), plain(rng, .8, .95, 0)
    steel = plain(rng, .4, .7, 0)
    wheels = [part for x in (-.8, .8) for y in (.85, 3.55) for part in (
        ball(x, y, 0, .24, .64, .64, dark), ball(x * 1.09, y, .16, .12, .32, .32, steel))]
    lamps = [box(x, y, .6, .35, .02, .14, tone) for x in (-.65, .65)
             for y, tone in ((0, red), (4.5, white))]
    plates = [box(0, y, .42, .52, .02, .11, white) for y in (0, 4.5)]
    return [box(0, 2.25, .2, 1.8, 4.5, .68, paint), box(0, 1.95, .88, 1.6, 2.5, .5, glass),
            box(0, 1.9, 1.38, 1.5, 2.1, .12, paint), *wheels, *lamps, *plates,
            *(box(0, y, .88, 1.62, .1, .5, paint) for y in (.9, 2.0))]


def tree(rng):
    """A street tree 4-8 m high."""
    high, bark = rng.uniform(4, 8), Surface(textures.rough, (.2, .15, .1), (0, 0, 0))
    green = tuple(np.array([.18, .4, .1]) * rng.uniform(.5, 1.3))
    leaf = Surface(textures.mottle, green, tuple(np.multiply(green, .3)), .5)
    blobs = [ball(*rng.uniform(-.7, .7, 2) + (0, .3), rng.uniform(2.2, high - 1.5),
                  *rng.uniform(1.2, 2.4, 3), leaf) for _ in range(7)]
    return [tube(0, .3, 0, rng.uniform(.18, .35), high - 1, bark), *blobs]


def pole(rng):
    """A lamp post or a sign post."""
    steel = plain(rng, .1, .6, .2)
    if rng.random() < 0.5:
        sign = Surface(textures.stripes, colour(rng, .3, .8, 1), (.9, .9, .9), .3)
        return [tube(0, .1, 0, .06, 2.8, steel), box(0, .14, 2.2, .6, .02, .6, sign)]
    return [tube(0, .1, 0, .14, 5.0, steel), box(0, .4, 5.0, .2, .9, .1, steel)]


def bin_(rng):
    """A refuse bin about 1.05 m high."""
    body = plain(rng, .1, .5, .8)
    return [box(0, .35, .05, .55, .6, .95, body), box(0, .35, 1.0, .6, .66, .06, body)]


def bench(rng):
    """A bench: seat at 0.45 m."""
    return [box(0, .3, .4, 1.6, .45, .05, wood(rng)), box(0, .05, .5, 1.6, .05, .35, wood(rng)),
            *(box(x, .3, 0, .08, .4, .4, plain(rng, .1, .4, 0)) for x in (-.7, .7))]
