# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Walls, floor, ceiling, windows, doors, lamps: a room before it is furnished.

Knows nothing about furniture.
"""

from itertools import pairwise

import numpy as np

from training.scenes.boxes.floor import against
from training.scenes.furnished import patterns
from training.scenes.furnished.builder import Builder
from training.scenes.furnished.meshes import box, boxes, panel

WALL_M = 0.2


class Finish:
    """What walls, floor, ceiling and boards are made of; numbers of materials."""

    def __init__(self, build: Builder, bare=False):
        rng = build.rng
        make = rng.choice(
            [patterns.plaster, patterns.wallpaper, patterns.brick, patterns.tiles],
            p=[0.8, 0.07, 0.08, 0.05],
        )
        self.wall, self.wall_m = _stored(
            build, "bare" if bare else "wall", patterns.concrete if bare else make, 0.25
        )
        self.accent, self.accent_m = _stored(build, "wall", patterns.plaster, 0.1)
        if rng.random() < 0.7:
            self.accent, self.accent_m = self.wall, self.wall_m
        floors = [patterns.tiles, patterns.planks, patterns.carpet, patterns.concrete]
        make = rng.choice(floors, p=[0, 0, 0.3, 0.7] if bare else [0.27, 0.33, 0.32, 0.08])
        self.floor, self.floor_m = _stored(build, "bare" if bare else "floor", make, 0.2)
        make = patterns.panels if rng.random() < 0.45 else patterns.plaster
        self.ceiling, self.ceiling_m = _stored(build, "ceiling", make, 0.1)
        if make is patterns.plaster:
            self.ceiling = build.material((rng.uniform(0.75, 0.97),) * 3)
        self.trim = build.material(patterns.tone(rng, 0.3, 0.97, 0.1))


def _stored(build, role, make, share):
    """(material, metres) from a stored image with this probability, else drawn."""
    found = build.image(role) if build.rng.random() < share else None
    image, metres = found or make(build.rng)
    return build.material(image=image), metres


def wall(build: Builder, side, finish: Finish, holes=()):
    """One side of the area with holes (from, to, low, high) along it, and a skirting board."""
    length = (build.area[2:] - build.area[:2])[side % 2]
    edges = sorted({-WALL_M, length + WALL_M, *(h[0] for h in holes), *(h[1] for h in holes)})
    low, top = [], []
    for start, end in pairwise(edges):
        spans = sorted((h[2], h[3]) for h in holes if h[0] <= start and end <= h[1])
        levels = [0, *(z for span in spans for z in span), build.high]
        for z0, z1 in zip(levels[::2], levels[1::2], strict=True):
            if z1 - z0 > 1e-3:
                low.append([start - length / 2, -WALL_M, z0])
                top.append([end - length / 2, 0, z1])
    material = finish.wall if side else finish.accent
    metres = finish.wall_m if side else finish.accent_m
    pieces = [boxes(low, top, [material] * len(low), metres)]
    if build.rng.random() < 0.8:
        boards = [(a, b) for a, b in zip(low, top, strict=True) if a[2] == 0]
        tall = build.rng.uniform(0.05, 0.12)
        pieces.append(
            boxes(
                [a for a, _ in boards],
                [(b[0], 0.012, tall) for _, b in boards],
                [finish.trim] * len(boards),
            )
        )
    x, y, yaw = against(build.area, side, 0.5)
    for piece in pieces:
        build.add(piece, x, y, 0, yaw)


def slabs(build: Builder, finish: Finish):
    """Floor and ceiling."""
    x0, y0, x1, y1 = build.area
    m = WALL_M
    build.add(box(x0 - m, y0 - m, -0.1, x1 + m, y1 + m, 0, finish.floor, finish.floor_m))
    build.add(
        box(
            x0 - m,
            y0 - m,
            build.high,
            x1 + m,
            y1 + m,
            build.high + 0.1,
            finish.ceiling,
            finish.ceiling_m,
        )
    )


def shell(build: Builder, finish: Finish, windows=None, doors=1, opening=None):
    """Walls with windows and doors, floor, ceiling; opening: a side left to be built by others."""
    rng = build.rng
    windows = rng.integers(0, 4) if windows is None else windows
    holes = {side: [] for side in range(4)}
    fixtures = []
    for kind in ["door"] * doors + ["window"] * windows:
        side = int(rng.integers(4))
        if side == opening:
            continue
        length = (build.area[2:] - build.area[:2])[side % 2]
        _place(build, kind, side, length, holes[side], fixtures)
    for side in range(4):
        if side != opening:
            wall(build, side, finish, [h for h in holes[side] if h[4]])
    slabs(build, finish)
    for add in fixtures:
        add()
    return holes


def _place(build, kind, side, length, holes, fixtures):
    """Reserve a stretch of wall for a door or a window and remember how to build it."""
    rng = build.rng
    number = build.library.entry(rng, kind) if build.library.has(kind) else None
    size = (
        build.library.models[number]["size"]
        if number is not None
        else ((0.9, 0.1, 2.05) if kind == "door" else (1.2, 0.1, 1.3))
    )
    base = 0 if size[2] > 1.9 else rng.uniform(0.8, 1.0)
    larger = _larger(build, kind, size, base)
    size = tuple(np.multiply(size, larger))
    if size[0] + 0.3 > length or base + size[2] > build.high - 0.05:
        return
    start = rng.uniform(0.1, length - size[0] - 0.1)
    if any(start < h[1] + 0.1 and h[0] < start + size[0] + 0.1 for h in holes):
        return
    holes.append((start, start + size[0], base, base + size[2], kind == "window"))
    x, y, yaw = against(build.area, side, (start + size[0] / 2) / length)
    piece = (
        _plain_door(build, kind, size)
        if number is None
        else build.model(number, 0.05).scaled(larger)
    )
    if kind == "door":
        front = np.array([-np.sin(yaw), np.cos(yaw)]) * (0.04 - size[1])
        fixtures.append(lambda: build.add(piece, x + front[0], y + front[1], 0, yaw))
        build.keep_clear(x - 0.5, y - 0.5, x + 0.5, y + 0.5)
        return
    fixtures.append(lambda: _window(build, piece, size, base, x, y, yaw))


def _larger(build, kind, size, base):
    """(wide, deep, high) that a window is multiplied by in a high room."""
    rng, most = build.rng, (build.high - base - 0.3) / size[2]
    if kind == "door" or not build.library.taller or most < 1.2:
        return (1.0, 1.0, 1.0)
    return rng.uniform(0.9, 1.4), 1.0, rng.uniform(1, min(most, 2.2))


def _plain_door(build, kind, size):
    """A leaf with a steel or painted face, or nothing but the hole."""
    if kind == "window":
        return None
    found = build.image("door")
    material = (
        build.material(image=found[0]) if found else build.material(patterns.tone(build.rng))
    )
    return panel(size[0], size[2], material, y=size[1])


def _window(build, piece, size, base, x, y, yaw):
    """The frame, daylight, what is outside, sometimes a curtain."""
    rng, out = build.rng, np.array([-np.sin(yaw), np.cos(yaw)])
    if piece is not None:
        at = -out * (size[1] * 0.5 + 0.05)
        build.add(piece, x + at[0], y + at[1], base, yaw)
    day = rng.uniform(0.3, 4) * size[0] * size[2]
    inside = np.array([x, y]) + out * 0.25
    along = np.array([np.cos(yaw), np.sin(yaw)]) * size[0] / 2
    build.lamp(
        (*inside, base + size[2] / 2),
        (*along, 0),
        (0, 0, size[2] / 2),
        (*out, -0.1),
        day * np.array([0.95, 1.0, 1.1]),
    )
    if rng.random() < 0.35 and (curtain := build.thing("curtain")) is not None:
        for way in (-1, 1):
            at = np.array([x, y]) + along * way + out * 0.03
            build.add(curtain, *at, 0, yaw)
    if rng.random() < 0.4 and base > 0.5 and (heater := build.thing("radiator")) is not None:
        build.add(heater, *(np.array([x, y]) + out * 0.04), 0.1, yaw)


def lights(build: Builder):
    """Lamps under the ceiling: panels in a grid, or one or two bulbs."""
    rng = build.rng
    wide, deep = build.area[2:] - build.area[:2]
    warm = np.array([1, 1, 1]) + np.array([0.12, 0, -0.2]) * rng.uniform(-0.4, 1.2)
    strength = rng.uniform(0.3, 1.2)
    if rng.random() < 0.55 or wide * deep > 40:
        step = rng.uniform(2, 3.2) if wide * deep < 80 else rng.uniform(3.5, 5)
        size = rng.choice([(0.6, 0.6), (1.2, 0.3), (1.5, 0.15), (0.25, 0.25)])
        xs, ys = (
            np.arange(a + rng.uniform(0.8, step / 2 + 0.5), b - 0.4, step)
            for a, b in zip(build.area[:2], build.area[2:], strict=True)
        )
        spots = [(x, y) for x in xs for y in ys] or [tuple((build.area[:2] + build.area[2:]) / 2)]
        build.panels(spots, *size, warm * strength * 1.6 * (build.high / 2.6) ** 2)
    else:
        for _ in range(rng.integers(1, 3)):
            _bulb(build, warm * strength * 2.5)
    return strength


def _bulb(build, power):
    """A lamp that hangs or sticks at the ceiling."""
    rng = build.rng
    x, y = rng.uniform(build.area[:2] + 0.8, build.area[2:] - 0.8)
    piece = build.thing("ceiling_lamp")
    z = build.high - 0.06
    if piece is not None:
        tall = piece.extent()[1][2]
        if tall < build.high - 1.7:
            build.add(piece, x, y, build.high - tall)
            z = build.high - tall - 0.05
    build.lamp((x, y, z), (0.12, 0, 0), (0, 0.12, 0), (0, 0, -1), power, flat=0.3)


def pictures(build: Builder, holes, count):
    """Pictures, boards and small fixtures on the walls, clear of doors and windows."""
    rng = build.rng
    for _ in range(count):
        side = int(rng.integers(4))
        length = (build.area[2:] - build.area[:2])[side % 2]
        wide, high = rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.7)
        board = rng.random() < 0.12
        if board:
            wide, high = rng.uniform(1.2, 2.4), rng.uniform(0.9, 1.2)
        if wide + 0.2 > length:
            continue
        at = rng.uniform(wide / 2, length - wide / 2)
        if any(at - wide / 2 < h[1] + 0.05 and h[0] < at + wide / 2 + 0.05 for h in holes[side]):
            continue
        holes[side].append((at - wide / 2, at + wide / 2, 0, 2, False))
        x, y, yaw = against(build.area, side, at / length)
        base = rng.uniform(0.85, 1.1) if board else rng.uniform(1.1, 1.6)
        if rng.random() < 0.25 and (thing := build.thing("on_wall")) is not None:
            build.add(thing, x, y, rng.uniform(0.9, 1.9), yaw)
            continue
        frame = build.material(patterns.tone(rng, 0.05, 0.9))
        build.add(
            box(-wide / 2 - 0.02, 0, -0.02, wide / 2 + 0.02, 0.02, high + 0.02, frame),
            x,
            y,
            base,
            yaw,
        )
        image = None if board and rng.random() < 0.7 else patterns.art(rng)[0]
        colour = rng.choice([0.95, 0.1, 0.25]) if image is None else 1
        build.add(panel(wide, high, build.material((colour,) * 3, image), 0.022), x, y, base, yaw)
