# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records x tasks -> items, the tasks mixed equally.

The weight of a data entry (sources.py) counts against the others that suit the same task. Item i
is a pure function of (seed, i), see mixture.py. Knows nothing about models.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from depthlm_ros.data.records import Record, on_image
from depthlm_ros.errors import InputError, RecordError
from depthlm_ros.tasks import find_task
from training.data.loaded import LoadedRecord
from training.data.mixture import Mixture, Source
from training.data.shards import Shot
from training.data.sources import opened

PIXELS = 256  # drawn of a rendered image, for a task to choose from


def lessons(
    data, tasks, checkpoint, seed, length, style="", bad="skip", look=None, then=None
) -> Mixture:
    """`length` items of the tasks (names), asked in a style of the checkpoint.

    data: a folder of shards, or a list of entries. look: (frame, rng) -> View, where images are
    cropped or the like. then: what to make of an item. InputError where a task has no data.
    """
    parts, mixed = opened(data), {}
    for task in map(find_task, tasks):
        mixed |= _of_task(task, parts)
    make = partial(_made, checkpoint=checkpoint, style=style, look=look, then=then)
    return Mixture(mixed, make, seed, length, bad)


def _of_task(task, parts) -> dict:
    """name -> Source of the parts that suit a task; their weights add up to one."""
    fitting = [part for part in parts if part.pairs == task.pair]
    if not fitting:
        needed = "pairs" if task.pair else "records or shards"
        raise InputError(f"the task {task.name} needs data with {needed}, and there are none")
    whole = sum(part.weight for part in fitting)
    return {
        f"{task.name} of {part.name}": Source(_Tagged(task, part.items), part.weight / whole)
        for part in fitting
    }


def _made(tagged, rng, checkpoint, style, look, then):
    task, record = tagged
    if isinstance(record, Shot):
        record = shot_record(record, rng)
    elif getattr(record, "depth_path", None):
        record = labelled(record, rng)
    item = task.item(record, checkpoint, rng, style, look and partial(look, rng=rng))
    return then(item) if then else item


class _Tagged(Sequence):
    """(task, record) of each record."""

    def __init__(self, task, records):
        self._task, self._records = task, records

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        return self._task, self._records[index]


def shot_record(shot, rng) -> Record:
    """A rendered image as a record, labelled at PIXELS places drawn by rng."""
    where = f"{shot.kind} {shot.seed}"
    pixels, label_m = _drawn(shot.distance_m, shot.frame.camera, where, rng)
    return LoadedRecord.of(shot.frame, pixels, label_m, where)


def labelled(record, rng) -> Record:
    """A record with a depth image as one labelled at PIXELS places of it drawn by rng."""
    pixels, label_m = _drawn(record.depth_map(), record.camera, record.where, rng)
    return replace(record, pixels=pixels, label_m=label_m)


def _drawn(metres, camera, where, rng) -> tuple:
    """(pixels (N, 2) of the camera's image, their metres) of known places of a map (h, w)."""
    v, u = np.nonzero(np.isfinite(metres))
    if not len(u):
        raise RecordError(f"{where}: no pixel has a distance")
    chosen = rng.choice(len(u), min(PIXELS, len(u)), replace=False)
    pixels = np.stack([u[chosen], v[chosen]], axis=1).astype(np.float64)
    pixels = on_image(pixels, camera, metres.shape[::-1])
    return pixels, metres[v[chosen], u[chosen]].astype(np.float64)
