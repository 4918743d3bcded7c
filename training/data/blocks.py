# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records divided into those that are trained on and those that are held out, by blocks of their
numbers: neighbours in a recorded sequence show the same room.
"""

import re
from dataclasses import replace

from depthlm_ros.data.records import Record, Records
from depthlm_ros.errors import InputError

BLOCK = 20  # consecutive numbers


def divided(records: Records, every: int, block: int = BLOCK) -> tuple[list[Record], list[Record]]:
    """(to train on, held out): of the blocks of so many consecutive numbers every so many-th is
    held out. Where records name no scene, or all the same, the block becomes their scene.

    InputError where an image's name has no number, or one of the two would be empty.
    """
    several = len({record.scene for record in records}) > 1
    kept, held = [], []
    for record in records:
        which = number_of(record) // block
        one = record if several and record.scene else replace(record, scene=f"block {which}")
        (held if which % every == every - 1 else kept).append(one)
    if not kept or not held:
        numbers = [number_of(record) for record in records]
        span = f"numbers {min(numbers)} to {max(numbers)}" if numbers else "none"
        raise InputError(
            f"{len(kept)} records would be trained on and {len(held)} held out: there are"
            f" {len(numbers)} ({span}), and every {every}th block of {block} consecutive numbers"
            " is held out; hold out more often, or by smaller blocks (training.tools.split has"
            " --every and --block)"
        )
    return kept, held


def number_of(record: Record) -> int:
    """The last number in the name of a record's image."""
    found = re.findall(r"\d+", record.image.stem)
    if not found:
        raise InputError(
            f"{record.where}: {record.image.name} has no number in its name, by which records are"
            " split: name images in the order in which they were taken"
        )
    return int(found[-1])
