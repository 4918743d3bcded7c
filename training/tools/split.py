# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records that are trained on, and records that are held out, by blocks of their numbers.

    python -m training.tools.split nyu_train.jsonl --out nyu --every 8

Writes nyu/train.jsonl and nyu/heldout.jsonl: every eighth block of 20 consecutive numbers is held
out, since neighbours in a recorded sequence show the same room. A record's number is that in the
name of its image ("rgb/0042.jpg").
"""

import re
from pathlib import Path

from depthlm_ros.data.records import Record, Records, write_records
from depthlm_ros.errors import InputError
from training.run.commands import errors_told, parser_of


def split(records: Records, every: int, block: int = 20) -> tuple[list[Record], list[Record]]:
    """(to train on, held out). InputError where an image's name has no number."""
    kept, held = [], []
    for record in records:
        (held if number(record) // block % every == every - 1 else kept).append(record)
    return kept, held


def number(record: Record) -> int:
    """The last number in the name of a record's image."""
    found = re.findall(r"\d+", record.image.stem)
    if not found:
        raise InputError(
            f"{record.where}: {record.image.name} has no number in its name, by which records are"
            " split: name images in the order in which they were taken"
        )
    return int(found[-1])


def main(arguments=None) -> None:
    """The command line."""
    parser = parser_of("training.tools.split", __doc__)
    parser.add_argument("records", type=Path)
    parser.add_argument("--out", required=True, type=Path, help="folder of the two files")
    parser.add_argument("--every", type=int, default=8, help="which block is held out (8)")
    parser.add_argument("--block", type=int, default=20, help="numbers in a block (20)")
    given = parser.parse_args(arguments)
    with errors_told("training.tools.split"):
        given.out.mkdir(parents=True, exist_ok=True)
        parts = split(Records(given.records), given.every, given.block)
        for name, part in zip(("train", "heldout"), parts, strict=True):
            path = given.out / f"{name}.jsonl"
            print(f"wrote {write_records(path, part)} records to {path}")


if __name__ == "__main__":
    main()
