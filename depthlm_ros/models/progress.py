# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How far a long job is: a callable progress(fraction, what), fraction from 0 to 1, ascending.

Knows nothing about what takes so long.
"""


def silent(fraction, what) -> None:
    """Tell nobody."""


def span(progress, begin, end):
    """The progress of a part that runs from fraction `begin` to `end` of the whole."""
    return lambda fraction, what: progress(begin + fraction * (end - begin), what)
