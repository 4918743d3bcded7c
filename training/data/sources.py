# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The data entries of a config, opened."""

import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from depthlm_ros.data.jsonl import found_files
from depthlm_ros.data.pairs import Pairs
from depthlm_ros.data.records import Records
from depthlm_ros.errors import InputError
from training.data.shards import Shards


@dataclass(frozen=True, eq=False)
class Part:
    """One data set. items: Shots, Records or, if pairs says so, pairs of them."""

    name: str
    items: Sequence
    weight: float
    pairs: bool = False


def opened(data: list, maps: bool = False, heldout: Any = None) -> list:
    """A Part of each DataEntry. InputError for what is not there, or of another kind; of curated
    sets it names all that are missing, with the command for each.

    maps: depth images are learnt from. heldout: a Heldout, whose records may be curated too.
    """
    needed = [_curate(entry.curated, maps) for entry in data]
    needed += [_curate(_held_out_folder(heldout), maps=False)] if heldout else []
    if missing := list(filter(None, needed)):
        raise InputError(
            f"{len(missing)} of {len(needed)} data sets are not curated, or not to their end:\n  "
            + "\n  ".join(missing)
        )
    return _named_apart([_opened(entry) for entry in data])


def _named_apart(parts: list[Part]) -> list[Part]:
    """The parts; a name that another has already gets a number: data may be given twice."""
    seen: Counter[str] = Counter()
    found = []
    for part in parts:
        seen[part.name] += 1
        again = seen[part.name] > 1
        found.append(replace(part, name=f"{part.name} ({seen[part.name]})") if again else part)
    return found


def evenly_spread(count: int, most: int) -> list[int]:
    """The numbers of at most `most` of `count` items, evenly spread over them."""
    return np.linspace(0, count - 1, min(count, most)).astype(int).tolist()


def held_out(heldout) -> Iterator:
    """(frame, pixels (N, 2), metres along the ray (N,)) of each record that a Heldout measures on,
    read now. InputError where one of them cannot be used."""
    records = Records(heldout.records, heldout.kind)
    for record in (records[number] for number in evenly_spread(len(records), heldout.images)):
        metres = record.label_as("distance")
        if not len(metres):
            raise InputError(
                f"{record.where}, held out: there are no pixel_coords to ask about; python -m"
                " training.tools.split --pixels 20 makes some of a depth image"
            )
        try:
            frame = record.frame()
        except InputError as error:
            raise InputError(f"{record.where}, held out: {error}") from error
        yield frame, record.pixels[: heldout.pixels], metres[: heldout.pixels]


def _held_out_folder(heldout) -> str:
    """The folder of curated records that are held out and not there; "" where none are meant."""
    from training.curate.sets import SETS

    place = Path(heldout.records if isinstance(heldout.records, str) else "")
    folder = place.parent
    is_curated = "curated" in folder.parts or folder.parent.name in SETS
    there = place.name != "*.jsonl" or any(folder.glob("*.jsonl"))
    return str(folder) if is_curated and not there else ""


def _curate(folder, maps) -> str:
    """The command that writes a curated folder; "" where it is there, or none is meant."""
    if not folder or Path(folder, "manifest.json").is_file():
        return ""
    from training.curate.bag import Bag
    from training.curate.sets import SETS

    name, split = Path("x", folder).parts[-2:]
    is_public = name in SETS
    told = ["python -m training.curate", f"{name} --root ROOT" if is_public else "bag RECORDING"]
    told += [f"--split {split}"] if is_public or split in Bag.splits else []
    told += ["--depth"] if maps else []
    return " ".join([*told, f"--out {folder}"])


def _opened(entry) -> Part:
    name = entry.place if isinstance(entry.place, str) else ", ".join(entry.place)
    if entry.what == "shards":
        return Part(name, _shards(entry.shards), entry.weight)
    for path in map(Path, entry.place if isinstance(entry.place, list) else [entry.place]):
        if path.is_dir():
            kind = "shards" if any(path.glob("*.npz")) else "files"
            raise InputError(
                f"{path} is a folder of {kind} and was given as {entry.what}: name its .jsonl"
                " files, or give shards: FOLDER"
            )
    for path in found_files(entry.place):
        if zipfile.is_zipfile(path):
            raise InputError(
                f"{path} holds no lines of JSON, and was given as {entry.what}: give"
                " shards: FOLDER for a folder of .npz files"
            )
    pairs = entry.what == "pairs"
    items = Pairs(entry.pairs) if pairs else Records(entry.place, entry.kind)
    return Part(name, items, entry.weight, pairs)


def _shards(folder) -> Sequence:
    path = Path(folder)
    if path.is_file():
        raise InputError(
            f"{path} is a file and was given as shards, which are a folder of .npz files: for"
            f" lines of JSON say data: [{{records: {path}}}]"
        )
    if not path.is_dir():
        raise InputError(f"there is no folder {path} of shards")
    if any(path.glob("*.jsonl")) and not any(path.glob("*.npz")):
        raise InputError(
            f"{path} holds records and was given as shards:"
            f" say data: [{{records: {path}/*.jsonl}}]"
        )
    return Shards(path)
