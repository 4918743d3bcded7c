# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Shelves full of things, racks, desks, counters, beams: built of boxes and filled with models.

Each returns pieces with their back at y = 0, centred in x, standing on z = 0; metres. Knows
nothing about rooms.
"""

import numpy as np

from training.scenes.furnished import patterns
from training.scenes.furnished.builder import Builder
from training.scenes.furnished.meshes import box, boxes, tube


def wood(build: Builder) -> int:
    """A material for boards."""
    rng = build.rng
    if rng.random() < 0.5:
        return build.material(image=patterns.planks(rng)[0])
    return build.material(patterns.tone(rng, 0.1, 0.95, 0.15))


def books(build: Builder, x0, x1, z, room, deep):
    """A row of books between x0 and x1 on height z, under `room` metres."""
    rng = build.rng
    thick = rng.uniform(0.015, 0.05, max(1, int((x1 - x0) / 0.03)))
    ends = x0 + np.cumsum(thick)
    ends = ends[ends < x1]
    if not len(ends):
        return []
    starts = np.concatenate([[x0], ends[:-1]])
    tall = np.minimum(
        rng.uniform(0.6, 0.95) * room * rng.uniform(0.8, 1.05, len(ends)), room - 0.01
    )
    front = deep - rng.uniform(0.01, 0.06, len(ends))
    colours = [build.material(patterns.tone(rng, 0.05, 0.9, 0.6)) for _ in range(6)]
    low = np.stack([starts, np.full(len(ends), 0.02), np.full(len(ends), z)], 1)
    high = np.stack([ends - 0.002, front, z + tall], 1)
    return [boxes(low, high, rng.choice(colours, len(ends)))]


def spread(
    build: Builder, x0, x1, y0, y1, z, count, role="small", most=0.6, most_faces=3_000, lying=0.0
):
    """Things on a surface, apart from each other; lying: the share that lies on a side."""
    rng, taken, found = build.rng, [], []
    for _ in range(count):
        piece = build.thing(role, most_faces=most_faces)
        if piece is None:
            return found
        if lying and rng.random() < lying:
            piece = piece.tipped()
        low, high = piece.extent()
        half = max(*(high - low)[:2]) / 2
        if high[2] > most or min(x1 - x0, y1 - y0) < 2 * half + 1e-3:
            continue
        x, y = rng.uniform(x0 + half, x1 - half), rng.uniform(y0 + half, y1 - half)
        if any(np.hypot(x - a, y - b) < (half + r) * 0.8 for a, b, r in taken):
            continue
        taken.append((x, y, half))
        yaw = rng.uniform(-np.pi, np.pi) if rng.random() < 0.5 else rng.normal(0, 0.3)
        there = piece.moved(-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2)
        found.append(there.moved(x, y, z, yaw))
    return found


def shelf(build: Builder, wide=None, high=None, deep=None, full=0.8):
    """A shelf with books, boxes and small things on every board."""
    rng = build.rng
    wide = wide or rng.uniform(0.6, 1.4)
    deep, high = deep or rng.uniform(0.25, 0.42), high or rng.uniform(0.8, 2.2)
    pitch, body, t = rng.uniform(0.25, 0.42), wood(build), rng.uniform(0.015, 0.03)
    x, levels = wide / 2, np.arange(0.05, high - 0.1, pitch)
    low = [[-x, 0, 0], [x - t, 0, 0]] + [[-x, 0, z] for z in levels] + [[-x, 0, high - t]]
    top = [[-x + t, deep, high], [x, deep, high]] + [[x, deep, z + t] for z in levels]
    top += [[x, deep, high]]
    if rng.random() < 0.7:
        low.append([-x, 0, 0])
        top.append([x, 0.01, high])
    found = [boxes(low, top, [body] * len(low), 1.0)]
    for z in levels:
        if rng.random() > full:
            continue
        room, kind = pitch - t - 0.01, rng.random()
        if kind < 0.45:
            end = rng.uniform(0, x - t) if rng.random() < 0.4 else x - t
            found += books(build, -x + t, end, z + t, room, deep)
            found += spread(build, end, x - t, 0.02, deep, z + t, 2, most=room)
        elif kind < 0.65:
            found += cartons(build, -x + t, x - t, z + t, room, deep)
        else:
            found += spread(build, -x + t, x - t, 0.02, deep, z + t, int(wide / 0.1), most=room)
    return found


def cartons(build: Builder, x0, x1, z, room, deep):
    """Boxes side by side on a shelf or a rack."""
    rng, low, high, kinds = build.rng, [], [], []
    colours = [carton_material(build) for _ in range(3)]
    at = x0 + rng.uniform(0, 0.1)
    while at < x1 - 0.12:
        wide = min(rng.uniform(0.12, 0.6), x1 - at - 0.01)
        if rng.random() < 0.8:
            low.append([at, rng.uniform(0.01, 0.1), z])
            high.append(
                [at + wide, deep * rng.uniform(0.85, 1), z + rng.uniform(0.4, 0.98) * room]
            )
            kinds.append(rng.choice(colours))
        at += wide + rng.uniform(0.005, 0.08)
    return [boxes(low, high, kinds, 0.6)] if low else []


def carton_material(build: Builder) -> int:
    """Cardboard, or a plastic crate's colour."""
    rng = build.rng
    if rng.random() < 0.5 and (found := build.image("box")):
        return build.material(image=found[0])
    if rng.random() < 0.5:
        return build.material(np.array([0.66, 0.5, 0.33]) * rng.uniform(0.7, 1.2))
    return build.material(patterns.tone(rng, 0.1, 0.9, 0.8))


