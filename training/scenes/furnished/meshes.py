# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Triangles: pieces that are moved, boxes and panels, and the scene that rays are cast into.

World frame: x, y along the ground, z up, metres. A material is a colour, perhaps a texture.
Knows nothing about light.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from depthlm_ros.errors import MissingDependency
from training.scenes.furnished.texels import Texels


class Material(NamedTuple):
    """Linear colour, texture number (-1: none), own light."""

    colour: tuple
    texture: int = -1
    glow: float = 0.0


@dataclass(frozen=True)
class Piece:
    """F triangles: corners (F, 3, 3), uv (F, 3, 2), normals (F, 3, 3) int8, material (F,).

    tint: what the colours are multiplied by, (3,).
    """

    corners: np.ndarray
    uv: np.ndarray
    normals: np.ndarray
    material: np.ndarray
    tint: tuple = (1.0, 1.0, 1.0)

    def moved(self, x=0.0, y=0.0, z=0.0, yaw=0.0) -> "Piece":
        """Turned about z through the origin, then shifted."""
        c, s = np.cos(yaw), np.sin(yaw)
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)
        corners = self.corners @ turn + np.array([x, y, z], np.float32)
        normals = np.round(self.normals @ turn).astype(np.int8) if yaw else self.normals
        return replace(self, corners=corners, normals=normals)

    def tipped(self) -> "Piece":
        """Fallen on its back: what was up is away; it lies on z = 0."""
        x, y, z = np.moveaxis(self.corners, 2, 0)
        a, b, c = np.moveaxis(self.normals, 2, 0)
        corners = np.stack([x, -z, y - y.min()], 2)
        return replace(self, corners=corners, normals=np.stack([a, -c, b], 2))

    def scaled(self, factors) -> "Piece":
        """Larger or smaller along x, y and z."""
        return replace(self, corners=self.corners * np.asarray(factors, np.float32))

    def extent(self):
        """Lowest and highest corner, (3,) each."""
        return self.corners.min((0, 1)), self.corners.max((0, 1))


_FACES = np.array(
    [[0, 1, 5, 4], [1, 3, 7, 5], [3, 2, 6, 7], [2, 0, 4, 6], [4, 5, 7, 6], [2, 3, 1, 0]]
)
_CORNERS = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], np.float32)


def box(x0, y0, z0, x1, y1, z1, material: int, metres=1.0) -> Piece:
    """A box between two corners; a texture on it shows `metres` a repeat."""
    return boxes([[x0, y0, z0]], [[x1, y1, z1]], [material], metres)


def boxes(low, high, material, metres=1.0) -> Piece:
    """B boxes between low (B, 3) and high (B, 3) with their materials (B,), as one piece."""
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    points = low[:, None] + _CORNERS * (high - low)[:, None]
    faces = points[:, _FACES]
    axes = np.array([[0, 2], [1, 2], [0, 2], [1, 2], [0, 1], [0, 1]])
    uv = np.take_along_axis(faces, np.broadcast_to(axes[:, None], (len(low), 6, 4, 2)), 3) / metres
    pick = np.array([[0, 1, 2], [0, 2, 3]])
    piece = _flat(faces[:, :, pick].reshape(-1, 3, 3), uv[:, :, pick].reshape(-1, 3, 2), 0)
    piece.material[:] = np.repeat(material, 12)
    return piece


