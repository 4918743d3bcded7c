# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What became of the requests: rates, latencies, failures. Counts, and judges nothing.

Knows neither ROS nor models. Written by one thread at a time a name, read by any.
"""

import time
from collections import Counter, deque

import numpy as np

WINDOW_S = 10.0  # a rate is that of the last ten seconds
KEPT = 1000  # events of a kind that are remembered


class Rate:
    """Events a second, as they came lately."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=KEPT)

    def count(self) -> None:
        """One more."""
        self._times.append(time.monotonic())

    def per_second(self) -> float:
        """Of the last WINDOW_S seconds; of those remembered where they were too many."""
        now = time.monotonic()
        recent = [t for t in list(self._times) if now - t < WINDOW_S]
        if len(recent) < KEPT:
            return len(recent) / WINDOW_S
        return len(recent) / (now - recent[0])


class Statistics:
    """Of requests that were settled, by the kind they were asked as (query, grid ...).

    failures: error class or status of a pixel -> how many requests or pixels, since the start.
    in_a_row: requests that failed since the last one that did not, but for those whose callers
    wanted or caused it; last_failure: why.
    """

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        self.in_a_row = 0
        self.last_failure = ""
        self._rates: dict[str, Rate] = {}
        self._latencies: dict[str, deque[float]] = {}
        self._timed_out = Rate()

    def answered(self, kind: str, seconds: float, statuses: dict[str, int]) -> None:
        """A request of this kind was answered after some seconds; statuses: name -> pixels."""
        self._rates.setdefault(kind, Rate()).count()
        self._latencies.setdefault(kind, deque(maxlen=KEPT)).append(seconds)
        self.failures.update(statuses)
        self.in_a_row = 0
        if statuses.get("TIMED_OUT"):
            self._timed_out.count()

    def failed(self, error: BaseException, is_callers: bool = False) -> None:
        """A request ended with this error. is_callers: which says nothing about the node."""
        self.failures[type(error).__name__] += 1
        if is_callers:
            return
        self.in_a_row += 1
        self.last_failure = str(error)

    def kinds(self) -> list[str]:
        """Kinds of which a request was answered."""
        return sorted(self._rates)

    def per_second(self, kind: str) -> float:
        """Requests of a kind that were answered, as of lately."""
        return self._rates[kind].per_second()

    def latency_s(self, kind: str) -> tuple[float, float]:
        """(median, 95 %) seconds of the last KEPT requests of a kind."""
        median, high = np.percentile(list(self._latencies[kind]), (50, 95))
        return float(median), float(high)

    @property
    def late(self) -> bool:
        """Whether a request timed out within the last WINDOW_S seconds."""
        return self._timed_out.per_second() > 0