def rack(build: Builder, wide, high, deep):
    """A steel rack of a store room with cartons, crates and barrels."""
    rng, steel = build.rng, build.material(patterns.tone(build.rng, 0.2, 0.7, 0.6))
    pitch, x, t = rng.uniform(0.45, 1.3), wide / 2, 0.06
    levels = np.arange(0.1, high - 0.2, pitch)
    low = [[a, b, 0] for a in (-x, x - t) for b in (0, deep - t)]
    top = [[a + t, b + t, high] for a in (-x, x - t) for b in (0, deep - t)]
    low += [[-x, 0, z - 0.05] for z in levels]
    top += [[x, deep, z] for z in levels]
    found = [boxes(low, top, [steel] * len(low), 1.0)]
    for z in levels:
        if rng.random() < 0.85:
            found += cartons(build, -x + t, x - t, z, pitch - 0.1, deep)
        else:
            found += spread(build, -x + t, x - t, 0.02, deep, z, 6, "carton", pitch - 0.1)
    return found


def desk(build: Builder, wide=None, deep=None, clutter=4):
    """A desk of boards at 0.72-0.76 m with a screen and things on it."""
    rng = build.rng
    wide, deep = wide or rng.uniform(1.1, 1.8), deep or rng.uniform(0.6, 0.85)
    high, board, leg = (
        rng.uniform(0.72, 0.76),
        wood(build),
        build.material(patterns.tone(rng, 0.05, 0.8, 0.1)),
    )
    x, t = wide / 2, rng.uniform(0.03, 0.06)
    low = [[-x, 0, high - 0.03]] + [
        [a, b, 0] for a in (-x + 0.03, x - t - 0.03) for b in (0.03, deep - t - 0.03)
    ]
    top = [[x, deep, high]] + [
        [a + t, b + t, high - 0.03]
        for a in (-x + 0.03, x - t - 0.03)
        for b in (0.03, deep - t - 0.03)
    ]
    found = [boxes(low, top, [board] + [leg] * 4, 1.2)]
    if rng.random() < 0.5:
        s = rng.choice([-1, 1]) * (x - 0.3)
        found.append(box(s - 0.2, 0.05, 0.05, s + 0.2, deep - 0.05, high - 0.08, wood(build)))
    for _ in range(rng.integers(0, 3)):
        found += screen(build, rng.uniform(-x + 0.35, x - 0.35), 0.12, high)
    found += spread(build, -x, x, 0.25, deep, high, clutter, rng.choice(["small", "gadget"]))
    return found, high


def cupboard(build: Builder) -> int:
    """A material for kitchen fronts: mostly white or wood, seldom a colour."""
    rng, kind = build.rng, build.rng.random()
    if kind < 0.45:
        return build.material(patterns.tone(rng, 0.75, 0.97, 0.04))
    return wood(build) if kind < 0.75 else build.material(patterns.tone(rng, 0.2, 0.9, 0.3))


def screen(build: Builder, x, y, z):
    """A monitor on its foot, 0.45-0.7 m wide, dark or showing something."""
    rng, dark = build.rng, build.material(patterns.tone(build.rng, 0.03, 0.15, 0))
    wide = rng.uniform(0.45, 0.7)
    high, lift = wide * rng.choice([0.5625, 0.625, 0.75]), rng.uniform(0.08, 0.18)
    shown = build.material(image=patterns.art(rng)[0], glow=0.5) if rng.random() < 0.5 else dark
    low = [
        [x - 0.12, y - 0.06, z],
        [x - 0.025, y - 0.01, z],
        [x - wide / 2, y, z + lift],
        [x - wide / 2 + 0.015, y + 0.03, z + lift + 0.015],
    ]
    top = [
        [x + 0.12, y + 0.14, z + 0.015],
        [x + 0.025, y + 0.02, z + lift + 0.1],
        [x + wide / 2, y + 0.03, z + lift + high],
        [x + wide / 2 - 0.015, y + 0.034, z + lift + high - 0.015],
    ]
    return [boxes(low, top, [dark, dark, dark, shown], 0.5)]


def counter(build: Builder, length, uppers=True):
    """A row of kitchen units: boards, doors with seams, worktop at 0.9 m, cupboards above."""
    rng = build.rng
    body, top = cupboard(build), wood(build)
    dark, steel = build.material((0.08,) * 3), build.material((rng.uniform(0.4, 0.8),) * 3)
    x, n = length / 2, max(1, round(length / 0.6))
    low, high, kinds = (
        [[-x, 0, 0.1], [-x, 0, 0], [-x, 0, 0.86]],
        [[x, 0.56, 0.86], [x, 0.5, 0.1], [x, 0.62, 0.9]],
        [body, dark, top],
    )
    for i in range(n):
        a = -x + i * length / n
        low += [[a - 0.003, 0.55, 0.1], [a + 0.2, 0.56, 0.76]]
        high += [[a + 0.003, 0.565, 0.86], [a + length / n - 0.2, 0.59, 0.775]]
        kinds += [dark, steel]
    if uppers:
        low.append([-x, 0, 1.42])
        high.append([x, 0.34, 2.15])
        kinds.append(body)
        low += [[-x + i * length / n - 0.003, 0.33, 1.42] for i in range(1, n)]
        high += [[-x + i * length / n + 0.003, 0.345, 2.15] for i in range(1, n)]
        kinds += [dark] * (n - 1)
    found = [boxes(low, high, kinds, 1.0)]
    return found + spread(build, -x, x, 0.05, 0.6, 0.9, int(length * rng.uniform(1, 6)), most=0.5)


def column(build: Builder, high, material):
    """A round or square column."""
    r = build.rng.uniform(0.1, 0.3)
    if build.rng.random() < 0.5:
        return [tube(0, 0, 0, high, r, material)]
    return [box(-r, -r, 0, r, r, high, material, 1.5)]
