# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Words of a command line -> values, as argparse takes them for `type`: each function raises
ArgumentTypeError, which says what is allowed and what came."""

import argparse
import re
from collections.abc import Callable
from contextlib import suppress
from math import inf

from depthlm_ros.msgs import names

LONGEST_NODE = 200  # characters of its name; DDS allows topics of 255


def pixel(text: str) -> tuple[float, float]:
    """(u, v) of "320,240"."""
    try:
        u, v = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"a pixel is u,v such as 320,240, got '{text.strip()}'"
        ) from None
    return u, v


def named(text: str) -> str:
    """A name that is not empty, as that of a variable of the shell which is not set would be."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty: give one, or leave the option out")
    return text


def node(text: str) -> str:
    """The full name of a node, /depthlm of "depthlm" too."""
    name = text.strip("/")
    if len(name) > LONGEST_NODE or not re.fullmatch(names.PATH, name):
        raise argparse.ArgumentTypeError(
            f"the name of a node such as /depthlm ({names.RULE}), got '{text[:LONGEST_NODE]}'"
        )
    return f"/{name}"


def box(text: str) -> tuple[int, int, int, int]:
    """(left, top, width, height) in whole pixels of "100,40,120,60"."""
    try:
        left, top, width, height = map(int, text.split(","))
        if min(left, top) < 0 or min(width, height) < 1:
            raise ValueError(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            "a box is left,top,width,height in whole pixels inside the image, such as"
            f" 100,40,120,60, got '{text.strip()}'"
        ) from None
    return left, top, width, height


def grid(text: str) -> tuple[int, int]:
    """(columns, rows) of "32x24"."""
    try:
        columns, rows = map(count, text.lower().split("x"))
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(
            f"a grid is COLUMNSxROWS such as 32x24, got '{text}'"
        ) from None
    return columns, rows


def words(text: str) -> tuple[str, ...]:
    """("marker", "position") of "marker,position"."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def count(text: str) -> int:
    """A whole number of at least 1."""
    return _whole(text, 1)


def from_zero(text: str) -> int:
    """A whole number of at least 0."""
    return _whole(text, 0)


def above_one(text: str) -> int:
    """A whole number of at least 2, such as which of several blocks is held out."""
    return _whole(text, 2)


def positive(text: str) -> float:
    """A number above 0."""
    return _number(text, "a number above 0", lambda found: 0 < found < inf)


def not_negative(text: str) -> float:
    """A number of at least 0."""
    return _number(text, "a number of 0 or more", lambda found: 0 <= found < inf)


def seconds(text: str) -> float:
    """A number of seconds, at least 0, that a clock can wait for."""
    return _number(text, "a number of seconds, 0 or more", lambda found: 0 <= found < 2**31)


def _whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"a whole number of {least} or more, got '{text}'")
    return int(text)


def _number(text: str, allowed: str, is_allowed: Callable[[float], bool]) -> float:
    with suppress(ValueError):
        if is_allowed(found := float(text)):
            return found
    raise argparse.ArgumentTypeError(f"{allowed}, got '{text.strip()}'")
