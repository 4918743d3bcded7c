# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rendered images with true distances, each a pure function of its world, split and seed.

    python -m training.synthetic sheet --out sheet.png
    python -m training.synthetic shards --out DIR --count 12000
    python -m training.synthetic shards --world furnished --assets assets/ --out DIR --count 30000
    python -m training.synthetic demo --out depthlm_ros/demo
    python -m training.synthetic recording --out drive --count 480 --focal-error 1.3

Worlds: "boxes" and "road" (open roads and yards, to 60 m) need nothing; "furnished", "near" (its
furniture from 0.3 to 1.3 m), "low" (its rooms from 0.06 to 0.5 m above the floor) and "things"
(scanned ones on a table or the floor, from 0.3 to 1.3 m) need embreex and training.scenes.assets.
The splits draw from disjoint sequences of random numbers; the furnished world's "unseen" is made
of furniture and images that its other splits never use, its "wider" has higher rooms and cameras
that look up, or at one thing from nearby.
"""

import os
import signal
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.cli import values
from depthlm_ros.errors import InputError
from depthlm_ros.view import Frame
from depthlm_ros.viz.sheets import sheet_path
from training.data.shards import Shard, Shot, write_shard
from training.run.commands import errors_told, parser_of
from training.scenes import exhibits
from training.scenes.boxes import places, rooms
from training.scenes.boxes.camera_work import developed, random_camera, render, worth_showing
from training.scenes.roads import HELD_OUT, road_shot

SPLITS = {"train": 1, "heldout": 2}
WORLDS = {
    "boxes": tuple(SPLITS),
    "road": tuple(SPLITS),
    "furnished": ("train", "heldout", "unseen", "wider"),
    "near": tuple(SPLITS),
    "low": tuple(SPLITS),
    "things": tuple(SPLITS),
}
DEMO_SEED = 1001728


def shot(seed: int, split: str = "train") -> Shot:
    """The image with this number; the splits share no scene. Degenerate ones are redrawn."""
    for attempt in range(100):
        rng = np.random.default_rng([SPLITS[split], seed, attempt])
        place = places.place(rng)
        pose, camera = places.standing(rng, place), random_camera(rng)
        if place.solids.gap(pose.origin).min() < 0.1:
            continue
        light, distance = render(place, camera, pose)
        if worth_showing(distance):
            return Shot(Frame(developed(rng, light), camera), distance, seed, place.kind)
    raise RuntimeError(f"seed {seed} of split '{split}' gave no usable image in 100 attempts")


def drawer(world="boxes", assets=None):
    """The function (seed, split) -> Shot of a world; those of furniture read the folder assets.

    Raises InputError where the assets are missing, MissingDependency without embreex.
    """
    if world == "boxes":
        return shot
    if world == "road":
        return partial(_of_split, road_shot)
    if assets is None:
        raise InputError(
            f"the {world} world needs --assets DIR, which python -m training.scenes.assets builds"
        )
    if world == "near":
        from training.scenes.near import near_shot

        return partial(_of_split, partial(near_shot, assets))
    if world == "low":
        from training.scenes.low import low_shot

        return partial(_of_split, partial(low_shot, assets))
    if world == "things":
        from training.scenes.things import things_shot

        return partial(_of_split, partial(things_shot, assets))
    from training.scenes.furnished.views import furnished_shot

    return partial(furnished_shot, assets)


def _of_split(draw, seed, split="train"):
    """Of a world whose splits are ranges of numbers."""
    return draw(seed + (HELD_OUT if split == "heldout" else 0))


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


def shards(folder, count, split, workers=1, size=500, draw=shot, first=0, every=1):
    """Write `count` images of a split, numbers first, first + every, ..., as shards; those that
    exist are kept.

    draw: what drawer() gives. InputError where the folder has the first of these numbers, but
    drawn in another world, or some of them in a shard of another length.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(first, first + every * count, every)
    parts = [numbers[i : i + size] for i in range(0, count, size)]
    apart = f"_every{every}" if every > 1 else ""
    files = {part: folder / f"{split}_{part[0]:07d}_{len(part)}{apart}.npz" for part in parts}
    missing = [part for part in parts if not files[part].exists()]
    _check_same(folder, files, split, draw)
    if missing:
        job = partial(_shard, split, draw)
        with deaf_to_interrupts():
            # A forked one may wait for a lost lock.
            pool = get_context("spawn").Pool(on_cores(workers))
        with pool:
            # Each is small: a pool whose task fills its pipe may hang where it is ended.
            for path in pool.imap_unordered(job, [(files[part], part) for part in missing]):
                print(f"{path} written", flush=True)
    print(f"{count} images in {folder}, {len(files) - len(missing)} shards were there already")


