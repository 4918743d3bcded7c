# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Shot: an image with the distance of every pixel; and files that hold many of them.

A shard is an uncompressed npz: images and distances (millimetres, 0 unknown; uint16, or uint32
beyond 65 m) end to end, so that reading maps the file and copies one image.
"""

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.data.whole import becoming
from depthlm_ros.errors import InputError
from depthlm_ros.view import Frame


@dataclass(frozen=True)
class Shot:
    """An image and the true distance of each pixel.

    distance_m: (H, W) float32 metres along the ray, NaN where there is only sky.
    """

    frame: Frame
    distance_m: np.ndarray
    seed: int
    kind: str

    def mirrored(self) -> "Shot":
        """Left and right exchanged: the image, its distances and the camera's cx."""
        camera = self.frame.camera
        turned = replace(camera, cx=camera.width - 1 - camera.cx)
        image = np.ascontiguousarray(self.frame.image[:, ::-1])
        return replace(self, frame=Frame(image, turned), distance_m=self.distance_m[:, ::-1])


def write_shard(path: Path, shots: list[Shot]) -> None:
    """Write the shots under another name first, so that no half file is seen."""
    cameras = [s.frame.camera for s in shots]
    millimetres = [millimetres_of(s.distance_m, f"{s.kind} {s.seed}").ravel() for s in shots]
    with becoming(path) as part, open(part, "wb") as file:
        np.savez(
            file,
            image=np.concatenate([s.frame.image.ravel() for s in shots]),
            distance_mm=np.concatenate(millimetres),
            start=np.cumsum([0, *(len(d) for d in millimetres)]),
            size=np.array([(c.width, c.height) for c in cameras]),
            lens=np.array([(c.fx, c.fy, c.cx, c.cy) for c in cameras]),
            seed=np.array([s.seed for s in shots]),
            kind=np.array([s.kind for s in shots]),
        )


def millimetres_of(distance_m: np.ndarray, name: str, widest: type = np.uint32) -> np.ndarray:
    """Whole millimetres, 0 where unknown (NaN): uint16, or uint32 where that does not hold them.

    InputError for what is no distance, or beyond `widest`: nothing wraps around.
    """
    known = ~np.isnan(distance_m)
    if known.any():
        least, most = np.min(distance_m[known]), np.max(distance_m[known])
        if not least > 0 or most * 1000 > np.iinfo(widest).max:
            raise InputError(
                f"{name}: distances are {least:g} to {most:g} m; allowed: above 0, at most"
                f" {np.iinfo(widest).max / 1000:g} m, and NaN for unknown"
            )
    whole = np.round(np.nan_to_num(distance_m) * 1000)
    whole = np.where(known, np.maximum(whole, 1), 0)  # 0 would say unknown
    return whole.astype(np.uint16 if whole.max(initial=0) < 2**16 else np.uint32)


def _mapped(path: Path, name: str) -> np.ndarray:
    """One array of an uncompressed npz as a memory map; numpy itself maps plain npy only."""
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        file.seek(archive.getinfo(f"{name}.npy").header_offset)
        header = file.read(30)
        lengths = [int.from_bytes(header[i : i + 2], "little") for i in (26, 28)]
        file.seek(sum(lengths), os.SEEK_CUR)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return np.memmap(path, dtype, "r", file.tell(), shape)


class Shard(Sequence):
    """The shots of one file; each is copied from the map when it is asked for. Raises InputError
    for a file that is none, or not whole."""

    def __init__(self, path: Path):
        try:
            with np.load(path) as table:
                names = ("start", "size", "lens", "seed", "kind")
                self._table = {name: table[name] for name in names}
            self._image = _mapped(path, "image")
            self._distance = _mapped(path, "distance_mm")
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise InputError(
                f"{path} is no whole shard ({error}): delete it and render it again"
            ) from error

    def __len__(self):
        return len(self._table["seed"])

    def __getitem__(self, i) -> Shot:
        if not 0 <= i < len(self):
            raise IndexError(f"the shard holds {len(self)} images, asked for number {i}")
        start, end = (int(x) for x in self._table["start"][i : i + 2])
        width, height = (int(x) for x in self._table["size"][i])
        camera = Camera(width, height, *(float(x) for x in self._table["lens"][i]))
        image = np.array(self._image[3 * start : 3 * end]).reshape(height, width, 3)
        stored = self._distance[start:end].reshape(height, width)
        distance = stored.astype(np.float32) * np.float32(0.001)
        distance[distance == 0] = np.nan
        seed, kind = int(self._table["seed"][i]), str(self._table["kind"][i])
        return Shot(Frame(image, camera), distance, seed, kind)


class Shards(Sequence):
    """The shots of all shards of a folder, in the order of the file names. Raises InputError where
    there is none."""

    def __init__(self, folder):
        paths = sorted(Path(folder).glob("*.npz"))
        if not paths:
            raise InputError(
                f"{folder} holds no .npz shard; make some with"
                " python -m training.synthetic shards --out DIR --count N"
            )
        self._shards = [Shard(path) for path in paths]
        self._ends = np.cumsum([len(s) for s in self._shards])

    def __len__(self):
        return int(self._ends[-1])

    def __getitem__(self, i) -> Shot:
        if not 0 <= i < len(self):
            raise IndexError(f"{len(self)} images, asked for number {i}")
        which = int(np.searchsorted(self._ends, i, side="right"))
        first = int(self._ends[which - 1]) if which else 0
        return self._shards[which][i - first]