def panel(wide, high, material: int, y=0.01) -> Piece:
    """An upright rectangle at distance y before the wall y = 0 that shows a texture once."""
    x = wide / 2
    points = np.array([[x, y, 0], [-x, y, 0], [-x, y, high], [x, y, high]], np.float32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    pick = np.array([[0, 1, 2], [0, 2, 3]])
    return _flat(points[pick], uv[pick], material)


def tube(x, y, z0, z1, radius, material: int, sides=14, top=None) -> Piece:
    """An upright cylinder, or a cone's stump with another radius on top."""
    turn = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.stack([np.cos(turn), np.sin(turn)], 1)
    upper = radius if top is None else top
    low = np.concatenate([ring * radius + (x, y), np.full((sides + 1, 1), z0)], 1)
    high = np.concatenate([ring * upper + (x, y), np.full((sides + 1, 1), z1)], 1)
    middle = np.broadcast_to([x, y, z1], (sides, 3))
    sets = [
        np.stack([low[:-1], low[1:], high[1:]], 1),
        np.stack([low[:-1], high[1:], high[:-1]], 1),
        np.stack([high[:-1], high[1:], middle], 1),
    ]
    corners = np.concatenate(sets)
    piece = _flat(corners, np.zeros((len(corners), 3, 2)), material)
    out = corners - (x, y, 0)
    out[..., 2] = 0
    length = np.maximum(np.linalg.norm(out, axis=-1, keepdims=True), 1e-6)
    piece.normals[: 2 * sides] = np.round(127 * out / length)[: 2 * sides]
    return piece


def _flat(corners, uv, material):
    return Piece(
        corners.astype(np.float32),
        uv.astype(np.float32),
        np.zeros(corners.shape, np.int8),
        np.full(len(corners), material, np.int32),
    )


class Hits(NamedTuple):
    """First hits of P rays: face (P,) or -1, distance (P,), barycentric u, v (P,).

    across: the face's normal times twice its area, to either side, (P, 3).
    """

    face: np.ndarray
    distance: np.ndarray
    u: np.ndarray
    v: np.ndarray
    across: np.ndarray

    def of(self, rows) -> "Hits":
        """Some of the hits."""
        return Hits(*(x[rows] for x in self))


class Scene:
    """All triangles of a place, ready for rays."""

    def __init__(self, pieces: list[Piece], materials: list[Material], texels: list[Texels]):
        """Texture numbers count through the texels of all the given sets."""
        self.uv = np.concatenate([p.uv for p in pieces])
        self.normals = np.concatenate([p.normals for p in pieces])
        self.material = np.concatenate([p.material for p in pieces])
        self.piece = np.repeat(np.arange(len(pieces)), [len(p.material) for p in pieces])
        self.tint = np.array([p.tint for p in pieces], np.float32)
        self.colour, self.texture, self.glow = (
            np.array([getattr(m, name) for m in materials], kind)
            for name, kind in (("colour", np.float32), ("texture", np.int32), ("glow", np.float32))
        )
        self.texels = texels
        self._tracer = _tracer(np.concatenate([p.corners for p in pieces]))

    def cast(self, origins, rays) -> Hits:
        """First hits of rays (P, 3) from origins (P, 3)."""
        found = self._tracer.run(
            np.ascontiguousarray(origins, np.float32),
            np.ascontiguousarray(rays, np.float32),
            output=True,
        )
        return Hits(*(found[name] for name in ("primID", "tfar", "u", "v", "Ng")))

    def blocked(self, origins, rays, reach) -> np.ndarray:
        """Whether anything lies on the rays nearer than reach (P,)."""
        return (
            self._tracer.run(
                np.ascontiguousarray(origins, np.float32),
                np.ascontiguousarray(rays, np.float32),
                dists=np.ascontiguousarray(reach, np.float32),
                query="OCCLUDED",
            )
            >= 0
        )

    def normal(self, hits: Hits, rays) -> np.ndarray:
        """Normals (P, 3), interpolated where the model has them, that face the rays' origin."""
        flat = facing(hits, rays)
        given = self.normals[hits.face].astype(np.float32)
        bent = (
            given[:, 0] * (1 - hits.u - hits.v)[:, None]
            + given[:, 1] * hits.u[:, None]
            + given[:, 2] * hits.v[:, None]
        )
        length = np.sqrt(dots(bent, bent))
        bent *= (np.sign(dots(bent, flat)) / np.maximum(length, 1))[:, None]
        wrong = (length < 60) | (dots(bent, rays) > -0.02)
        bent[wrong] = flat[wrong]
        return bent

    def shine(self, hits: Hits) -> np.ndarray:
        """Own light of what was hit, (P,)."""
        return np.where(hits.face >= 0, self.glow[self.material[hits.face]], np.float32(0))

    def albedo(self, hits: Hits, footprint) -> np.ndarray:
        """Linear colour and opacity (P, 4); footprint: metres that a pixel covers there (P,)."""
        material, colour = self.material[hits.face], np.ones((len(hits.face), 4), np.float32)
        colour[:, :3] = self.colour[material]
        texture, base = self.texture[material], 0
        for texels in self.texels:
            at = np.flatnonzero((texture >= base) & (texture < base + len(texels.first)))
            if len(at):
                colour[at] = self._look(texels, hits.of(at), texture[at] - base, footprint[at])
            base += len(texels.first)
        colour[:, :3] *= self.tint[self.piece[hits.face]]
        return colour

    def _look(self, texels, hits, texture, footprint):
        """The texels of one set where rays hit; footprints become shares of the texture."""
        uv = self.uv[hits.face]
        one, other = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
        place = uv[:, 0] + one * hits.u[:, None] + other * hits.v[:, None]
        doubled = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
        metres = np.sqrt(np.sqrt(dots(hits.across, hits.across)) / np.maximum(doubled, 1e-9))
        return texels.look(texture, place[:, 0], place[:, 1], footprint / np.maximum(metres, 1e-6))


def _tracer(corners):
    """What answers rays for triangles (F, 3, 3); raises MissingDependency without embreex."""
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError as error:
        raise MissingDependency(
            "the furnished world casts its rays with embreex:"
            " pip install embreex (wheels for x86-64)"
        ) from error
    tracer = EmbreeScene()
    TriangleMesh(tracer, corners)
    return tracer


def dots(a, b) -> np.ndarray:
    """Products of vectors (P, 3) with vectors (P, 3) or (3,), as (P,)."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def facing(hits: Hits, rays) -> np.ndarray:
    """The faces' own normals (P, 3), turned towards where the rays come from."""
    length = np.sqrt(dots(hits.across, hits.across))
    return hits.across * (-np.sign(dots(hits.across, rays)) / np.maximum(length, 1e-12))[:, None]
