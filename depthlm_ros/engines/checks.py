# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Which answers of an engine are checked, and what came of it.

The words of an answer are given to the model; a check asks whether it would have said them by
itself. How that is found out is the engine's own.
"""

from collections import Counter

from depthlm_ros.errors import InputError
from depthlm_ros.question import Style

CHECKS = ("auto", "on", "off")
SAMPLED = 64  # questions of a scene, of which one is checked where not all are


def is_checked(check: str, style: Style) -> bool:
    """Whether `check` (one of CHECKS) has all answers in this style checked.

    "auto": where an image is computed per question, which costs so much that a check hardly shows;
    in other styles a sample is checked, see Checks.
    """
    return check == "on" or (check == "auto" and not style.shares_image)


class Checks:
    """Of one engine.

    check: one of CHECKS. "auto": all answers in the styles that is_checked names, and in the
    others the first question of a scene and one in SAMPLED, until one of them falls back: from
    then on all in that style.

    counts: how many replies were "checked" so far, and how many of them "fell_back" to free
    decoding.

    Raises InputError for another check.
    """

    def __init__(self, check: str):
        if check not in CHECKS:
            raise InputError(f"check is {check!r}, allowed: {', '.join(CHECKS)}")
        self.counts: Counter[str] = Counter()
        self._check = check
        self._fallen_back: set[str] = set()  # styles in which a reply did

    def all_in(self, style: Style) -> bool:
        """Whether all answers in a style are checked."""
        distrusted = self._check == "auto" and style.name in self._fallen_back
        return distrusted or is_checked(self._check, style)

    def sample(self, tally: Counter[str], count: int) -> list[int]:
        """Which of the next `count` questions of a scene are checked where not all are.

        tally: of the scene, how many were "answered" before; they are added to it.
        """
        before = tally["answered"]
        tally["answered"] += count
        if self._check != "auto":
            return []
        return [i for i in range(count) if (before + i) % SAMPLED == 0]

    def note(self, style: Style, free: bool) -> bool:
        """A reply in a style was checked; free: it fell back. Whether that is the first in this
        style, of which the user should hear."""
        self.counts += Counter(checked=1, fell_back=int(free))
        is_first = free and style.name not in self._fallen_back
        if is_first:
            self._fallen_back.add(style.name)
        return is_first
