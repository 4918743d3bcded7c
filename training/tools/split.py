# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records that are trained on, and records that are held out, by blocks of their numbers.

    python -m training.tools.split nyu_train.jsonl --out nyu --every 8 --pixels 100

Writes nyu/train.jsonl and nyu/heldout.jsonl: every eighth block of 20 consecutive numbers is held
out, since neighbours in a recorded sequence show the same room. A record's number is that in the
name of its image ("rgb/0042.jpg"). Where records name no scene, or all the same, the block becomes
their scene: intervals of what is measured are drawn over scenes. --pixels adds to what is held out
so many labelled pixels of each depth image, to be asked one by one; fewer are the first of more.
"""

import re
from argparse import ArgumentTypeError
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from depthlm_ros.cli.options import count, from_zero
from depthlm_ros.data.records import Record, Records, on_image, write_records
from depthlm_ros.errors import InputError
from training.run.commands import errors_told, parser_of


def split(records: Records, every: int, block: int = 20) -> tuple[list[Record], list[Record]]:
    """(to train on, held out). InputError where an image's name has no number, or one of the two
    would be empty."""
    several = len({record.scene for record in records}) > 1
    kept, held = [], []
    for record in records:
        which = number(record) // block
        one = record if several and record.scene else replace(record, scene=f"block {which}")
        (held if which % every == every - 1 else kept).append(one)
    if not kept or not held:
        numbers = [number(record) for record in records]
        span = f"numbers {min(numbers)} to {max(numbers)}" if numbers else "none"
        raise InputError(
            f"{len(kept)} records would be trained on and {len(held)} held out: there are"
            f" {len(numbers)} ({span}), and every {every}th block of {block} consecutive numbers"
            " is held out; hold out more often, or by smaller blocks (training.tools.split has"
            " --every and --block)"
        )
    return kept, held


def above_one(text: str) -> int:
    """A whole number of at least 2: which of several blocks is held out."""
    found = from_zero(text)
    if found < 2:
        raise ArgumentTypeError(f"a whole number of 2 or more, got '{text}'")
    return found


def number(record: Record) -> int:
    """The last number in the name of a record's image."""
    found = re.findall(r"\d+", record.image.stem)
    if not found:
        raise InputError(
            f"{record.where}: {record.image.name} has no number in its name, by which records are"
            " split: name images in the order in which they were taken"
        )
    return int(found[-1])


def labelled(records: list[Record], pixels: int) -> Iterator[Record]:
    """The records, whose labels are then `pixels` places of their depth images, at random."""
    for record in records:
        depth = record.depth_map()
        height, width = depth.shape
        places = np.argwhere(np.isfinite(depth))
        order = np.random.default_rng([number(record), 7]).permutation(len(places))
        v, u = places[order[:pixels]].T
        at = on_image(np.stack([u, v], axis=1), record.camera, (width, height))
        yield replace(record, pixels=at, label_m=depth[v, u].astype(np.float64))


def main(arguments=None) -> None:
    """The command line."""
    parser = parser_of("training.tools.split", __doc__)
    parser.add_argument("records", type=Path)
    parser.add_argument("--out", required=True, type=Path, help="folder of the two files")
    parser.add_argument("--every", type=above_one, default=8, help="which block is held out (8)")
    parser.add_argument("--block", type=count, default=20, help="numbers in a block (20)")
    parser.add_argument(
        "--pixels", type=count, metavar="N", help="labelled pixels of each image held out"
    )
    given = parser.parse_args(arguments)
    with errors_told("training.tools.split"):
        given.out.mkdir(parents=True, exist_ok=True)
        kept, held = split(Records(given.records), given.every, given.block)
        asked = labelled(held, given.pixels) if given.pixels else held
        for name, part in (("train", kept), ("heldout", asked)):
            path = given.out / f"{name}.jsonl"
            print(f"wrote {write_records(path, part)} records to {path}")


if __name__ == "__main__":
    main()
