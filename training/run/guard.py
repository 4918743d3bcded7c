# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Stops a run before a gradient that is not a number, or far too large, reaches the weights.

Looks at the norm before clipping, once a step, and names the records that the step was made of.
"""

from collections import deque
from math import isfinite
from statistics import median

from depthlm_ros.errors import DepthLMError

REMEMBERED = 200
ENOUGH = 20  # norms, before one can be called unusual


class BadStep(DepthLMError):
    """A step whose gradient must not be taken; the message names its records."""


class Guard:
    """spike: how many times the median of recent norms is too much."""

    def __init__(self, spike):
        self._spike = spike
        self._norms = deque(maxlen=REMEMBERED)
        self._names = []

    def saw(self, names) -> None:
        """These records are part of the step under way."""
        self._names += names

    def check(self, norm, step) -> None:
        """The step's gradient has this norm; raises BadStep."""
        usual = median(self._norms) if len(self._norms) >= ENOUGH else float("inf")
        names, self._names = self._names, []
        if isfinite(norm) and norm <= self._spike * usual:
            self._norms.append(norm)
            return
        what = f"{norm:.3g}" + (f", usually {usual:.3g}" if usual < float("inf") else "")
        raise BadStep(
            f"step {step + 1}: the norm of the gradient is {what}; the weights were left as they"
            f" were. Its pictures: {'; '.join(names)}. Look at them with training.preview, leave"
            " them out, or lower lr; the run goes on from its newest checkpoint"
        )
