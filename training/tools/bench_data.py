# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How many samples a second the data pipeline delivers, beside the plain way.

    python -m training.tools.bench_data --workers 2

A sample: a JPEG read, brought to the focal length, cut to 640 x 480, marked with an arrow, made
into patches for Qwen2.5-VL. The plain way resizes the whole image and calls the stock
processor, once a sample. Both deliver the same patches, which is checked before the clock runs.
"""

import tempfile
import time
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from depthlm_ros.bench.shapes import find_size, parts_of
from depthlm_ros.camera import Camera
from depthlm_ros.cli.values import count
from depthlm_ros.data.files import read_image
from depthlm_ros.models.vision import Preparer
from depthlm_ros.question import MarkerStyle
from depthlm_ros.view import Frame, unify_focal
from training.config import Crop
from training.data.rows import cropped
from training.run.commands import parser_of

FOCAL_PX = 700.0
CAMERA = Camera(800, 600, 800.0, 800.0, 399.5, 299.5)  # its view is 700 x 525
CROP = Crop(width=(644, 644), height=(476, 476))  # 640 x 480 in whole tokens of 28 pixels
SCENE = Path(__file__).parents[2] / "depthlm_ros/demo/scene.png"


@dataclass
class Way:
    """Makes sample i. path: the image; own: by Preparer, else by the stock processor."""

    path: Path
    own: bool

    def open(self):
        """Load what a worker needs; one thread each."""
        import torch

        torch.set_num_threads(1)
        self.vision = parts_of(find_size("qwen2.5-vl-3b"), "3b").vision
        self.preparer = Preparer(self.vision)

    def sample(self, i):
        """The patches of image i."""
        rng = np.random.default_rng(i)
        view = unify_focal(Frame(read_image(self.path), CAMERA), FOCAL_PX)
        view = cropped(view, CROP, self.vision.side, rng)
        image = MarkerStyle().drawn(view, rng.integers(20, 400, 2))
        prepared = self.preparer.prepare(image) if self.own else self.vision.prepare([image])
        return prepared.tensors["pixel_values"]


def _work(way, count, begin, ends):
    way.open()
    way.sample(0), way.sample(1)  # the first of a size is checked against the stock processor
    begin.wait()
    busy = time.process_time()
    for i in range(count):
        way.sample(i)
    ends.put((time.perf_counter(), time.process_time() - busy))


def rate(way, count, workers) -> tuple:
    """(samples a second, processor seconds a sample) of `workers` processes making `count` each.

    The second does not depend on what else keeps the machine busy.
    """
    context = get_context("fork")
    begin, ends = context.Barrier(workers + 1), context.Queue()
    pool = [context.Process(target=_work, args=(way, count, begin, ends)) for _ in range(workers)]
    for process in pool:
        process.start()
    begin.wait()
    began = time.perf_counter()
    finished, busy = zip(*(ends.get() for _ in pool), strict=True)
    for process in pool:
        process.join()
    return workers * count / (max(finished) - began), sum(busy) / (workers * count)


def ways(path) -> dict:
    """name -> Way."""
    return {"plain": Way(path, own=False), "ours": Way(path, own=True)}


def equal(found, samples=3) -> bool:
    """Whether the ways make the same patches."""
    for way in found.values():
        way.open()
    made = [[way.sample(i) for i in range(samples)] for way in found.values()]
    return all(bool((a == b).all()) for a, b in zip(*made, strict=True))


def write_image(path) -> Path:
    """The demo's scene as an 800 x 600 JPEG."""
    Image.open(SCENE).convert("RGB").resize((CAMERA.width, CAMERA.height)).save(path, quality=90)
    return path


def main(arguments=None) -> None:
    parser = parser_of("training.tools.bench_data", __doc__)
    parser.add_argument("--workers", type=count, default=2, help="processes (default 2)")
    parser.add_argument("--count", type=count, default=100, help="samples each (default 100)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = ways(write_image(Path(folder) / "scene.jpg"))
        print(f"patches equal: {'yes' if equal(found) else 'NO'}")
        for name, way in found.items():
            samples, busy = rate(replace(way), given.count, given.workers)
            print(
                f"{name}: {samples:.1f} samples/s by {given.workers} processes;"
                f" {busy * 1e3:.1f} ms of a core each, so {given.workers / busy:.0f} samples/s on"
                f" {given.workers} idle cores",
                flush=True,
            )


if __name__ == "__main__":
    main()
