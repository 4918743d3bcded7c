# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How bright the hit points are: lamps with soft shadows, and light from other surfaces.

One ray a pixel to one point of one lamp, one ray for every fourth pixel into the room, smoothed
along surfaces. Knows nothing about cameras or what the things are.
"""

from typing import NamedTuple

import numpy as np

from training.scenes.furnished.meshes import Scene, facing

LIFT_M = 2e-3


class Lamp(NamedTuple):
    """A rectangle of light: centre, half edges a and b (3,) each, direction, power (3,).

    Power is what it gives at one metre straight ahead; shape 1 is a flat panel, 0 a bulb.
    """

    at: tuple
    a: tuple
    b: tuple
    ahead: tuple
    power: tuple
    flat: float = 1.0


class Lamps:
    """The lamps of a place as arrays."""

    def __init__(self, lamps: list[Lamp]):
        self.at, self.a, self.b, self.ahead, self.power = (
            np.array([getattr(lamp, n) for lamp in lamps], np.float32)
            for n in ("at", "a", "b", "ahead", "power")
        )
        self.flat = np.array([lamp.flat for lamp in lamps], np.float32)
        self.grey = self.power.mean(1)

    def arriving(self, points, normals) -> np.ndarray:
        """Unshadowed light of each lamp at each point, (P, L), as grey."""
        given = np.empty((len(self.at), len(points)), np.float32)
        points, normals = (np.ascontiguousarray(x.T) for x in (points, normals))
        for i, at in enumerate(self.at):
            x, y, z = at[0] - points[0], at[1] - points[1], at[2] - points[2]
            square = x * x + y * y + z * z + np.float32(0.05)
            facing = np.maximum(x * normals[0] + y * normals[1] + z * normals[2], 0)
            away = np.sqrt(square)
            a, b, c = self.ahead[i] * -self.flat[i]
            leaving = np.maximum(x * a + y * b + z * c, 0) + away * (1 - self.flat[i])
            given[i] = self.grey[i] * facing * leaving / (square * square)
        return given.T


def direct(rng, scene: Scene, lamps: Lamps, points, normals, dither) -> np.ndarray:
    """Light of the lamps with shadows, (P, 3); dither (P,) in 0..1 chooses the lamp."""
    given = lamps.arriving(points, normals)
    running = np.cumsum(given, 1)
    total = running[:, -1]
    chosen = (running < (dither * total)[:, None]).sum(1).clip(0, len(lamps.at) - 1)
    share = rng.random((2, len(points)), np.float32)[..., None] * 2 - 1
    target = lamps.at[chosen] + lamps.a[chosen] * share[0] + lamps.b[chosen] * share[1]
    start = points + normals * np.float32(LIFT_M)
    way = target - start
    away = np.linalg.norm(way, axis=1)
    shadow = scene.blocked(start, way / away[:, None], away - np.float32(0.08))
    tone = (lamps.power / lamps.grey[:, None])[chosen]
    return tone * (total * ~shadow)[:, None]


def bounced(rng, scene: Scene, lamps: Lamps, points, normals, sky) -> np.ndarray:
    """Light from other surfaces, (P, 3): one ray each, their own light unshadowed."""
    turn, up = rng.random((2, len(points)), np.float32)
    turn = turn * np.float32(2 * np.pi)
    rays = normals + _sphere(turn, up)
    rays /= np.maximum(np.linalg.norm(rays, axis=1), 1e-3)[:, None]
    hits = scene.cast(points + normals * np.float32(LIFT_M), rays)
    light = np.broadcast_to(np.float32(sky), (len(points), 3)).copy()
    met = np.flatnonzero(hits.face >= 0)
    hits = hits.of(met)
    there = points[met] + rays[met] * hits.distance[:, None]
    flat = facing(hits, rays[met])
    colour = scene.albedo(hits, np.full(len(met), 0.2, np.float32))[:, :3]
    given = lamps.arriving(there, flat) @ (lamps.power / lamps.grey[:, None])
    light[met] = colour * np.minimum(given * np.float32(0.75) + np.float32(0.08), 4)
    return light


def _sphere(turn, share):
    z = 2 * share - 1
    ring = np.sqrt(np.maximum(1 - z * z, 0))
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), z], 1)


def smoothed(light, normals, points, distance, steps) -> np.ndarray:
    """Averages of light (H, W, 3) along smooth surfaces, over growing steps of pixels.

    A pixel averages with the eight around it that have its normal and lie in its plane.
    """
    light, normals, points = (
        np.ascontiguousarray(np.moveaxis(x, 2, 0)) for x in (light, normals, points)
    )
    offset, slack = (normals * points).sum(0), np.float32(0.02) * distance
    for step in steps:
        total, weight = light.copy(), np.ones(light.shape[1:], np.float32)
        for dy, dx in ((0, step), (step, -step), (step, 0), (step, step)):
            here, there = _shifted(weight.shape, dy, dx)
            one = normals[here]
            gap = np.abs((one * points[there]).sum(0) - offset[here[1:]])
            alike = (one * normals[there]).sum(0) > 0.9
            same = (alike & (gap < slack[here[1:]])).astype(np.float32)
            total[here] += light[there] * same
            total[there] += light[here] * same
            weight[here[1:]] += same
            weight[there[1:]] += same
        light = total / weight
    return np.ascontiguousarray(np.moveaxis(light, 0, 2))


def _shifted(shape, dy, dx):
    """Two windows of planes (3, H, W); the second lies (dy, dx) farther, dy not negative."""
    height, width = shape
    here = np.s_[:, : height - dy, max(0, -dx) : width - max(0, dx)]
    there = np.s_[:, dy:, max(0, dx) : width - max(0, -dx)]
    return here, there
