# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How far a long job is: a callable progress(fraction, what), fraction from 0 to 1, ascending.

A module of its own since what passes it on (engines, commands, the worker) imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]


def silent(fraction: float, what: str) -> None:
    """Tell nobody."""


def span(progress: Progress, begin: float, end: float) -> Progress:
    """The progress of a part that runs from fraction `begin` to `end` of the whole."""
    return lambda fraction, what: progress(begin + fraction * (end - begin), what)
