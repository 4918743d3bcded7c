# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A look at a run's data before anything is loaded: all of it is there, and its labels are metres.

Millimetres in a records file train without an error, and into a model that is a thousand times
off; so the head of a run shows the quantiles of each data set, and refuses what cannot be metres.
"""

from collections.abc import Sequence
from math import isqrt

import numpy as np

from depthlm_ros.data.records import Record
from depthlm_ros.errors import InputError
from training.config import DenseConfig
from training.data.examples import no_map
from training.data.shards import Shot
from training.data.sources import evenly_spread, held_out, opened

LOOKED_AT = 200  # labels of so many images of each data set, evenly spread
OPENED = 5  # and so many of these images themselves
OF_A_MAP = 20_000  # about so many pixels of a depth image
QUANTILES = 0.05, 0.5, 0.95, 1.0


def check_data(config) -> None:
    """Open all data of a RunConfig and print the quantiles of their labels.

    Raises InputError where something is not there, the median of a data set's labels is not
    within `median_m`, or a record that is held out cannot be used.
    """
    only_maps = any(not (s.ask or s.tasks or s.reply) for s in getattr(config, "stages", ()))
    maps = isinstance(config, DenseConfig)
    for part in opened(config.data, maps, config.heldout):
        if not part.pairs:
            print(checked_labels(part.name, part.items, config.median_m, only_maps), flush=True)
    if config.heldout and config.heldout.records:
        for _ in held_out(config.heldout):
            pass


def checked_labels(name: str, items: Sequence, median_m: tuple, only_maps: bool = False) -> str:
    """A line about the labels of Records or Shots; see check_data. only_maps: some stage learns
    from depth images alone."""
    if not len(items):
        raise InputError(f"data set '{name}' is empty")
    numbers = evenly_spread(len(items), LOOKED_AT)
    metres, fault = [], None
    for number in numbers:
        try:
            known = _known(items[number], only_maps)
        except InputError as error:  # counted where it is drawn, see bad and bad_share
            fault = fault or error
            continue
        metres.append(known[np.isfinite(known)].ravel())
    labels = np.concatenate(metres) if metres else np.empty(0)
    if not len(labels):
        raise InputError(
            f"none of {len(numbers)} images of '{name}' has a label that can be read"
            + (f", the first: {fault}" if fault else "")
        )
    _check_images(name, items, numbers)
    low, half, high, most = np.quantile(labels, QUANTILES)
    least_allowed, most_allowed = median_m
    if not least_allowed <= half <= most_allowed:
        raise InputError(
            f"the labels of '{name}' cannot be metres: their median is {half:.4g}, and"
            f" {least_allowed:g} to {most_allowed:g} m is allowed (median_m). Divide millimetres"
            " by 1000; where the distances are true, say so with median_m: [LEAST, MOST]"
        )
    return (
        f"labels of {name}: 5 % below {low:.3g} m, median {half:.3g} m, 95 % below"
        f" {high:.3g} m, all below {most:.4g} m ({len(labels)} labels of {len(metres)} images)"
    )


def _check_images(name, items, numbers) -> None:
    """Raise InputError where none of some images can be used with its camera."""
    faults, tried = [], numbers[:: max(len(numbers) // OPENED, 1)]
    for number in tried:
        try:
            item = items[number]
            if isinstance(item, Record):
                item.frame()
        except InputError as error:
            faults.append(error)
    if len(faults) == len(tried):
        raise InputError(
            f"none of {len(tried)} images of '{name}' can be used, the first: {faults[0]}"
        )


def _known(item, only_maps) -> np.ndarray:
    """The metres that training draws from."""
    if isinstance(item, Shot):
        return item.distance_m
    item.stated_kind()
    if not item.depth_path and only_maps:
        raise no_map(item.where)
    if not item.depth_path:
        return item.label_m
    found = item.depth_map()
    every = max(isqrt(found.size // OF_A_MAP), 1)
    return found[::every, ::every]
