# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A data set for the tests of the writer: a tilted plane, whose metres are known everywhere."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from training.curate.sample import Sample, Skip

CAMERAS = {
    "pinhole": Camera(64, 48, 60, 63, 30, 25),
    "barrel": Camera(64, 48, 50, 50, 32, 24, "plumb_bob", (-0.2, 0.05, 0, 0, 0)),
}


def plane_z(rays):
    """(N,) z where rays (N, 3) meet a plane that slants to the right and downwards."""
    return 4 / (1 + 0.3 * rays[:, 0] / rays[:, 2] + 0.2 * rays[:, 1] / rays[:, 2])


def plane_of(kind, camera, pixels):
    """(N,) metres of `kind` of the plane at pixels (N, 2) of a camera."""
    rays = camera.rays(pixels)
    z_m = plane_z(rays)
    return z_m if kind == "z" else z_m / rays[:, 2]


@dataclass(frozen=True)
class Toy:
    """The first words of a file name say what an image holds: kind, "points" or "map", camera.

    Beside them a root may hold what a run meets: "slow" (seconds an image), and names of images
    that are to fail in some way.
    """

    root: Path
    split: str = "train"
    as_published: str = ""

    name = "toy"
    licence = "Nobody's: it is made here."
    splits = ("train", "val")
    range_m = (0.5, 20.0)

    def __post_init__(self):
        if not (self.root / self.split).is_dir():
            raise InputError(f"{self.root} has no folder {self.split}")

    def keys(self):
        return sorted(path.name for path in (self.root / self.split).iterdir())

    def read(self, key):
        path = self.root / self.split / key
        kind, form, which, *fault = path.stem.split("-")[0].split("_")
        if (self.root / "slow").exists():
            time.sleep(0.05)
        if "nodepth" in fault:
            raise Skip("no depth file", key)
        if "bug" in fault:
            raise KeyError("calibration")
        if "unusable" in fault:
            raise InputError(f"{path} is of an unknown version")
        camera = CAMERAS[which]
        v, u = np.mgrid[: camera.height, : camera.width].reshape(2, -1)
        rays = camera.rays(np.stack([u, v], 1))
        points = rays * (plane_z(rays) / rays[:, 2])[:, None]
        content = {"points": np.concatenate([points, 3 * points + [0, 0.001, 0]])}
        if form == "map":
            metres = plane_of(kind, camera, np.stack([u, v], 1)).astype(np.float32)
            metres = metres.reshape(camera.height, camera.width)
            metres[0], metres[1] = np.nan, 25.0
            content = {"depth": metres}
        if "empty" in fault:
            content = {"points": np.empty((0, 3))}
        scene = f"scene {int(path.stem.split('-')[1]) % 3}"
        return Sample(
            f"{scene}/{path.stem}", scene, path, camera, **content, kind=kind, time_gap_s=0.01
        )


def write_toys(root, names, split="train"):
    """A root with an image for each name; repeated ones are numbered."""
    folder = Path(root) / split
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        image = np.random.default_rng(number).integers(0, 255, (6, 8, 3), np.uint8)
        path = folder / f"{name}-{number:04d}.jpg"
        Image.fromarray(image).resize((64, 48)).save(path, quality=90)
        if "truncated" in name:
            path.write_bytes(path.read_bytes()[:-200])
        if "small" in name:
            Image.fromarray(image).save(path)
    return Path(root)
