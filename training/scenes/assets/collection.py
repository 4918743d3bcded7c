# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Collection: models and images gathered for one compact file set.

models.json tells what there is (names, sizes, licences, makers); models.npz holds the arrays:
corners (F, 3, 3) float32 m, uv (F, 3, 2) float16, normals (F, 3, 3) int8 (127 is one),
material (F,), colours (M, 3) linear, texture_of (M,), texels (N, 4) uint8, texture_size (T, 2).
"""

import hashlib
from collections import defaultdict
from pathlib import Path

import numpy as np

from depthlm_ros.data.whole import becoming
from depthlm_ros.errors import InputError
from training.run.run_folder import write_json
from training.scenes.assets.wavefront import Model

MOST_REPEATS = 1000  # of a texture over one triangle; what float16 can tell apart


class Collection:
    """Gathers; equal textures are kept once."""

    def __init__(self):
        self.arrays = defaultdict(list)
        self.models, self.images, self.colours, self.texture_of = [], [], [], []
        self.textures, self._known, self._faces = [], {}, 0

    def add_texture(self, image) -> int:
        """Its number; equal images have one number."""
        key = hashlib.sha1(image.tobytes() + str(image.shape).encode()).hexdigest()
        if key not in self._known:
            self._known[key] = len(self.textures)
            self.textures.append(image)
        return self._known[key]

    def add_model(self, library, entry, model: Model):
        """Append a model of a library; its materials get numbers of their own."""
        first = len(self.colours)
        for colour, image in model.materials:
            self.colours.append(colour)
            self.texture_of.append(-1 if image is None else self.add_texture(image))
        self.arrays["corners"].append(model.corners.astype(np.float32))
        self.arrays["uv"].append(model.uv.clip(0, MOST_REPEATS).astype(np.float16))
        bent = (model.normals * 127).round().clip(-127, 127)
        self.arrays["normals"].append(bent.astype(np.int8))
        self.arrays["material"].append((model.material + first).astype(np.int32))
        self.models.append(
            _row(library, entry)
            | {
                "faces": [self._faces, self._faces + len(model.material)],
                "textures": sorted({t for t in self.texture_of[first:] if t >= 0}),
            }
        )
        self._faces += len(model.material)

    def add_image(self, library, found):
        """Append an image of a wall, a floor or the like."""
        number = self.add_texture(found.image)
        self.images.append(
            {
                "name": found.name,
                "role": found.role,
                "metres": found.metres,
                "licence": found.licence,
                "library": library,
                "texture": number,
            }
        )

    def creators(self) -> list[str]:
        """Everybody whose models are used."""
        return sorted({m["creator"] for m in self.models if m["creator"]})

    def write(self, out: Path):
        """Write both files; raises InputError where there is no model."""
        if not self.models:
            raise InputError("no model was found; give --from the package sweethome3d-furniture")
        out.mkdir(parents=True, exist_ok=True)
        sizes = np.array([t.shape[:2] for t in self.textures], int).reshape(-1, 2)
        texels = np.concatenate(
            [np.zeros((0, 4), np.uint8), *(t.reshape(-1, 4) for t in self.textures)]
        )
        flat = {k: np.concatenate(v) for k, v in self.arrays.items()}
        with becoming(out / "models.npz") as part, open(part, "wb") as file:
            np.savez_compressed(
                file,
                **flat,
                texture_size=sizes,
                texels=texels,
                colours=np.array(self.colours, np.float32),
                texture_of=np.array(self.texture_of, np.int32),
            )
        write_json(out / "models.json", {"models": self.models, "images": self.images})


def _row(library, entry) -> dict:
    """What models.json says of a model; metres."""
    metres = {k: float(entry[k]) / 100 for k in ("width", "depth", "height")}
    return {
        "id": entry["id"],
        "name": entry["name"],
        "category": entry["category"],
        "size": list(metres.values()),
        "elevation": float(entry.get("elevation", 0)) / 100,
        "top": float(entry.get("dropOnTopElevation", entry["height"])) / 100,
        "movable": entry.get("movable") != "false",
        "creator": entry.get("creator", ""),
        "licence": entry["licence"],
        "library": library,
    }
