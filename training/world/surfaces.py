# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Colours of what the rays hit: textures with true periods, lights, shadows, the camera's faults.

Knows solids and surfaces, not what they stand for. Texture coordinates are metres on the face,
and every pattern fades to its mean where a pixel covers more than its period. Textures are
pure functions (u, v, footprint_u, footprint_v, scale, salt) -> (mix, shade): the mix of the two
colours of the surface and a brightness.
"""

from dataclasses import dataclass

import numpy as np

from depthlm_ros.camera import Camera

from .solids import BOX, CYLINDER, Pose, Solids, Surface, first_hits, ray_planes

PLAIN, TILES, BRICKS, PLANKS, STRIPES, CHECKER, MOTTLE, BOOKS, PICTURE, FACADE, ROUGH = range(11)
BRICK_M = (0.225, 0.075)
STOREY_M = 3.0
_SIZE = 512


def _noise_table() -> np.ndarray:
    """A tileable sum of smooth octaves, (512, 512) float32, mean 0, about -1 to 1."""
    rng = np.random.default_rng(7)
    total = np.zeros((_SIZE, _SIZE), np.float32)
    frequency = np.fft.fftfreq(_SIZE)[:, None] ** 2 + np.fft.fftfreq(_SIZE)[None] ** 2
    spectrum = np.fft.fft2(rng.normal(size=(_SIZE, _SIZE))) / (frequency + 1e-5) ** 0.55
    spectrum[0, 0] = 0
    total = np.fft.ifft2(spectrum).real
    return (total / (2 * total.std())).astype(np.float32)


_NOISE = _noise_table()
_HASH = np.random.default_rng(8).random(4096).astype(np.float32)


def _noise(u, v, texel_m, salt):
    """The noise table laid over the face, texel_m metres to a texel."""
    row = (v * (1 / texel_m)).astype(np.int32) + salt * 37
    column = (u * (1 / texel_m)).astype(np.int32) + salt * 101
    return _NOISE[row & (_SIZE - 1), column & (_SIZE - 1)]


def _hash(i, j, salt):
    """A number in [0, 1) for each integer cell (i, j)."""
    return _HASH[(i.astype(np.int32) * 73 + j.astype(np.int32) * 1021 + salt * 7) & 4095]


def _line(x, period, width, footprint):
    """Share of the pixel that a line takes, one line `width` wide around each multiple."""
    away = np.abs(x - np.round(x / period) * period)
    share = np.clip((width / 2 - away) / footprint + 0.5, 0, 1)
    far = np.clip(2 * footprint / period - 0.5, 0, 1)
    narrow = np.minimum(1, width / footprint)
    return share * narrow * (1 - far) + far * (width / period)


def _fade(period, *footprints):
    """1 where a pattern of this period is well resolved, 0 where it is not at all."""
    return np.clip(1.5 - 1.5 * np.maximum(*footprints) / period, 0, 1)


def _grid(u, v, fu, fv, wide, high, gap):
    """Joints of a grid of wide x high cells: the share of the pixel that is joint."""
    across, along = _line(u, wide, gap, fu), _line(v, high, gap, fv)
    return across + along - across * along


def _plain(u, v, fu, fv, scale, salt):
    return np.zeros_like(u), 1 + 0.04 * _noise(u, v, 0.01, salt)


def _tiles(u, v, fu, fv, scale, salt):
    tone = _hash(np.floor(u / scale), np.floor(v / scale), salt) - 0.5
    shade = 1 + 0.12 * tone * _fade(scale, fu, fv) + 0.03 * _noise(u, v, 0.004, salt)
    return _grid(u, v, fu, fv, scale, scale, 0.012), shade


def _bricks(u, v, fu, fv, scale, salt):
    wide, high = BRICK_M
    row = np.floor(v / high)
    u = u + (row % 2) * (wide / 2)
    tone = _hash(np.floor(u / wide), row, salt) - 0.5
    return _grid(u, v, fu, fv, wide, high, 0.01), 1 + 0.3 * tone * _fade(high, fu, fv)


def _planks(u, v, fu, fv, scale, salt):
    row = np.floor(v / scale)
    u = u + _hash(row, row, salt) * 1.2
    tone = _hash(np.floor(u / 1.2), row, salt) - 0.5
    grain = _noise(u * 0.15, v, 0.004, salt) * _fade(0.05, fu, fv)
    shade = 1 + 0.25 * tone * _fade(scale, fu, fv) + 0.07 * grain
    return 0.7 * _grid(u, v, fu, fv, 1.2, scale, 0.005), shade


def _stripes(u, v, fu, fv, scale, salt):
    return _line(u, scale, scale / 2, fu), 1 + 0.03 * _noise(u, v, 0.01, salt)


def _checker(u, v, fu, fv, scale, salt):
    odd = (np.floor(u / scale) + np.floor(v / scale)) % 2
    return 0.5 + (odd - 0.5) * _fade(scale, fu, fv), 1 + 0.03 * _noise(u, v, 0.01, salt)


def _mottle(u, v, fu, fv, scale, salt):
    return np.clip(0.5 + 0.6 * _noise(u, v, scale / 100, salt), 0, 1), np.ones_like(u)


def _books(u, v, fu, fv, scale, salt):
    column = np.floor(u / 0.035)
    tall = v < scale * (0.72 + 0.25 * _hash(column, column, salt))
    seam = 1 - 0.6 * _line(u, 0.035, 0.006, fu)
    mix = 0.5 + (_hash(column, column, salt + 3) - 0.5) * _fade(0.07, fu, fv)
    tone = 0.6 + 0.8 * _hash(column, column, salt + 5)
    return mix, np.where(tall, seam * tone, 0.25)


def _picture(u, v, fu, fv, scale, salt):
    mix = np.clip(0.5 + 0.9 * _noise(u, v, 0.006, salt), 0, 1)
    return mix, 0.9 + 0.5 * _noise(v, u, 0.004, salt + 1) + 0.2 * (v > 0.3)


def _facade(u, v, fu, fv, scale, salt):
    """Bricks or plaster with windows 1.1 m wide, 0.9 to 2.3 m above each storey's floor."""
    up = v - np.floor(v / STOREY_M) * STOREY_M
    side = np.abs(u - (np.floor(u / scale) + 0.5) * scale)
    inside = np.minimum(0.55 - side, np.minimum(up - 0.9, 2.3 - up))
    step = np.maximum(fu, fv)
    glass = np.clip(inside / step + 0.5, 0, 1)
    frame = np.clip((0.08 - np.abs(inside)) / step + 0.5, 0, 1)
    bars = np.maximum(_line(side, 10.0, 0.06, fu), _line(up - 1.6, 100.0, 0.05, fv))
    joint, tone = _bricks(u, v, fu, fv, scale, salt)
    wall = np.where(salt % 2 == 0, tone * (1 + 0.35 * joint), 1 + 0.05 * _noise(u, v, 0.02, salt))
    frame = np.maximum(frame, glass * bars)
    return glass * (1 - frame), wall * (1 - frame) + 1.5 * frame


