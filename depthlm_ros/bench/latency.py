# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rows of a table: how long something took, many times over, and what it cost a processor.
Measures nothing."""

from dataclasses import dataclass

import numpy as np

HEADER = f"{'':<52}{'n':>5}{'median':>11}{'95 %':>11}{'max':>11}  goal"


@dataclass(frozen=True)
class Latency:
    """Milliseconds that n repetitions took; None where there was none. goal: whether it is met,
    in words, or why nothing was measured."""

    what: str
    n: int = 0
    median_ms: float | None = None
    p95_ms: float | None = None
    max_ms: float | None = None
    goal: str = ""

    def line(self) -> str:
        """For a table."""
        text = "".join(
            f"{'-' if value is None else f'{value:.2f} ms':>11}"
            for value in (self.median_ms, self.p95_ms, self.max_ms)
        )
        return f"{self.what:<52}{self.n:>5}{text}  {self.goal}".rstrip()


@dataclass(frozen=True)
class Cost:
    """Milliseconds of processor time that something took for each of n."""

    what: str
    n: int
    processor_ms: float

    def line(self) -> str:
        """For a table, below the medians of Latency."""
        return f"{self.what:<52}{self.n:>5}{f'{self.processor_ms:.2f} ms':>11}"


def latency(what, seconds, measure="", limit_ms=0.0) -> Latency:
    """The Latency of what took `seconds` (N,), N at least 1.

    measure: "median" or "max", which the goal says must be below limit_ms; empty: there is none.
    """
    times = np.asarray(seconds, float) * 1e3
    found = {"median": float(np.median(times)), "max": float(times.max())}
    goal = ""
    if measure:
        met = "met" if found[measure] < limit_ms else "missed"
        goal = f"{measure} < {limit_ms:g} ms: {met}"
    p95 = float(np.percentile(times, 95))
    return Latency(what, len(times), found["median"], p95, found["max"], goal)
