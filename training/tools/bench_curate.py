# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What curation costs: points of lidar a second, and images of 1 MP through the whole writer.

    python -m training.tools.bench_curate

In seconds that processors are busy, in the kernel too: of the two processes that make images from
their second image on, and of the one that writes records from its start. Work of others on the
machine makes these seconds longer, never shorter, so each case is run --rounds times, in turns,
and its best round counts. The files go to a temporary folder. Decoding JPEG is shown apart, since
no way to read a data set is without it; what is told as "the rest" is in the rate: files that are
opened, records, what goes between the processes.
"""

import os
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.cli.values import count
from training.curate import stored
from training.curate.geometry import is_hidden, nearest_per_pixel, pose, transformed
from training.curate.maker import Wishes
from training.curate.sample import Sample
from training.curate.writer import curate
from training.run.commands import parser_of

PINHOLE = Camera(1152, 896, 1000, 1000, 575.5, 447.5)
BENT = Camera(1152, 896, 1000, 1000, 575.5, 447.5, "plumb_bob", (-0.25, 0.07, 0.0, 0.0, 0.0))
POINTS, IMAGES, WORKERS = 100_000, 200, 2


@dataclass(frozen=True)
class Made:
    """A data set that costs nothing to read: one image with a cloud, or with a whole map.

    clocks: folder of a file for each process that reads, of its processor time at each image.
    """

    image: Path
    clocks: Path
    camera: Camera
    points: np.ndarray | None
    depth: np.ndarray | None
    name: str = "bench"
    licence: str = ""
    splits: tuple[str, ...] = ("all",)
    range_m: tuple[float, float] = (0.1, 100.0)

    def keys(self) -> Sequence[int]:
        """The same image, often."""
        return range(IMAGES)

    def read(self, key: int) -> Sample:
        """The same image under another name."""
        with (self.clocks / f"{os.getpid()}").open("a") as file:
            file.write(f"{time.process_time()}\n")
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


@dataclass(frozen=True)
class Case:
    """What is curated: a lens, what was measured, and whether depth images are written."""

    name: str
    camera: Camera
    points: np.ndarray | None
    depth: np.ndarray | None
    writes_depth: bool

    def milliseconds(self, image: Path) -> Counter[str]:
        """Of an image, by what they are spent on."""
        with tempfile.TemporaryDirectory() as name:
            clocks, out = Path(name) / "clocks", Path(name) / "out"
            clocks.mkdir()
            data_set = Made(image, clocks, self.camera, self.points, self.depth)
            began: list[float] = []
            done = curate(
                data_set,
                out,
                Wishes(depth=self.writes_depth),
                {},
                WORKERS,
                say=lambda _: began.append(time.process_time()),  # what is foretold is made
            )
            here = (time.process_time() - began[0]) / IMAGES
            (clocks / f"{os.getpid()}").unlink()
            runs = [np.loadtxt(path) for path in clocks.iterdir()]
        there = sum(run[-1] - run[0] for run in runs) / sum(len(run) - 1 for run in runs)
        spent = Counter({what: 1000 * s / IMAGES for what, s in done.shares.items()})
        spent["the rest"] = 1000 * (here + there) - spent.total()
        del spent["reading"]  # is what Made writes for this bench
        return spent


def cases() -> list[Case]:
    """What docs/data.md has a row of."""
    cloud, depth = _sweep(POINTS), _slopes()
    return [
        Case("pinhole, cloud", PINHOLE, cloud, None, False),
        Case("pinhole, cloud, depth image", PINHOLE, cloud, None, True),
        Case("pinhole, map", PINHOLE, None, depth, False),
        Case("pinhole, map, depth image", PINHOLE, None, depth, True),
        Case("bent lens, cloud", BENT, cloud, None, False),
        Case("bent lens, cloud, depth image", BENT, cloud, None, True),
        Case("bent lens, map, depth image", BENT, None, depth, True),
    ]


def print_depth_images(path: Path) -> None:
    """What they cost by the way they are compressed."""
    counts = stored.depth_counts(_slopes(), 500)
    ways = {
        stored.compress.__module__: stored.compress,
        "zlib": zlib.compress,
        "nothing": lambda rows, _: zlib.compress(rows, 0),
    }
    for name, compress in ways.items():
        with mock.patch.object(stored, "compress", compress):
            best = min(_seconds_to_write(path, counts) for _ in range(20))
        print(
            f"a depth image with noise of 3 mm, compressed by {name}: {1000 * best:.1f} ms,"
            f" {path.stat().st_size / 1e6:.2f} MB"
        )


def _seconds_to_write(path: Path, counts: np.ndarray) -> float:
    began = time.process_time()
    stored.write_depth(path, counts)
    return time.process_time() - began


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = parser_of("training.tools.bench_curate", __doc__)
    parser.add_argument(
        "--rounds", type=count, default=3, metavar="N", help="runs of each case (default 3)"
    )
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    best = max(points_a_second() for _ in range(given.rounds))
    print(f"points: {best / 1e6:.2f} million a second and core")
    with tempfile.TemporaryDirectory() as name:
        print_depth_images(Path(name) / "a.png")
        path = Path(name) / "a.jpg"
        noise = np.random.default_rng(0).integers(0, 255, (896, 1152, 3), np.uint8)
        cv2.imwrite(str(path), cv2.GaussianBlur(noise, (0, 0), 3))
        chosen = cases()
        rounds = [[case.milliseconds(path) for case in chosen] for _ in range(given.rounds)]
    for case, *found in zip(chosen, *rounds, strict=True):
        spent = min(found, key=Counter.total)
        rate = 1000 * WORKERS / (spent.total() - spent["decoding"])
        parts = ", ".join(f"{what} {ms:.1f}" for what, ms in spent.most_common() if ms > 0.05)
        print(
            f"{case.name}: {rate:.0f} images a second on two cores, decoding aside (ms of an"
            f" image: {parts})"
        )


if __name__ == "__main__":
    main()
