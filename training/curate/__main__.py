# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A public data set, or a recording of a robot -> a folder of records to train on.

    python -m training.curate nuscenes --root ~/nuscenes --out curated/nuscenes/train
    python -m training.curate nuscenes --root ~/nuscenes --split val --out curated/nuscenes/val
    python -m training.curate bag kitchen_1 --out curated/kitchen_1
    python -m training.preview curated/kitchen_1

The same command goes on where it was ended, and changes nothing that is done. docs/data.md
describes the sets, docs/own_robot.md the whole way from a recording to a checkpoint.
"""

import argparse
import os
import shlex
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from depthlm_ros.cli.values import count, from_zero, not_negative, positive
from depthlm_ros.data.jsonl import pattern_of
from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError, MissingDependency
from depthlm_ros.viz.progress import progress_bar
from training.curate.bag import Bag, Choices
from training.curate.look import write_looks
from training.curate.maker import PIXELS, Wishes
from training.curate.published import PAPERS
from training.curate.sample import DataSet
from training.curate.writer import curate, layout_told
from training.run.commands import errors_told, parser_of

OVERLAYS = 12  # records on the sheet of a recording


def _sets() -> dict[str, type[DataSet]]:
    try:
        from training.curate.sets import SETS
    except ImportError as error:
        raise MissingDependency(
            f"data sets are read with {error.name}, which is not installed: pip install -r"
            " requirements/training.txt"
        ) from error
    return SETS


def _parser(sets: dict[str, type[DataSet]]) -> argparse.ArgumentParser:
    parser = parser_of("training.curate", __doc__)
    commands = parser.add_subparsers(dest="set", required=True, metavar="SET")
    for name, kind in sorted(sets.items()):
        one = commands.add_parser(
            name,
            help=kind.licence,
            description=sys.modules[kind.__module__].__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.add_argument("--root", type=Path, required=True, help="folder of the official layout")
        first = kind.splits[0]
        one.add_argument("--split", choices=kind.splits, default=first, help=f"default {first}")
        one.add_argument(
            "--as-published",
            choices=PAPERS,
            default="",
            help="the labels that this paper made, with what is wrong about them, to compare",
        )
        _add_wishes(one)
    _add_bag(commands)
    return parser


def _add_bag(commands: Any) -> None:
    """What a recording is asked for: an option for each field of Choices."""
    bag = commands.add_parser(
        "bag",
        help="a rosbag2 recording with an image, its camera_info, and a depth image or a cloud",
        description="Images of a recording with what its depth camera or lidar measured. Where"
        " there are several topics of one kind, name the one to take.",
    )
    own = Choices()
    bag.add_argument("root", type=Path, metavar="RECORDING")
    bag.add_argument(
        "--split", choices=Bag.splits, default="all", help="heldout: the last fifth; default all"
    )
    bag.add_argument("--image", default="", metavar="TOPIC", help="of the images")
    bag.add_argument("--measured", default="", metavar="TOPIC", help="depth images or clouds")
    bag.add_argument("--info", default="", metavar="TOPIC", help="camera_info of the images")
    bag.add_argument(
        "--rectified", action="store_true", help="P of camera_info holds, not K and D"
    )
    bag.add_argument(
        "--fixed", default="", metavar="FRAME", help="TF frame that stands still (the uppermost)"
    )
    for name, which, metres in (("near", "nearest", own.near_m), ("far", "farthest", own.far_m)):
        bag.add_argument(
            f"--{name}",
            dest=f"{name}_m",
            type=positive,
            default=metres,
            metavar="METRES",
            help=f"the {which} label (default {metres:g})",
        )
    for name, seconds, what in (
        ("apart", own.apart_s, "most time between an image and its measurement"),
        ("every", own.every_s, "least time between two images"),
    ):
        bag.add_argument(
            f"--{name}",
            dest=f"{name}_s",
            type=not_negative,
            default=seconds,
            metavar="SECONDS",
            help=f"{what}, 0 and more (default {seconds:g})",
        )
    bag.add_argument(
        "--still",
        type=not_negative,
        default=own.still,
        metavar="LEVELS",
        help="an image that differs by fewer grey levels on average from the one before shows the"
        f" same and is left out (default {own.still:g}; 0: none is)",
    )
    _add_wishes(bag)


def _bag(given: argparse.Namespace) -> Bag:
    choices = {field.name: getattr(given, field.name) for field in fields(Choices)}
    with progress_bar("reading the recording"):
        return Bag(given.root, given.split, Choices(**choices))


def _add_wishes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--pixels",
        type=count,
        default=PIXELS,
        metavar="N",
        help=f"most labels of an image (default {PIXELS})",
    )
    parser.add_argument(
        "--even",
        action="store_true",
        help="draw labels evenly over log distance, instead of over the image",
    )
    parser.add_argument(
        "--depth",
        action="store_true",
        help="depth images too, for training.dense",
    )
    parser.add_argument(
        "--limit", type=count, default=0, metavar="N", help="N images, evenly spread over the set"
    )
    parser.add_argument(
        "--seed", type=from_zero, default=1, metavar="N", help="of the drawing (default 1)"
    )
    parser.add_argument(
        "--workers",
        type=count,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (default: one for each processor core)",
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    with errors_told("training.curate"):
        _run(arguments)


def _run(arguments: list[str] | None) -> None:
    sets = _sets()
    given = _parser(sets).parse_args(arguments)
    told: dict[str, Any] = {"root": str(given.root), "split": given.split}
    if not given.root.exists():
        raise InputError(f"there is no {given.root}")
    data_set: DataSet
    if given.set == "bag":
        bag = _bag(given)
        data_set, told = bag, told | asdict(bag.choices) | {"unreadable_messages": bag.unreadable}
        if bag.unreadable:
            print(f"{bag.unreadable} messages of {given.root} cannot be read and are left out")
    else:
        reader: Any = sets[given.set]
        with layout_told(reader):
            data_set = reader(given.root, given.split, given.as_published)
        told["as_published"] = given.as_published
    wishes = Wishes(given.pixels, given.even, given.depth, given.limit, given.seed)
    done = curate(data_set, given.out, wishes, told, given.workers)
    if done.before:
        again = "; skipped ones are tried again in a new --out" if done.manifest["skipped"] else ""
        print(f"{done.before} images were settled before{again}")
    print(done.lines())
    if given.set == "bag":
        path = write_looks(Records(pattern_of(given.out)), OVERLAYS, given.out / "overlays.jpg")
        print(f"look at {path} before you train on it")
    shown = shlex.join(["python", "-m", "training.preview", str(given.out)])
    print(f"wrote {given.out}: {shown} shows it")


if __name__ == "__main__":
    main()
