# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Wavefront OBJ meshes and MTL materials, scaled to the size that a catalogue gives.

Turned into this project's frame: x to the side, y away from the back, z up, the origin at the
middle of the back's foot; metres. Knows nothing about which models are wanted.
"""

import posixpath
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

MAX_TEXTURE_PX = 192
UPRIGHT = "1 0 0 0 1 0 0 0 1"
SEE_THROUGH = 0.35  # opacity below which a surface is left out
SEE_THROUGH_PANES = 0.55


@dataclass
class Model:
    """F triangles: corners (F, 3, 3) m, uv (F, 3, 2), normals (F, 3, 3), material (F,) int.

    materials: (linear colour (3,), texture (H, W, 4) uint8 or None) each.
    """

    corners: np.ndarray
    uv: np.ndarray
    normals: np.ndarray
    material: np.ndarray
    materials: list


class Material(NamedTuple):
    """Opacity 0..1, linear colour (3,), texture (H, W, 4) uint8 or None."""

    opacity: float = 1.0
    colour: np.ndarray = np.full(3, 0.5)
    texture: np.ndarray | None = None


def read_model(library, entry: dict, largest_texture_px=MAX_TEXTURE_PX) -> Model:
    """The model of a catalogue entry; surfaces that one sees through are left out."""
    path = entry["model"].lstrip("/")
    mesh = Mesh.read(library.read(path).decode("latin1"))
    folder = posixpath.dirname(path)
    table = {}
    for file in mesh.files:
        table |= read_materials(library, posixpath.join(folder, file), largest_texture_px)
    materials = [table.get(name, Material()) for name in mesh.names]
    least = SEE_THROUGH_PANES if entry["category"].startswith("Doors") else SEE_THROUGH
    whole = _turned(mesh, entry)
    solid = np.array([m.opacity >= least for m in materials])[mesh.faces[:, 9]]
    return Model(*(x[solid] for x in whole), mesh.faces[solid, 9], [m[1:] for m in materials])


def _turned(mesh, entry):
    """Corners, uv and normals with the catalogue's rotation and size, in our frame."""
    points, uv, normals = mesh.faces[:, :3], mesh.faces[:, 3:6], mesh.faces[:, 6:9]
    turn = np.array(entry.get("modelRotation", UPRIGHT).split(), float).reshape(3, 3)
    corners = _fitted(mesh.points[points] @ turn.T, entry)
    bent = np.where(normals[..., None] >= 0, mesh.normals[normals] @ turn.T, 0)
    flat = np.where(uv[..., None] >= 0, mesh.uv[uv], 0)
    flat = flat - np.floor(flat.min(1, keepdims=True)) if len(flat) else flat
    return corners, flat, bent[..., [0, 2, 1]] * (-1, 1, 1)


def _fitted(corners, entry):
    """Corners scaled to the catalogue's centimetres, or in their own metres where it tells none:
    x mirrored, y from the back, z up."""
    if not len(corners):
        return corners
    low, high = corners.min((0, 1)), corners.max((0, 1))
    told = [float(entry[k]) / 100 for k in ("width", "height", "depth") if k in entry]
    size = np.array(told) if told else high - low
    x, up, away = np.moveaxis((corners - low) / np.maximum(high - low, 1e-6) * size, 2, 0)
    return np.stack([size[0] / 2 - x, away, up], 2)


@dataclass
class Mesh:
    """What an OBJ file says: points (V, 3), uv (T, 2), normals (N, 3), names of materials.

    faces (F, 10): three indices of points, of uv, of normals (-1: none), one of the material.
    """

    points: list = field(default_factory=list)
    uv: list = field(default_factory=list)
    normals: list = field(default_factory=list)
    faces: list = field(default_factory=list)
    names: list = field(default_factory=lambda: [""])
    files: list = field(default_factory=list)

    @classmethod
    def read(cls, text: str) -> "Mesh":
        """Parse an OBJ text; polygons become fans of triangles, lines and groups are ignored."""
        mesh, current = cls(), 0
        rows = {"v": mesh.points, "vt": mesh.uv, "vn": mesh.normals}
        for line in text.splitlines():
            word, _, rest = line.strip().partition(" ")
            if word in rows:
                rows[word].append(rest.split()[: 2 if word == "vt" else 3])
            elif word == "f":
                mesh._fan(rest, current)
            elif word == "usemtl":
                current = mesh._number(rest.strip())
            elif word == "mtllib":
                mesh.files.append(rest.strip())
        return mesh._as_arrays()

    def _number(self, name):
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def _fan(self, text, material):
        counts = len(self.points), len(self.uv), len(self.normals)
        ring = [_corner(corner, counts) for corner in text.split()]
        for b, c in pairwise(ring[1:]):
            (p, q, r), (s, t, u), (x, y, z) = zip(ring[0], b, c, strict=True)
            self.faces.append((p, q, r, s, t, u, x, y, z, material))

    def _as_arrays(self):
        for name, width in (("points", 3), ("uv", 2), ("normals", 3)):
            rows = getattr(self, name) or [[0] * width]
            setattr(self, name, np.array(rows, float))
        self.faces = np.array(self.faces, int).reshape(-1, 10)
        return self


def _corner(text, counts):
    """Indices of a corner `v/vt/vn`, from 0; negative ones count from the end; -1: none."""
    parts = (text + "//").split("/")[:3]
    numbers = [int(p) if p else 0 for p in parts]
    return [n - 1 if n >= 0 else n + count for n, count in zip(numbers, counts, strict=True)]


def read_materials(library, path, largest_texture_px=MAX_TEXTURE_PX) -> dict:
    """name -> Material of an MTL file of the library; none where the file is missing."""
    table, name = {}, ""
    lines = library.read(path).decode("latin1").splitlines() if path in library.namelist() else []
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word == "newmtl":
            name = rest.strip()
            table[name] = Material()
        elif name and word == "d":
            table[name] = table[name]._replace(opacity=float(rest.split()[-1]))
        elif name and word == "Kd":
            colour = np.array(rest.split()[:3], float).clip(0, 1) ** 2.2
            table[name] = table[name]._replace(colour=colour)
        elif name and word == "map_Kd":
            file = posixpath.join(posixpath.dirname(path), rest.split()[-1].replace("\\", "/"))
            texture = read_texture(library, posixpath.normpath(file), largest_texture_px)
            table[name] = table[name]._replace(texture=texture)
    return table


def read_texture(library, path, largest_px=MAX_TEXTURE_PX):
    """An image of a library as (H, W, 4) uint8 RGBA, largest_px wide at most, or None."""
    if path not in library.namelist():
        return None
    raw = np.frombuffer(library.read(path), np.uint8)
    image = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
    if image is None:
        return None
    if image.dtype != np.uint8:
        image = (image >> 8).astype(np.uint8)
    code = {1: cv2.COLOR_GRAY2RGBA, 3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}
    image = cv2.cvtColor(image, code[1 if image.ndim == 2 else image.shape[2]])
    scale = min(1, largest_px / max(image.shape[:2]))
    size = [max(1, round(n * scale)) for n in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
