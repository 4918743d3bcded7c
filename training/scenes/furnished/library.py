# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The models and images that training.scenes.assets built, by role and by split.

Models that share a texture stay together: an eighth of the groups of each role is `unseen`, and
the other splits never use it. Knows nothing about rooms.
"""

import json
import zlib
from functools import cache
from pathlib import Path

import numpy as np

from depthlm_ros.errors import InputError
from training.scenes.furnished.meshes import Material, Piece
from training.scenes.furnished.roles import ROLES, is_small
from training.scenes.furnished.texels import Texels

UNSEEN = 1 / 8
UNSEEN_IMAGES = 4  # one of so many


class Library:
    """Models by role, of the unseen part of the assets or of the rest.

    taller: rooms built with it are often higher than is usual today, as old houses are.
    """

    def __init__(self, folder, unseen: bool, taller=False):
        self.taller = taller
        folder = Path(folder)
        table = table_of(folder)
        arrays, self.texels, materials = _arrays(folder)
        self._arrays = arrays
        self.materials = materials
        self.models = table["models"]
        self.faces = [end - start for start, end in (m["faces"] for m in self.models)]
        held_out = _held_out(self.models)
        chosen = [i for i in range(len(self.models)) if held_out[i] == unseen]
        self.roles = {
            role.name: [i for i in chosen if role.fits(self.models[i])] for role in ROLES
        }
        self.roles["small"] = [i for i in chosen if is_small(self.models[i])]
        self.images = {}
        images = "images" if "images" in table else "pictures"  # of earlier versions
        for entry in table[images]:
            if (zlib.crc32(entry["name"].encode()) % UNSEEN_IMAGES == 0) == unseen:
                self.images.setdefault(entry["role"], []).append(entry)

    def has(self, role) -> bool:
        """Whether this part of the assets has any such model."""
        return bool(self.roles[role])

    def entry(self, rng, role, most_faces=10_000) -> int:
        """The number of some model of this role, of the coarser ones where any is coarse.

        Raises ValueError where there is none.
        """
        models = self.roles[role]
        coarse = [i for i in models if self.faces[i] <= most_faces]
        return int(rng.choice(coarse or models))

    def piece(self, number: int) -> Piece:
        """A model's triangles at its own size, back at y = 0, standing on z = 0."""
        start, end = self.models[number]["faces"]
        cut = {k: self._arrays[k][start:end] for k in ("corners", "uv", "normals", "material")}
        return Piece(**cut | {"uv": cut["uv"].astype(np.float32)})


def table_of(folder) -> dict:
    """What models.json tells of a folder of assets; InputError where there is none."""
    try:
        return json.loads(Path(folder, "models.json").read_text())
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} holds no models.json; build the assets with"
            " python -m training.scenes.assets --from sweethome3d-furniture_*.deb --out DIR"
        ) from error


@cache
def library(folder: str, unseen: bool, taller=False) -> Library:
    """The library of a folder, read once."""
    return Library(folder, unseen, taller)


@cache
def _arrays(folder):
    with np.load(folder / "models.npz") as file:
        arrays = {k: file[k] for k in file.files}
    arrays["uv"] = np.nan_to_num(arrays["uv"], posinf=1000).clip(0, 1000)
    ends = np.cumsum(arrays["texture_size"].prod(1))
    images = [
        texels.reshape(h, w, 4)
        for texels, (h, w) in zip(
            np.split(arrays["texels"], ends[:-1]), arrays["texture_size"], strict=True
        )
    ]
    materials = [
        Material(tuple(c), int(t))
        for c, t in zip(arrays["colours"], arrays["texture_of"], strict=True)
    ]
    return arrays, Texels.of(images), materials


def _held_out(models) -> list[bool]:
    """Whether each model is unseen: an eighth of each role's groups, at least one of three."""
    groups = _groups(models)
    by_role = {}
    for model, group in zip(models, groups, strict=True):
        first = next((role.name for role in ROLES if role.fits(model)), "")
        if group not in set().union(*by_role.values(), set()):
            by_role.setdefault(first, set()).add(group)
    unseen = set()
    for members in by_role.values():
        ranked = sorted(members, key=lambda group: zlib.crc32(group.encode()))
        unseen.update(ranked[: max(round(len(ranked) * UNSEEN), len(ranked) >= 3)])
    return [group in unseen for group in groups]


def _groups(models) -> list[str]:
    """A name for each model's group: models that share a texture have the same."""
    leader = {}

    def find(key):
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    for model in models:
        for texture in model["textures"]:
            first, second = sorted((find(model["id"]), find(f"texture {texture}")))
            leader[second] = first
    return [find(m["id"]) for m in models]
