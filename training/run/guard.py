# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Keeps a gradient that is not a number, or far too large, from the weights.

Looks at the norm before clipping, once a step. Such a step is passed over, a bounded number of
times in a run, and the records that it was made of are named. What it knows goes into every
checkpoint, so that a resumed run refuses what an unbroken one would.
"""

from collections import deque
from math import isfinite
from statistics import median

from depthlm_ros.errors import DepthLMError

REMEMBERED = 200
ENOUGH = 20  # norms, before one can be called unusual
NAMED = 8  # records of a step


class BadStep(DepthLMError):
    """A step whose gradient must not be taken; the message names its records."""


class Guard:
    """spike: how many times the median of recent norms is too much; skip_steps: how many steps
    of a run may be passed over."""

    def __init__(self, spike: float, skip_steps: int = 0):
        self._spike, self._allowed = spike, skip_steps
        self._norms = deque(maxlen=REMEMBERED)
        self._names = []
        self.passed_over = []  # {"step", "norm", "records"} of each

    def saw(self, names: list) -> None:
        """These records are part of the step under way."""
        self._names += names

    def takes(self, norm: float, step: int) -> bool:
        """Whether the gradient of step number `step` may reach the weights, by its norm.

        Raises BadStep where no further step may be passed over.
        """
        usual = median(self._norms) if len(self._norms) >= ENOUGH else float("inf")
        names, self._names = self._names, []
        if isfinite(norm) and norm <= self._spike * usual:
            self._norms.append(norm)
            return True
        what = f"{norm:.3g}" + (f", usually {usual:.3g}" if isfinite(usual) else "")
        records = "; ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "")
        said = f"step {step}: the norm of the gradient is {what}; made of: {records}"
        if len(self.passed_over) >= self._allowed:
            raise BadStep(
                f"{said}. {self._allowed} such steps may be passed over (skip_steps). Raise"
                " skip_steps or spike and start again: the run goes on from its newest"
                " checkpoint. Other data or a lower lr are another run: give it another --out"
                " and this run's folder as --base"
            )
        self.passed_over.append({"step": step, "norm": f"{norm:.3g}", "records": names[:NAMED]})
        print(f"passed over, {len(self.passed_over)} of {self._allowed}: {said}", flush=True)
        return False

    def state(self) -> dict:
        """For json.dump beside a checkpoint."""
        return {"norms": list(self._norms), "passed_over": self.passed_over}

    def restore(self, state: dict) -> None:
        """Go on from what state() gave."""
        self._norms.extend(state["norms"])
        self.passed_over = list(state["passed_over"])