def on_cores(workers: int) -> int:
    """How many processes to begin: as many as asked for, but no more than there are cores for,
    which is told: each takes memory of its own and none would draw sooner."""
    known = getattr(os, "sched_getaffinity", None)  # only on Linux
    cores = len(known(0)) if known else os.cpu_count() or 1
    if workers > cores:
        print(f"{cores} processes draw and not {workers}: so many cores are here", flush=True)
    return min(workers, cores)


@contextmanager
def deaf_to_interrupts():
    """Processes begun in here ignore a terminal's Ctrl+C: whoever began them hears it and ends
    them, and they say nothing."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _check_same(folder, files, split, draw):
    first_there = None
    for part, path in files.items():
        apart = "_every" in path.name
        for other in sorted(folder.glob(f"{split}_{part[0]:07d}_*.npz")):
            if other != path and ("_every" in other.name) == apart:
                raise InputError(
                    f"{other} begins as {path.name} would, with another number of images, so that"
                    " some would be there twice: give a --count that is a multiple of --size,"
                    " delete that file, or give another --out"
                )
        if path.exists():
            first_there = first_there or (part[0], path)
    if first_there is None:
        return
    number, path = first_there
    drawn, stored = (one.frame.image for one in (draw(number, split), Shard(path)[0]))
    same = drawn.shape == stored.shape  # but for what another processor rounds otherwise
    if not same or np.abs(drawn.astype(int) - stored).mean() > 1:
        raise InputError(
            f"{path} holds other images of the same numbers, of another --world or other --assets:"
            " give another --out"
        )


def _shard(split, draw, task):
    path, numbers = task
    write_shard(path, [draw(i, split) for i in numbers])
    return path


def _parser():
    parser = parser_of("training.synthetic", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("demo", help="the image that the package ships")
    one = commands.add_parser("sheet", help="a contact sheet of images and distance maps")
    many = commands.add_parser("shards", help="files of many images; continues where it ended")
    drive = commands.add_parser("recording", help="a rosbag2 recording of a robot's depth camera")
    drive.add_argument(
        "--count", type=values.count, default=480, help="images, 12 of a room (default 480)"
    )
    drive.add_argument(
        "--first", type=values.from_zero, default=0, help="number of the first image"
    )
    drive.add_argument(
        "--focal-error",
        type=float,
        default=1.0,
        help="the focal length in camera_info, over the true one (default 1)",
    )
    for command in (show, one, many, drive):
        command.add_argument("--out", required=True, type=Path)
    for command in (one, many):
        command.add_argument(
            "--split",
            choices=WORLDS["furnished"],
            default="train",
            help="'unseen' and 'wider' are the furnished world's alone",
        )
        command.add_argument("--world", choices=WORLDS, default="boxes")
        command.add_argument(
            "--first", type=values.from_zero, default=0, help="number of the first image"
        )
        command.add_argument("--assets", type=Path, help="the folder training.scenes.assets wrote")
    one.add_argument("--count", type=values.count, default=24)
    many.add_argument(
        "--count",
        type=values.count,
        required=True,
        help="images in all; a multiple of --size can be continued later",
    )
    many.add_argument(
        "--every",
        type=values.count,
        default=1,
        help="take each so many-th number: with furniture, ten show one place (default 1)",
    )
    many.add_argument("--workers", type=values.count, default=1)
    many.add_argument("--size", type=values.count, default=500)
    return parser


def main(arguments=None):
    """The command line."""
    given = _parser().parse_args(arguments)
    with errors_told("training.synthetic"):
        if given.command == "demo":
            exhibits.write_demo(demo_shot(), given.out)
        elif given.command == "recording":
            from training.scenes.drive import record

            record(given.out, given.count, given.first, given.focal_error)
        else:
            _draw(given)


def _draw(given):
    splits = WORLDS[given.world]
    if given.split not in splits:
        raise InputError(f"the world of {given.world} has the splits {', '.join(splits)}")
    draw = drawer(given.world, given.assets)
    if given.command == "sheet":
        sheet_path(given.out)
        numbers = range(given.first, given.first + given.count)
        exhibits.write_shots([draw(i, given.split) for i in numbers], given.out)
    else:
        where = given.out, given.count, given.split
        shards(*where, given.workers, given.size, draw, given.first, given.every)


if __name__ == "__main__":
    main()
