# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What is wrong with the entries of a file that a person wrote, each by its key and in our words.

pydantic finds it, in depthlm.json (checkpoints.py) and in the configs of training.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple, get_args, get_type_hints

from pydantic import ValidationError


class BadEntry(NamedTuple):
    """One entry that cannot be used: its file, its key such as "stages[0].lr", and why."""

    file: str
    key: str
    words: str

    def __str__(self) -> str:
        return (
            f"{self.file}: {self.key} {self.words}" if self.key else f"{self.file}: {self.words}"
        )


def bad_entries(
    kind: type, error: ValidationError, file: str, files: Mapping[str, str] = MappingProxyType({})
) -> list[BadEntry]:
    """Everything that pydantic found wrong where it read a dataclass `kind`.

    file: where entries stand that `files` (top entry -> file) does not name.
    """
    return [_bad_entry(kind, one, file, files) for one in error.errors()]


def _bad_entry(kind: type, error: Any, file: str, files: Mapping[str, str]) -> BadEntry:
    place = [step for step in error["loc"] if step != "[key]"]
    file = files.get(place[0], file) if place else file
    key = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in place).lstrip(".")
    what, came, said = error["type"], error["input"], error["msg"]
    if what == "unexpected_keyword_argument":
        known = [field.name for field in fields(_record_at(kind, place[:-1]))]
        near = get_close_matches(str(place[-1]), known, 1)
        meant = f"did you mean {near[0]}?" if near else f"allowed here: {', '.join(known)}"
        return BadEntry(file, key, f"is unknown: {meant}")
    if what == "missing":
        return BadEntry(file, key, "is missing")
    if what == "value_error":
        return BadEntry(file, key, said.removeprefix("Value error, "))
    allowed = said.removeprefix("Input should be ")
    for theirs, ours in _WORDS:
        allowed = allowed.replace(theirs, ours)
    came = "unknown" if "[key]" in error["loc"] else f"{came!r}"
    return BadEntry(file, key, f"is {came}; allowed: {allowed}")


_WORDS = (
    ("greater than or equal to", "at least"),
    ("less than or equal to", "at most"),
    ("a valid integer", "a whole number"),
    ("a valid number", "a number"),
    ("a valid boolean", "true or false"),
)


def _record_at(kind: type, place: list[Any]) -> type:
    """The dataclass that holds the entries at a place inside `kind`; the steps into lists and
    dictionaries are none of its fields."""
    for step in place:
        kind = _record_in(get_type_hints(kind).get(step)) or kind
    return kind


def _record_in(hint: Any) -> Any:
    if is_dataclass(hint):
        return hint
    return next((found for arg in get_args(hint) if (found := _record_in(arg))), None)
