# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rendered pictures with true distances, each a pure function of its seed.

    python -m training.synthetic sheet --out sheet.png
    python -m training.synthetic shards --out DIR --count 12000
    python -m training.synthetic demo --out depthlm_ros/demo

Knows nothing about models. The splits draw from disjoint sequences of random numbers.
"""

import argparse
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.view import Frame

from . import exhibits
from .shards import Shot, read_shards, write_shard
from .world import places, rooms
from .world.camera_work import developed, render

__all__ = ["SPLITS", "Shot", "demo_shot", "read_shards", "shot"]

SPLITS = {"train": 1, "heldout": 2}
DEMO_SEED = 1001728


def shot(seed: int, split: str = "train") -> Shot:
    """The picture with this number; the splits share no scene. Degenerate ones are redrawn."""
    for attempt in range(100):
        rng = np.random.default_rng([SPLITS[split], seed, attempt])
        place = places.place(rng)
        pose, camera = places.standing(rng, place), random_camera(rng)
        if place.solids.gap(pose.origin).min() < 0.1:
            continue
        light, distance = render(place, camera, pose)
        if worth_showing(distance):
            return Shot(Frame(developed(rng, light), camera), distance, seed, place.kind)
    raise RuntimeError(f"seed {seed} of split '{split}' gave no usable picture in 100 attempts")


def random_camera(rng) -> Camera:
    """280-400 pixels wide, 50-80 degrees wide, focal length 230 px at least."""
    tangent = np.tan(np.radians(rng.uniform(50, 80)) / 2)
    width = int(rng.uniform(max(280, 460 * tangent), 401))
    height = int(width / rng.choice([4 / 3, 4 / 3, 3 / 2, 16 / 9]))
    focal = width / 2 / tangent
    cx, cy = (width - 1) / 2, (height - 1) / 2
    fy = focal * rng.uniform(0.99, 1.01)
    return Camera(width, height, focal, fy, cx + rng.normal(0, 3), cy + rng.normal(0, 3))


def worth_showing(distance_m) -> bool:
    """Not mostly a surface before the lens, and nothing nearer than a picture can show."""
    return np.mean(distance_m < 0.4) < 0.02 and np.nanmedian(distance_m) > 0.7


def demo_shot() -> Shot:
    """A furnished held-out room, 640 x 480, four rays a pixel; the distance is the pixel's own."""
    rng = np.random.default_rng([SPLITS["heldout"], DEMO_SEED])
    place = rooms.room(rng)
    pose = places.standing(rng, place)
    camera = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
    fine = Camera(1280, 960, 1050.0, 1050.0, 639.5, 479.5)
    light = render(place, fine, pose)[0].reshape(3, 480, 2, 640, 2).mean((2, 4))
    _, distance = render(place, camera, pose)
    return Shot(Frame(developed(rng, light), camera), distance, DEMO_SEED, place.kind)


def shards(folder, count, split, workers=1, size=500):
    """Write pictures 0..count-1 of a split as shards; those that exist already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, count, size)
    names = {s: folder / f"{split}_{s:07d}_{min(size, count - s)}.npz" for s in starts}
    missing = [s for s in starts if not names[s].exists()]
    job = partial(_shard, names, split, count, size)
    with Pool(workers) as pool:
        for start in pool.imap_unordered(job, missing):
            print(f"{names[start]} written", flush=True)
    print(f"{count} pictures in {folder}, {len(names) - len(missing)} shards were there already")


def _shard(names, split, count, size, start):
    shots = [shot(i, split) for i in range(start, min(start + size, count))]
    write_shard(names[start], shots)
    return start


def main(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.synthetic", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("demo", help="the picture that the package ships")
    one = commands.add_parser("sheet", help="a contact sheet of pictures and distance maps")
    many = commands.add_parser("shards", help="files of many pictures; continues where it ended")
    for command in (show, one, many):
        command.add_argument("--out", required=True, type=Path)
    for command in (one, many):
        command.add_argument("--split", choices=SPLITS, default="train")
    one.add_argument("--count", type=int, default=24)
    one.add_argument("--first", type=int, default=0)
    many.add_argument("--count", type=int, required=True,
                      help="pictures in all; a multiple of --size can be continued later")
    many.add_argument("--workers", type=int, default=1)
    many.add_argument("--size", type=int, default=500)
    given = parser.parse_args(arguments)
    if given.command == "demo":
        exhibits.write_demo(demo_shot(), given.out)
    elif given.command == "sheet":
        numbers = range(given.first, given.first + given.count)
        exhibits.write_sheet([shot(i, given.split) for i in numbers], given.out)
    else:
        shards(given.out, given.count, given.split, given.workers, given.size)


if __name__ == "__main__":
    main()
