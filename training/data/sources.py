# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The data entries of a config, opened.

An entry is {shards: FOLDER}, {records: FILE.jsonl, kind: z} or {pairs: FILE.jsonl}, each with a
weight against the others. Knows nothing about what is asked of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from depthlm_ros.data.pairs import Pairs
from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError
from training.data.shards import read_shards


@dataclass(frozen=True, eq=False)
class Part:
    """One data set. items: Shots, Records or, if pairs says so, pairs of them."""

    name: str
    items: Sequence
    weight: float
    pairs: bool = False


def entries(data) -> list:
    """The entries of a config's data, which may be the name of a folder of shards."""
    return [{"shards": data}] if isinstance(data, str) else data


def opened(data) -> list:
    """A Part of each entry; InputError for what is none or is not there."""
    return [_opened(dict(entry)) for entry in entries(data)]


def _opened(entry) -> Part:
    weight, kind = float(entry.pop("weight", 1.0)), entry.pop("kind", "")
    readers = {
        "shards": read_shards,
        "records": lambda path: Records(path, kind),
        "pairs": Pairs,
    }
    if len(entry) != 1 or not set(entry) <= set(readers):
        raise InputError(
            f"data entry {entry} is unknown: give shards: FOLDER, records: FILE.jsonl (with its"
            " kind) or pairs: FILE.jsonl, and a weight where they are not equal"
        )
    ((what, place),) = entry.items()
    return Part(str(place), readers[what](place), weight, pairs=what == "pairs")
