# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records x tasks -> items, the tasks mixed equally.

A data entry is {shards: FOLDER}, {records: FILE.jsonl, kind: z} or {pairs: FILE.jsonl}, each with
a weight against the others that suit the same task. Item i is a pure function of (seed, i), see
mixture.py. Knows nothing about models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from depthlm_ros.errors import InputError, RecordError
from depthlm_ros.pairs import Pairs
from depthlm_ros.records import Record, Records
from depthlm_ros.tasks import find_task
from training.heldout import Scene
from training.mixture import Mixture, Source
from training.shards import Shot, read_shards

PIXELS = 256  # drawn of a rendered picture, for a task to choose from


def lessons(
    data, tasks, checkpoint, seed, length, style="", bad="skip", look=None, then=None
) -> Mixture:
    """`length` items of the tasks (names), asked in a style of the checkpoint.

    data: a folder of shards, or a list of entries. look: (frame, rng) -> View, where pictures are
    cropped or the like. then: what to make of an item. InputError where a task has no data.
    """
    entries = [{"shards": data}] if isinstance(data, str) else data
    named = [_read(entry) for entry in entries]
    mixed = {}
    for task in map(find_task, tasks):
        fitting = [part for part in named if part.pairs == task.pair]
        if not fitting:
            needed = "pairs" if task.pair else "records or shards"
            raise InputError(f"the task {task.name} needs data with {needed}, and there are none")
        whole = sum(part.weight for part in fitting)
        for part in fitting:
            of_task = Source(_Tagged(task, part.items), part.weight / whole)
            mixed[f"{task.name} of {part.name}"] = of_task

    make = partial(_made, checkpoint=checkpoint, style=style, look=look, then=then)
    return Mixture(mixed, make, seed, length, bad)


def _made(tagged, rng, checkpoint, style, look, then):
    task, record = tagged
    record = shot_record(record, rng) if isinstance(record, Shot) else record
    item = task.item(record, checkpoint, rng, style, look and partial(look, rng=rng))
    return then(item) if then else item


@dataclass(frozen=True, eq=False)
class _Part:
    name: str
    items: Sequence
    weight: float
    pairs: bool = False


def _read(entry) -> _Part:
    entry = dict(entry)
    weight, kind = float(entry.pop("weight", 1.0)), entry.pop("kind", "")
    if set(entry) == {"shards"}:
        return _Part(entry["shards"], _shards(entry["shards"]), weight)
    if set(entry) == {"records"}:
        return _Part(str(entry["records"]), Records(entry["records"], kind), weight)
    if set(entry) == {"pairs"}:
        return _Part(str(entry["pairs"]), Pairs(entry["pairs"]), weight, pairs=True)
    raise InputError(
        f"data entry {entry} is unknown: give shards: FOLDER, records: FILE.jsonl (with its kind)"
        " or pairs: FILE.jsonl, and a weight where they are not equal"
    )


def _shards(folder):
    try:
        return read_shards(folder)
    except FileNotFoundError as error:
        raise InputError(str(error)) from error


class _Tagged(Sequence):
    """(task, record) of each record."""

    def __init__(self, task, records):
        self._task, self._records = task, records

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        return self._task, self._records[index]


def shot_record(shot, rng) -> Record:
    """A rendered picture as a record, labelled at PIXELS places drawn by rng."""
    v, u = np.nonzero(np.isfinite(shot.distance_m))
    where = f"{shot.kind} {shot.seed}"
    if not len(u):
        raise RecordError(f"{where}: no pixel has a distance")
    chosen = rng.choice(len(u), min(PIXELS, len(u)), replace=False)
    pixels = np.stack([u[chosen], v[chosen]], axis=1).astype(np.float64)
    label_m = shot.distance_m[v[chosen], u[chosen]].astype(np.float64)
    camera = shot.frame.camera
    return Scene(Path(), camera, pixels, label_m, "distance", where, picture=shot.frame)
