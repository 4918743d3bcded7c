# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Furniture and small things at their true sizes.

A thing is a list of Parts in its own frame: x to the side, centred; y away from the wall at its
back, from 0; z up from its underside; metres. Each function draws sizes and colours from a
random generator and knows nothing about where the thing will stand.
"""

import numpy as np

from training.scenes.boxes import textures
from training.scenes.boxes.parts import ball, box, cloth, colour, plain, tube, wood
from training.scenes.boxes.solids import Surface


def _legs(wide, deep, high, thick, surface, inset=0.04):
    x, y = wide / 2 - inset, deep / 2 - inset
    return [box(a, deep / 2 + b, 0, thick, thick, high, surface) for a in (-x, x) for b in (-y, y)]


def table(rng):
    """A table 0.72-0.76 m high, sometimes round."""
    high, top = rng.uniform(0.72, 0.76), wood(rng) if rng.random() < 0.6 else plain(rng)
    if rng.random() < 0.2:
        wide = rng.uniform(0.7, 1.2)
        return [
            tube(0, wide / 2, high - 0.03, wide, 0.03, top),
            tube(0, wide / 2, 0, 0.08, high - 0.03, top),
            tube(0, wide / 2, 0, 0.5, 0.03, top),
        ]
    wide, deep = rng.uniform(1.0, 2.0), rng.uniform(0.6, 0.95)
    return [
        box(0, deep / 2, high - 0.035, wide, deep, 0.035, top),
        *_legs(wide, deep, high - 0.035, rng.uniform(0.04, 0.08), top),
    ]


def low_table(rng):
    """A coffee table 0.40-0.48 m high."""
    wide, deep, high = rng.uniform(0.8, 1.2), rng.uniform(0.5, 0.7), rng.uniform(0.40, 0.48)
    top = wood(rng)
    return [
        box(0, deep / 2, high - 0.04, wide, deep, 0.04, top),
        *_legs(wide, deep, high - 0.04, 0.06, top),
    ]


def chair(rng):
    """A chair: seat at 0.45 m, back to 0.80-0.95 m."""
    frame, seat = wood(rng), cloth(rng) if rng.random() < 0.5 else wood(rng)
    wide, back = rng.uniform(0.40, 0.46), rng.uniform(0.80, 0.95)
    return [
        box(0, wide / 2, 0.41, wide, wide, 0.04, seat),
        *_legs(wide, wide, 0.41, 0.035, frame, 0.02),
        box(0, 0.02, 0.58, wide, 0.03, back - 0.58, seat),
        *(box(x, 0.02, 0.45, 0.035, 0.03, back - 0.45, frame) for x in (-0.18, 0.18)),
    ]


def office_chair(rng):
    """A swivel chair: seat at 0.45-0.5 m on a column and a star."""
    seat, dark, high = cloth(rng), plain(rng, 0.03, 0.1, 0), rng.uniform(0.45, 0.5)
    return [
        box(0, 0.25, high - 0.07, 0.48, 0.46, 0.07, seat),
        box(0, 0.03, high + 0.12, 0.44, 0.06, 0.5, seat),
        tube(0, 0.25, 0.06, 0.06, high - 0.13, dark),
        box(0, 0.25, 0.03, 0.6, 0.06, 0.04, dark),
        box(0, 0.25, 0.03, 0.06, 0.6, 0.04, dark),
    ]


def sofa(rng):
    """A sofa for two or three: seat at 0.42 m, back at 0.8 m, 0.85 m deep."""
    wide, cover = rng.choice([1.6, 2.1]), cloth(rng)
    return [
        box(0, 0.47, 0.08, wide - 0.3, 0.76, 0.34, cover),
        box(0, 0.1, 0.08, wide, 0.2, 0.74, cover),
        *(
            box(x, 0.45, 0.08, 0.17, 0.84, 0.52, cover)
            for x in (-wide / 2 + 0.08, wide / 2 - 0.08)
        ),
    ]


def bed(rng):
    """A bed 2.0 m long, 0.9-1.8 m wide, mattress top at 0.5 m."""
    wide, frame, sheet = rng.choice([0.9, 1.4, 1.8]), wood(rng), cloth(rng)
    white = plain(rng, 0.7, 0.9, 0.1)
    pillows = [-wide / 4, wide / 4] if wide > 1 else [0]
    return [
        box(0, 1.02, 0.1, wide + 0.06, 2.08, 0.2, frame),
        box(0, 0.02, 0, wide + 0.06, 0.05, 0.95, frame),
        box(0, 1.05, 0.3, wide, 2.0, 0.2, white),
        box(0, 1.35, 0.32, wide + 0.03, 1.4, 0.21, sheet),
        *(box(x, 0.3, 0.5, 0.6, 0.4, 0.12, white) for x in pillows),
    ]


def wardrobe(rng):
    """A wardrobe 1.9-2.2 m high, 0.6 m deep, doors 0.5 m wide."""
    doors, high, body = rng.integers(2, 5), rng.uniform(1.9, 2.2), wood(rng)
    if rng.random() < 0.5:
        body = plain(rng, 0.3, 0.9, 0.3)
    wide, steel, dark = doors * 0.5, plain(rng, 0.4, 0.7, 0), plain(rng, 0.02, 0.05, 0)
    seams = [
        box(x, 0.6, 0.06, 0.008, 0.012, high - 0.1, dark)
        for x in np.arange(1, doors) * 0.5 - wide / 2
    ]
    knobs = [
        box(i * 0.5 - wide / 2 + (0.06 if i % 2 else 0.44), 0.61, 1.0, 0.02, 0.03, 0.15, steel)
        for i in range(doors)
    ]
    return [box(0, 0.3, 0, wide, 0.6, high, body), *seams, *knobs]


def chest(rng):
    """A chest of drawers 0.8-1.0 m high, each drawer 0.2-0.25 m."""
    wide, rows, each, body = rng.uniform(0.6, 1.2), 4, rng.uniform(0.2, 0.25), wood(rng)
    front = body._replace(a=tuple(np.multiply(body.a, 1.15)))
    steel = plain(rng, 0.3, 0.7, 0)
    drawers = [
        box(0, 0.45, 0.03 + i * each, wide - 0.04, 0.02, each - 0.02, front) for i in range(rows)
    ]
    knobs = [box(0, 0.47, 0.02 + (i + 0.5) * each, 0.12, 0.02, 0.02, steel) for i in range(rows)]
    return [box(0, 0.225, 0, wide, 0.45, rows * each + 0.03, body), *drawers, *knobs]


def shelf(rng):
    """A book case 0.8-1.2 m wide, shelves 0.32 m apart, most of them full of books."""
    wide, rows, body = rng.uniform(0.8, 1.2), rng.integers(3, 7), wood(rng)
    pitch, deep = 0.32, 0.3
    high = rows * pitch
    parts = [box(0, 0.01, 0, wide, 0.02, high, body)]
    parts += [box(x, deep / 2, 0, 0.02, deep, high, body) for x in (-wide / 2, wide / 2)]
    parts += [box(0, deep / 2, i * pitch, wide, deep, 0.02, body) for i in range(rows + 1)]
    for i in range(rows):
        dark, bright = colour(rng, 0.1, 0.4, 1), colour(rng, 0.3, 0.8, 1)
        books = Surface(textures.books, dark, bright, pitch - 0.02)
        if rng.random() < 0.75:
            parts.append(box(0, 0.11, i * pitch + 0.02, wide - 0.03, 0.18, pitch - 0.02, books))
    return parts


def counter(rng):
    """A kitchen counter: top at 0.90 m, 0.6 m deep, cupboards above from 1.45 to 2.15 m."""
    units, body, top = rng.integers(2, 6), plain(rng, 0.3, 0.9), plain(rng, 0.1, 0.5, 0.2)
    wide, dark, steel = units * 0.6, plain(rng, 0.03, 0.1, 0), plain(rng, 0.4, 0.8, 0)
    edges = np.arange(1, units) * 0.6 - wide / 2
    handles = [
        box(i * 0.6 - wide / 2 + 0.3, 0.6, 0.78, 0.2, 0.03, 0.015, steel) for i in range(units)
    ]
    lower = [
        box(0, 0.28, 0.1, wide, 0.56, 0.76, body),
        box(0, 0.26, 0, wide, 0.5, 0.1, dark),
        box(0, 0.3, 0.86, wide, 0.6, 0.04, top),
        *handles,
    ]
    seams = [box(x, 0.56, 0.1, 0.006, 0.01, 0.76, dark) for x in edges]
    upper = [box(0, 0.175, 1.45, wide, 0.35, 0.7, body)]
    upper += [box(x, 0.35, 1.45, 0.006, 0.01, 0.7, dark) for x in edges]
    return lower + seams + (upper if rng.random() < 0.7 else [])


def fridge(rng):
    """A refrigerator 1.75-1.9 m high, 0.6 m wide and deep."""
    high, body, dark = rng.uniform(1.75, 1.9), plain(rng, 0.4, 0.95, 0.1), plain(rng, 0.03, 0.1, 0)
    return [
        box(0, 0.31, 0, 0.6, 0.62, high, body),
        box(0, 0.62, 0.65, 0.6, 0.01, 0.01, dark),
        *(box(-0.24, 0.64, z, 0.02, 0.03, 0.35, dark) for z in (0.25, 0.75)),
    ]


def screen(rng):
    """A television on a low board 0.45 m high."""
    wide, board = rng.uniform(0.9, 1.4), wood(rng)
    picture = Surface(
        textures.picture,
        colour(rng, 0.02, 0.2),
        colour(rng, 0.1, 0.6, 1),
        0.5,
        rng.choice([0, 0.5]),
    )
    dark = plain(rng, 0.02, 0.05, 0)
    return [
        box(0, 0.22, 0, wide + 0.3, 0.42, 0.45, board),
        box(0, 0.2, 0.45, 0.4, 0.2, 0.04, dark),
        box(0, 0.2, 0.5, wide, 0.04, wide * 0.5625, dark),
        box(0, 0.222, 0.52, wide - 0.03, 0.01, wide * 0.5625 - 0.04, picture),
    ]


def floor_lamp(rng):
    """A lamp 1.5-1.75 m high with a shining shade."""
    high, pole, tone = rng.uniform(1.5, 1.75), plain(rng, 0.05, 0.5, 0), colour(rng, 0.6, 0.9, 0.3)
    shade = Surface(textures.plain, tone, tone, 0.5, rng.uniform(0, 0.8))
    return [
        tube(0, 0.2, 0, 0.28, 0.03, pole),
        tube(0, 0.2, 0.03, 0.03, high - 0.3, pole),
        tube(0, 0.2, high - 0.3, 0.38, 0.3, shade),
    ]


def plant(rng):
    """A plant in a pot, 0.8-1.6 m high."""
    high, pot = rng.uniform(0.8, 1.6), plain(rng, 0.15, 0.8)
    green = tuple(np.array([0.18, 0.45, 0.12]) * rng.uniform(0.5, 1.3))
    leaf = Surface(textures.mottle, green, tuple(np.multiply(green, 0.35)), rng.uniform(0.1, 0.3))
    blobs = [
        ball(
            *rng.uniform(-0.15, 0.15, 2) + (0, 0.3),
            rng.uniform(0.35, high - 0.35),
            *rng.uniform(0.2, 0.45, 3),
            leaf,
        )
        for _ in range(rng.integers(4, 8))
    ]
    return [
        tube(0, 0.3, 0, 0.32, 0.3, pot),
        tube(0, 0.3, 0.3, 0.05, high - 0.5, wood(rng)),
        *blobs,
    ]


def carton(rng):
    """A cardboard box 0.3-0.6 m."""
    brown = tuple(np.array([0.62, 0.43, 0.25]) * rng.uniform(0.7, 1.2))
    w, d, h = rng.uniform(0.3, 0.6, 3)
    tape = plain(rng, 0.4, 0.7, 0.2)
    return [
        box(0, d / 2, 0, w, d, h, Surface(textures.plain, brown, brown)),
        box(0, d / 2, h, 0.05, d, 0.002, tape),
    ]


def trifle(rng):
    """A small thing for a table: book, mug, bottle, vase, monitor or lamp."""
    kind, one = rng.integers(6), plain(rng, vivid=1)
    if kind == 0:
        return [
            box(0, 0.15, i * 0.03, 0.2 - 0.01 * i, 0.27, 0.03, plain(rng, vivid=1))
            for i in range(3)
        ]
    if kind == 1:
        return [tube(0, 0.05, 0, 0.085, 0.095, one)]
    if kind == 2:
        return [tube(0, 0.05, 0, 0.075, 0.2, one), tube(0, 0.05, 0.2, 0.03, 0.1, one)]
    if kind == 3:
        return [ball(0, 0.1, 0, 0.17, 0.17, 0.2, one), tube(0, 0.1, 0.17, 0.07, 0.09, one)]
    if kind == 4:
        dark = plain(rng, 0.02, 0.1, 0)
        dim, bright = colour(rng), colour(rng, vivid=1)
        picture = Surface(textures.picture, dim, bright, 0.5, rng.choice([0, 0.7]))
        return [
            box(0, 0.1, 0, 0.22, 0.16, 0.02, dark),
            box(0, 0.08, 0.02, 0.05, 0.03, 0.12, dark),
            box(0, 0.1, 0.12, 0.54, 0.03, 0.33, dark),
            box(0, 0.12, 0.135, 0.51, 0.005, 0.3, picture),
        ]
    shade = Surface(textures.plain, (0.9, 0.85, 0.7), (0, 0, 0), 0.5, rng.uniform(0, 0.7))
    return [
        tube(0, 0.1, 0, 0.12, 0.02, one),
        tube(0, 0.1, 0.02, 0.02, 0.25, one),
        tube(0, 0.1, 0.25, 0.22, 0.17, shade),
    ]
