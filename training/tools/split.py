# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records that are trained on, and records that are held out, by blocks of their numbers.

    python -m training.tools.split nyu_train.jsonl --out nyu --every 8 --pixels 100

Writes nyu/train.jsonl and nyu/heldout.jsonl: every eighth block of 20 consecutive numbers is held
out, since neighbours in a recorded sequence show the same room. A record's number is that in the
name of its image ("rgb/0042.jpg"). Where records name no scene, or all the same, the block becomes
their scene: intervals of what is measured are drawn over scenes. --pixels adds to what is held out
so many labelled pixels of each depth image, to be asked one by one; fewer are the first of more.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from depthlm_ros.cli.values import above_one, count
from depthlm_ros.data.records import Record, Records, on_image, write_records
from training.data.blocks import BLOCK, divided, number_of
from training.run.commands import errors_told, parser_of


def labelled(records: list[Record], pixels: int) -> Iterator[Record]:
    """The records, whose labels are then `pixels` places of their depth images, at random."""
    for record in records:
        depth = record.depth_map()
        height, width = depth.shape
        places = np.argwhere(np.isfinite(depth))
        order = np.random.default_rng([number_of(record), 7]).permutation(len(places))
        v, u = places[order[:pixels]].T
        at = on_image(np.stack([u, v], axis=1), record.camera, (width, height))
        yield replace(record, pixels=at, label_m=depth[v, u].astype(np.float64))


def main(arguments=None) -> None:
    """The command line."""
    parser = parser_of("training.tools.split", __doc__)
    parser.add_argument("records", type=Path)
    parser.add_argument("--out", required=True, type=Path, help="folder of the two files")
    parser.add_argument("--every", type=above_one, default=8, help="which block is held out (8)")
    parser.add_argument("--block", type=count, default=BLOCK, help=f"numbers in a block ({BLOCK})")
    parser.add_argument(
        "--pixels", type=count, metavar="N", help="labelled pixels of each image held out"
    )
    given = parser.parse_args(arguments)
    with errors_told("training.tools.split"):
        given.out.mkdir(parents=True, exist_ok=True)
        kept, held = divided(Records(given.records), given.every, given.block)
        asked = labelled(held, given.pixels) if given.pixels else held
        for name, part in (("train", kept), ("heldout", asked)):
            path = given.out / f"{name}.jsonl"
            print(f"wrote {write_records(path, part)} records to {path}")


if __name__ == "__main__":
    main()
