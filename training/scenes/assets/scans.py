# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Scanned things at their true size: a folder each with textured.obj, textured.mtl and an image.

That is how copies of the YCB set have them (16,384 triangles, metres, z up). Knows nothing about
where they are shown.
"""

from pathlib import Path

import numpy as np

from depthlm_ros.errors import InputError
from training.scenes.assets.wavefront import read_model

MESH = "textured.obj"
CATEGORY = "Scans"
LARGEST_TEXTURE_PX = 512  # one image shows all sides of a thing, in pieces
UNREAD = "licence not read, see the folder's own"
Z_UP = "1 0 0 0 0 1 0 -1 0"  # turned into the y up of catalogues


class FolderLibrary:
    """The files of a folder, read as those of a ZipFile are."""

    def __init__(self, folder: Path):
        self.folder = folder

    def namelist(self) -> list[str]:
        """Names below the folder."""
        return [str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file()]

    def read(self, name: str) -> bytes:
        """A whole file."""
        return (self.folder / name).read_bytes()


def scans(folder: Path):
    """(entry as of a catalogue, Model) of each thing in a folder, in the order of their names.

    Raises InputError where there is none, or for a mesh without a triangle.
    """
    meshes = sorted(folder.rglob(MESH))
    if not meshes:
        raise InputError(f"no folder below {folder} holds a {MESH}")
    for mesh in meshes:
        name = mesh.parent.name
        entry = {
            "id": f"{folder.name}/{name}",
            "name": name.replace("_", " "),
            "category": CATEGORY,
            "licence": UNREAD,
            "model": MESH,
            "modelRotation": Z_UP,
        }
        model = read_model(FolderLibrary(mesh.parent), entry, LARGEST_TEXTURE_PX)
        if not len(model.corners):
            raise InputError(f"{mesh} has no triangle")
        size = 100 * np.ptp(model.corners.reshape(-1, 3), 0)
        yield entry | dict(zip(("width", "depth", "height"), size, strict=True)), model
