# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the rays hit and how bright it is: normals, colours, lamps, shadows.

Knows solids and their surfaces, not what they stand for, and nothing about the camera's faults.
"""

from dataclasses import dataclass

import numpy as np

from depthlm_ros.camera import Camera
from training.scenes.boxes.solids import (
    BOX,
    CYLINDER,
    Pose,
    Solids,
    Surface,
    first_hits,
    ray_planes,
)


@dataclass(frozen=True)
class Light:
    """A lamp at a point, aimed at another; strength is its light at reach_m, colour (3,).

    The cone in which it throws shadows is as wide as the shadow map sees, shadow_px / focal_px.
    """

    at: tuple
    aim: tuple
    strength: float
    reach_m: float
    colour: tuple = (1.0, 1.0, 1.0)
    shadow_px: int = 0
    focal_px: float = 60.0

    def camera(self) -> Camera:
        """The camera that sees what the light sees."""
        centre = (self.shadow_px - 1) / 2
        return Camera(self.shadow_px, self.shadow_px, self.focal_px, self.focal_px, centre, centre)

    def pose(self) -> Pose:
        """Where that camera stands."""
        x, y, z = np.subtract(self.aim, self.at)
        return Pose.looking(self.at, np.arctan2(y, x), np.arctan2(z, np.hypot(x, y)))


@dataclass(frozen=True)
class Hits:
    """What P rays met: solid (P,), point and normal (3, P), u, v and footprints in metres (P,)."""

    solid: np.ndarray
    point: np.ndarray
    normal: np.ndarray
    u: np.ndarray
    v: np.ndarray
    fu: np.ndarray
    fv: np.ndarray


def hits(solids: Solids, solid, distance, rays, origin, focal_px: float) -> Hits:
    """Points, normals and texture coordinates of the first hits of P rays (3, P)."""
    table = (
        np.concatenate(
            [solids.centre, solids.half, np.cos(solids.yaw)[:, None], np.sin(solids.yaw)[:, None]],
            1,
        )
        .astype(np.float32)
        .T
    )
    cx, cy, cz, hx, hy, hz, c, s = table[:, solid]
    point = rays * distance + origin.astype(np.float32)[:, None]
    x, y = point[0] - cx, point[1] - cy
    local = np.stack([c * x + s * y, c * y - s * x, point[2] - cz])
    half = np.stack([hx, hy, hz])
    normal, u, v, along_u, along_v = _faces(solids.shape[solid], local, half, rays, c, s)
    turned = np.stack([c * normal[0] - s * normal[1], s * normal[0] + c * normal[1], normal[2]])
    slant = np.maximum(np.abs((turned * rays).sum(0)), 0.02)
    pixel = distance / np.float32(focal_px)
    fu = pixel * np.sqrt(1 + (along_u / slant) ** 2)
    fv = pixel * np.sqrt(1 + (along_v / slant) ** 2)
    return Hits(solid, point, turned, u, v, fu, fv)


def _faces(shape, local, half, rays, c, s):
    """Local normals, face coordinates and the ray's components along them."""
    ray = np.stack([c * rays[0] + s * rays[1], c * rays[1] - s * rays[0], rays[2]])
    scaled = local / half
    box, tube = shape == BOX, shape == CYLINDER
    face = np.argmax(np.abs(scaled), 0)
    face[tube] = np.where(np.abs(scaled[2, tube]) > 0.999, 2, 0)
    normal = (face == np.arange(3)[:, None]) * np.sign(scaled)
    curved = ~box & ((face != 2) | ~tube)
    bent = scaled[:, curved] / half[:, curved]
    bent[2] *= ~tube[curved]
    normal[:, curved] = bent / np.linalg.norm(bent, axis=0)
    first = np.where(face == 0, local[1] + half[1], local[0] + half[0])
    second = np.where(face == 2, local[1] + half[1], local[2] + half[2])
    along_u = np.where(face == 0, ray[1], ray[0])
    along_v = np.where(face == 2, ray[1], ray[2])
    return normal.astype(np.float32), first, second, along_u, along_v


def albedo(surfaces: list[Surface], hit: Hits) -> np.ndarray:
    """Colour of the surfaces themselves, (3, P) float32."""
    colours = np.array([[*s.a, *s.b, s.scale] for s in surfaces], np.float32).T[:, hit.solid]
    textures = list(dict.fromkeys(s.texture for s in surfaces))
    kinds = np.array([textures.index(s.texture) for s in surfaces], np.uint8)[hit.solid]
    mix, shade = np.zeros_like(hit.u), np.ones_like(hit.u)
    for kind, texture in enumerate(textures):
        at = np.flatnonzero(kinds == kind)
        args = (x[at] for x in (hit.u, hit.v, hit.fu, hit.fv, colours[6], hit.solid))
        mix[at], shade[at] = texture(*args)
    return (colours[:3] + (colours[3:6] - colours[:3]) * mix) * shade


def _lit(light: Light, solids: Solids, hit: Hits) -> np.ndarray:
    """Share of the light that reaches each point, (P,): from a small depth map, five taps."""
    if not light.shadow_px:
        return np.float32(1)
    camera, pose = light.camera(), light.pose()
    first, _ = first_hits(solids, camera, pose, ray_planes(camera, pose))
    u, v, depth, away = _from_light(camera, pose, hit.point)
    slack = np.float32(0.03) + away * away / depth * np.float32(1.5 / camera.fx)
    total = np.zeros_like(away)
    for du, dv in ((-0.7, -0.3), (0.3, -0.7), (0.7, 0.3), (-0.3, 0.7), (0, 0)):
        column = np.clip(u + np.float32(du + 0.5), 0, camera.width - 1).astype(np.int32)
        row = np.clip(v + np.float32(dv + 0.5), 0, camera.height - 1).astype(np.int32)
        total += away < first[row, column] + slack
    outside = (np.abs(u - camera.cx) > camera.cx) | (np.abs(v - camera.cy) > camera.cy)
    return np.where(outside | (depth <= 1e-3), np.float32(1), total / 5)


def _from_light(camera: Camera, pose: Pose, point):
    """Where a light sees points (3, P): columns, rows, depth ahead of it, distance; all (P,)."""
    seen = pose.axes.T.astype(np.float32) @ (point - pose.origin.astype(np.float32)[:, None])
    away = np.sqrt((seen * seen).sum(0))
    depth = np.maximum(seen[2], 1e-3)
    u = camera.fx * seen[0] / depth + camera.cx
    v = camera.fy * seen[1] / depth + camera.cy
    return u, v, depth, away


def lighting(lights: list[Light], ambient: float, solids: Solids, hit: Hits) -> np.ndarray:
    """Light that arrives, (3, P): Lambert, inverse square, shadows, corners a little darker."""
    corner = 1 - 0.35 * np.exp(-np.maximum(hit.point[2], 0) / 0.12) * (1 - np.abs(hit.normal[2]))
    total = np.repeat((ambient * corner * (0.85 + 0.15 * hit.normal[2]))[None], 3, 0)
    for light in lights:
        way = np.array(light.at, np.float32)[:, None] - hit.point
        square = (way * way).sum(0)
        facing = np.maximum((way * hit.normal).sum(0), 0) / np.sqrt(square)
        fall = light.strength / (0.25 + square / np.float32(light.reach_m**2))
        total += np.array(light.colour, np.float32)[:, None] * (
            facing * fall * _lit(light, solids, hit)
        )
    return total
