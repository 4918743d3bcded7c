# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What curation costs: points of lidar a second, and images of 1 MP through the whole writer.

    python -m training.tools.bench_curate

In seconds of one processor core, whatever else the machine does; the files go to a temporary
folder. Decoding JPEG is shown apart, since no way to read a data set is without it.
"""

import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from depthlm_ros.camera import Camera
from training.curate.geometry import is_hidden, nearest_per_pixel, pose, transformed
from training.curate.maker import Maker, Wishes
from training.curate.sample import Sample
from training.curate.stored import compress
from training.run.commands import parser_of

PINHOLE = Camera(1152, 896, 1000, 1000, 575.5, 447.5)
BENT = Camera(1152, 896, 1000, 1000, 575.5, 447.5, "plumb_bob", (-0.25, 0.07, 0.0, 0.0, 0.0))
POINTS, IMAGES = 100_000, 20


@dataclass(frozen=True)
class Made:
    """A data set that costs nothing to read: one image with a cloud, or with a whole map."""

    image: Path
    camera: Camera
    points: np.ndarray | None
    depth: np.ndarray | None
    name: str = "bench"
    licence: str = ""
    splits: tuple[str, ...] = ("all",)
    range_m: tuple[float, float] = (0.1, 100.0)

    def read(self, key: int) -> Sample:
        """The same image under another name."""
        return Sample(f"{key}", "bench", self.image, self.camera, self.points, self.depth)


def points_a_second() -> float:
    """Lidar points that are moved, projected, and tested for what hides them."""
    points, moved = _cloud(1_000_000), pose((0.99, 0.1, 0, 0), (0, 1, 0))
    began = time.process_time()
    seen = transformed(points, moved)
    _, places, nearest = nearest_per_pixel(PINHOLE.pixels(seen), seen[:, 2], 1152, 896)
    is_hidden(nearest, places)
    return len(points) / (time.process_time() - began)


def _cloud(count: int) -> np.ndarray:
    """What lies before the camera."""
    rng = np.random.default_rng(0)
    return rng.uniform((-20, -5, 1), (20, 5, 60), (count, 3))


def _sweep(count: int) -> np.ndarray:
    """All around, as the lidar on a roof sees it: the camera sees an eighth."""
    rng = np.random.default_rng(0)
    turn, tilt = rng.uniform(-np.pi, np.pi, count), rng.uniform(-0.08, 0.43, count)
    rays = np.stack([np.sin(turn), np.tan(tilt), np.cos(turn)], axis=1)
    return rays * rng.uniform(3, 80, (count, 1))


def _slopes() -> np.ndarray:
    """(896, 1152) metres as a depth camera measures them: surfaces that turn, noise of 3 mm."""
    v, u = np.mgrid[:896, :1152]
    noise = np.random.default_rng(0).normal(0, 0.003, u.shape)
    return (5 + 2 * np.sin(u / 200) + np.cos(v / 150) + noise).astype(np.float32)


def milliseconds(data_set: Made, depth: bool, folder: Path) -> Counter[str]:
    """Of an image, by what they are spent on."""
    maker = Maker(data_set, folder, Wishes(depth=depth))
    maker(-1)  # makes the maps of the lens
    spent: Counter[str] = Counter()
    began = time.thread_time()
    for key in range(IMAGES):
        spent.update(maker(key).seconds)
    spent["the rest"] = time.thread_time() - began - sum(spent.values())  # type: ignore[assignment]
    return Counter({what: 1000 * s / IMAGES for what, s in spent.items()})  # type: ignore[misc]


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser_of("training.tools.bench_curate", __doc__).parse_args(arguments)
    cv2.setNumThreads(1)
    print(f"depth images are compressed by {compress.__module__}")
    print(f"points: {points_a_second() / 1e6:.2f} million a second and core")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = cv2.GaussianBlur(
            np.random.default_rng(0).integers(0, 255, (896, 1152, 3), np.uint8), (0, 0), 3
        )
        cv2.imwrite(str(folder / "a.jpg"), image)
        cloud = _sweep(POINTS)
        depth = _slopes()
        for case, camera, points, metres, wants in (
            ("pinhole, cloud", PINHOLE, cloud, None, False),
            ("pinhole, cloud, depth image", PINHOLE, cloud, None, True),
            ("pinhole, map", PINHOLE, None, depth, False),
            ("pinhole, map, depth image", PINHOLE, None, depth, True),
            ("bent lens, cloud", BENT, cloud, None, False),
            ("bent lens, map, depth image", BENT, None, depth, True),
        ):
            data_set = Made(folder / "a.jpg", camera, points, metres)
            spent = milliseconds(data_set, wants, folder)
            rest = sum(spent.values()) - spent["decoding"]
            parts = ", ".join(f"{what} {ms:.1f}" for what, ms in spent.most_common() if ms > 0.05)
            print(
                f"{case}: {2000 / rest:.0f} images a second on two cores, decoding aside (ms of an"
                f" image: {parts})"
            )


if __name__ == "__main__":
    main()
