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
from pathlib import Path
from typing import Any

from depthlm_ros.cli.options import count
from depthlm_ros.errors import InputError, MissingDependency
from training.curate.published import PAPERS
from training.curate.sample import DataSet
from training.curate.writer import PIXELS, Wishes, curate
from training.run.commands import errors_told, parser_of


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
        one = commands.add_parser(name, help=kind.licence, description=kind.__module__)
        one.add_argument("--root", type=Path, required=True, help="folder of the official layout")
        one.add_argument("--split", choices=kind.splits, default=kind.splits[0])
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
    bag = commands.add_parser(
        "bag",
        help="a rosbag2 recording with an image, its camera_info, and a depth image or a cloud",
    )
    bag.add_argument("root", type=Path, metavar="RECORDING")
    bag.add_argument(
        "--split",
        choices=("all", "train", "heldout"),
        default="all",
        help="by time: heldout is the last fifth, and a second between them is left out",
    )
    _add_wishes(bag)


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
    parser.add_argument("--seed", type=int, default=1, help="of the drawing (default 1)")
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
        sets = _sets()
        given = _parser(sets).parse_args(arguments)
        published = getattr(given, "as_published", "")
        told = {"root": str(given.root), "split": given.split}
        if not given.root.exists():
            raise InputError(f"there is no {given.root}")
        wishes = Wishes(given.pixels, given.even, given.depth, given.limit, given.seed)
        if given.set == "bag":
            from training.curate.bag import Bag

            data_set: DataSet = Bag(given.root, given.split)
        else:
            reader: Any = sets[given.set]
            data_set = reader(given.root, given.split, published)
        done = curate(data_set, given.out, wishes, told, published, given.workers)
    if done.before:
        print(f"{done.before} images were settled before")
    print(done.lines())
    print(f"wrote {given.out}: look at it with python -m training.preview {given.out}")


if __name__ == "__main__":
    main()
