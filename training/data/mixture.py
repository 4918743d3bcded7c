# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Several data sets drawn from by weight, as a map-style dataset; bad records are replaced.

Item i is a pure function of (seed, i), the replacement of a bad record included. Read in order
(a SequentialSampler, any number of workers or ranks) it therefore resumes exactly: start at the
item where training stopped. Knows nothing about what an item is; whoever makes it raises an
InputError (RecordError, ImageError, CameraError are such) where a record cannot be used:

    mixture = Mixture({"rooms": Source(Records("rooms/*.jsonl"))}, make, seed=1, length=320_000)
    drawn = mixture[7]            # Drawn(value=make(record, rng), skipped=(Skip(...), ...))

The skips travel with the item, through workers, into the batch; whoever trains on the batch adds
them to a SkipCounts. So what is counted is what was trained on, and not what a worker read
ahead, and a resumed run goes on counting from the saved state.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from depthlm_ros.errors import InputError

ATTEMPTS = 100  # bad records in a row, then the data are not what somebody thinks they are
EXAMPLES = 5
ENOUGH = 100  # records drawn, before their share of bad ones says much


class Source(NamedTuple):
    """One data set: a sequence of records, and how often it is drawn against the others."""

    records: Sequence
    weight: float = 1.0


class Skip(NamedTuple):
    """A record that could not be used: its data set, the name of the error, its message."""

    source: str
    reason: str
    message: str


class Drawn(NamedTuple):
    """An item, and the records that were skipped on the way to it."""

    value: Any
    skipped: tuple


class Mixture:
    """`length` items; which data set by weight, which record uniformly, both by (seed, i).

    sources: name -> Source. make(record, rng) -> item. bad: "skip" a record that make or its
    reading refuses and draw another of its data set, or "refuse": raise its error.
    """

    def __init__(self, sources: dict, make: Callable, seed: int, length: int, bad: str = "skip"):
        _check(sources, bad)
        self._names = list(sources)
        self._records = [source.records for source in sources.values()]
        self._ends = np.cumsum([source.weight for source in sources.values()], dtype=np.float64)
        self._make = make
        self._seed = seed
        self._length = length
        self._bad = bad

    def __len__(self):
        return self._length

    def __getitem__(self, index) -> Drawn:
        if not 0 <= index < self._length:
            raise IndexError(f"the mixture has {self._length} items, asked for number {index}")
        first = np.random.default_rng([self._seed, index])
        which = int(np.searchsorted(self._ends, first.random() * self._ends[-1], side="right"))
        records, skipped = self._records[which], []
        for attempt in range(ATTEMPTS):  # within the data set, so that its weight stays
            rng = np.random.default_rng([self._seed, index, attempt])
            try:
                value = self._make(records[int(rng.integers(len(records)))], rng)
                return Drawn(value, tuple(skipped))
            except InputError as error:
                if self._bad == "refuse":
                    raise
                skipped.append(Skip(self._names[which], type(error).__name__, str(error)))
        raise InputError(
            f"{ATTEMPTS} records of '{self._names[which]}' in a row cannot be used, the last:"
            f" {skipped[-1].message}"
        )


def _check(sources, bad) -> None:
    if bad not in ("skip", "refuse"):
        raise InputError(f"bad is '{bad}', allowed: skip, refuse")
    if not sources:
        raise InputError("a mixture needs a data set, none is named")
    for name, source in sources.items():
        if not len(source.records):
            raise InputError(f"data set '{name}' is empty")
        if not 0 < source.weight < float("inf"):
            raise InputError(f"data set '{name}' has weight {source.weight}: must be positive")


class BadData(InputError):
    """More records than bad_share allows cannot be used."""


class SkipCounts:
    """How many records were skipped, by data set and reason, with the first few messages; and
    how many were used beside them."""

    def __init__(self, state: dict | None = None):
        state = state or {"counts": [], "examples": [], "used": 0}
        self._counts = Counter({(name, why): n for name, why, n in state["counts"]})
        self._examples = list(state["examples"])
        self._used = state["used"]

    def add(self, skips: Sequence, used: int) -> None:
        """Count the skips of a batch that was trained on, and the records it is made of."""
        self._used += used
        for skip in skips:
            self._counts[skip.source, skip.reason] += 1
            if len(self._examples) < EXAMPLES:
                self._examples.append(skip.message)

    def state(self) -> dict:
        """For json.dump beside a checkpoint; SkipCounts(state) goes on from there."""
        counts = [[name, why, n] for (name, why), n in sorted(self._counts.items())]
        return {"counts": counts, "examples": self._examples, "used": self._used}

    @property
    def total(self) -> int:
        """All skipped records."""
        return sum(self._counts.values())

    @property
    def share(self) -> float:
        """Of the records drawn, those that were skipped."""
        return self.total / max(self.total + self._used, 1)

    def check(self, bad_share: float, least: int = ENOUGH) -> None:
        """Raise BadData where more than bad_share was skipped of at least `least` records."""
        drawn = self.total + self._used
        if drawn >= least and self.share > bad_share:
            raise BadData(
                f"{self.total} of {drawn} records drawn ({self.share:.0%}) cannot be used, and"
                f" bad_share allows {bad_share:.0%}. {self.summary()}\nMend the data for a run"
                " with another --out, or raise bad_share: this one goes on from its newest"
                " complete checkpoint"
            )

    def summary(self) -> str:
        """What to print at the end."""
        if not self.total:
            return "no record was skipped"
        counts = (f"{name}: {n} {why}" for (name, why), n in sorted(self._counts.items()))
        lines = [f"{self.total} records were skipped ({'; '.join(counts)}), for example:"]
        return "\n  ".join([*lines, *self._examples])


def merged_counts(states: list) -> dict:
    """The states of several SkipCounts as that of one."""
    counts = Counter()
    for state in states:
        counts.update({(name, why): n for name, why, n in state["counts"]})
    return {
        "counts": [[name, why, n] for (name, why), n in sorted(counts.items())],
        "examples": [text for state in states for text in state["examples"]][:EXAMPLES],
        "used": sum(state["used"] for state in states),
    }