def _rough(u, v, fu, fv, scale, salt):
    fine = _noise(u, v, 0.004, salt) * _fade(0.15, fu, fv)
    return np.zeros_like(u), 1 + 0.15 * fine + 0.1 * _noise(u, v, 0.03, salt)


_TEXTURES = {PLAIN: _plain, TILES: _tiles, BRICKS: _bricks, PLANKS: _planks, STRIPES: _stripes,
             CHECKER: _checker, MOTTLE: _mottle, BOOKS: _books, PICTURE: _picture,
             FACADE: _facade, ROUGH: _rough}


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
    table = np.concatenate([solids.centre, solids.half, np.cos(solids.yaw)[:, None],
                            np.sin(solids.yaw)[:, None]], 1).astype(np.float32).T
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
    kinds = np.array([s.texture for s in surfaces], np.uint8)[hit.solid]
    mix, shade = np.zeros_like(hit.u), np.ones_like(hit.u)
    for kind in np.unique(kinds):
        at = np.flatnonzero(kinds == kind)
        args = (x[at] for x in (hit.u, hit.v, hit.fu, hit.fv, colours[6], hit.solid))
        mix[at], shade[at] = _TEXTURES[kind](*args)
    return (colours[:3] + (colours[3:6] - colours[:3]) * mix) * shade


def _lit(light: Light, solids: Solids, hit: Hits) -> np.ndarray:
    """Share of the light that reaches each point, (P,), from a small depth map."""
    if not light.shadow_px:
        return np.float32(1)
    camera, pose = light.camera(), light.pose()
    first, _ = first_hits(solids, camera, pose, ray_planes(camera, pose))
    seen = pose.axes.T.astype(np.float32) @ (hit.point - pose.origin.astype(np.float32)[:, None])
    away = np.sqrt((seen * seen).sum(0))
    depth = np.maximum(seen[2], 1e-3)
    u = camera.fx * seen[0] / depth + camera.cx
    v = camera.fy * seen[1] / depth + camera.cy
    slack = np.float32(0.03) + away * away / depth * np.float32(1.5 / camera.fx)
    total = np.zeros_like(away)
    for du, dv in ((-0.7, -0.3), (0.3, -0.7), (0.7, 0.3), (-0.3, 0.7), (0, 0)):
        column = np.clip(u + np.float32(du + 0.5), 0, camera.width - 1).astype(np.int32)
        row = np.clip(v + np.float32(dv + 0.5), 0, camera.height - 1).astype(np.int32)
        total += away < first[row, column] + slack
    outside = (np.abs(u - camera.cx) > camera.cx) | (np.abs(v - camera.cy) > camera.cy)
    return np.where(outside | (seen[2] <= 0), np.float32(1), total / 5)


def lighting(lights: list[Light], ambient: float, solids: Solids, hit: Hits) -> np.ndarray:
    """Light that arrives, (3, P): Lambert, inverse square, shadows, corners a little darker."""
    corner = 1 - 0.35 * np.exp(-np.maximum(hit.point[2], 0) / 0.12) * (1 - np.abs(hit.normal[2]))
    total = np.repeat((ambient * corner * (0.85 + 0.15 * hit.normal[2]))[None], 3, 0)
    for light in lights:
        way = np.array(light.at, np.float32)[:, None] - hit.point
        square = (way * way).sum(0)
        facing = np.maximum((way * hit.normal).sum(0), 0) / np.sqrt(square)
        fall = light.strength / (0.25 + square / np.float32(light.reach_m ** 2))
        total += np.array(light.colour, np.float32)[:, None] * (
            facing * fall * _lit(light, solids, hit))
    return total
