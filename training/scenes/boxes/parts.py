# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Parts to build things from, their colours, and things as wholes.

A thing is a list of Parts in its own frame: x to the side, centred; y away from the wall at its
back, from 0; z up from its underside; metres.
"""

import numpy as np

from training.scenes.boxes import textures
from training.scenes.boxes.solids import BOX, CYLINDER, ELLIPSOID, Part, Surface


def colour(rng, low=0.1, high=0.9, vivid=0.5) -> tuple:
    """A random linear RGB: a grey between low and high, tinted by up to `vivid`."""
    grey, tint = rng.uniform(low, high), rng.uniform(-1, 1, 3) * vivid * rng.random()
    return tuple(np.clip(grey * (1 + tint), 0.02, 0.95))


def plain(rng, low=0.1, high=0.9, vivid=0.5) -> Surface:
    """One colour, faintly mottled."""
    tone = colour(rng, low, high, vivid)
    return Surface(textures.plain, tone, tone)


def wood(rng) -> Surface:
    """Boards 0.14 m wide, from birch to walnut."""
    tone = np.array([1.0, 0.68, 0.42]) * rng.uniform(0.12, 0.75)
    return Surface(textures.planks, tuple(tone), tuple(tone * 0.4), 0.14)


def cloth(rng) -> Surface:
    """Plain, striped or mottled cloth."""
    kind = rng.choice([textures.plain, textures.stripes, textures.mottle, textures.checker])
    return Surface(kind, colour(rng, vivid=0.9), colour(rng, vivid=0.9), rng.uniform(0.04, 0.1))


def solid(shape, centre_xy, bottom, size, surface, yaw=0.0) -> Part:
    """A part that stands with its underside at height `bottom`."""
    return Part(shape, (*centre_xy, bottom + size[2] / 2), tuple(size), yaw, surface)


def box(x, y, bottom, wide, deep, high, surface, yaw=0.0) -> Part:
    """A box by the centre of its underside and its size."""
    return solid(BOX, (x, y), bottom, (wide, deep, high), surface, yaw)


def tube(x, y, bottom, thick, high, surface) -> Part:
    """An upright cylinder by the centre of its underside, diameter and height."""
    return solid(CYLINDER, (x, y), bottom, (thick, thick, high), surface)


def ball(x, y, bottom, wide, deep, high, surface) -> Part:
    """An ellipsoid by its lowest point and size."""
    return solid(ELLIPSOID, (x, y), bottom, (wide, deep, high), surface)


def placed(parts: list[Part], x, y, z=0.0, yaw=0.0) -> list[Part]:
    """The thing turned by yaw and moved to (x, y, z)."""
    c, s = np.cos(yaw), np.sin(yaw)
    return [
        p._replace(
            centre=(
                x + c * p.centre[0] - s * p.centre[1],
                y + s * p.centre[0] + c * p.centre[1],
                z + p.centre[2],
            ),
            yaw=p.yaw + yaw,
        )
        for p in parts
    ]


def extent(parts: list[Part]) -> np.ndarray:
    """Bounding box of a thing in its own frame: (2, 3), lowest and highest corner."""
    half = np.array([p.size for p in parts]) / 2
    turn = np.abs([[np.cos(p.yaw), np.sin(p.yaw)] for p in parts])
    wide = turn[:, 0] * half[:, 0] + turn[:, 1] * half[:, 1]
    deep = turn[:, 1] * half[:, 0] + turn[:, 0] * half[:, 1]
    reach = np.stack([wide, deep, half[:, 2]], 1)
    centre = np.array([p.centre for p in parts])
    return np.stack([(centre - reach).min(0), (centre + reach).max(0)])
