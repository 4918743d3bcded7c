# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Lines of large text files by number, without loading them.

A file is read once to find where its lines begin; after that any line costs one seek. Eight bytes
of memory per line. A byte order mark, as Windows editors write it, is not part of the first line.
"""

import os
from collections.abc import Sequence
from glob import escape, glob, has_magic
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from depthlm_ros.errors import RecordError

_CHUNK = 1 << 24
_NEWLINE = 10
_BLANK = 8  # bytes that a line of spaces may have; it is empty, as is one of Windows' line ends
_SPACES = b" \t\r"  # which JSON allows anywhere


class Line(NamedTuple):
    """One line of a file; number counts from 1."""

    text: str
    path: Path
    number: int

    @property
    def where(self) -> str:
        """ "file:line", for messages."""
        return f"{self.path}:{self.number}"


class Lines(Sequence):
    """The lines of one or several files, end to end, without empty ones.

    files: a path, a glob pattern, or a list of them; matches of a pattern come in the order of
    their names. Raises RecordError for a file that does not exist.
    """

    def __init__(self, files):
        self.files = found_files(files)
        tables = [_table(path) for path in self.files]
        self._starts = [starts for starts, _ in tables]
        self._numbers = [numbers for _, numbers in tables]
        self._ends = np.cumsum([len(starts) for starts in self._starts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Line:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} lines, asked for number {index}")
        which = int(np.searchsorted(self._ends, index, side="right"))
        row = index - (int(self._ends[which - 1]) if which else 0)
        numbers = self._numbers[which]
        number = row + 1 if numbers is None else int(numbers[row])
        return _read(self.files[which], int(self._starts[which][row]), number)


def pattern_of(folder: str | PathLike[str]) -> str:
    """The pattern of a folder's .jsonl files, whatever characters its name has."""
    return f"{escape(os.fspath(folder))}/*.jsonl"


def found_files(files) -> list[Path]:
    """The files of a path, a glob pattern, or a list of them; RecordError where there is none."""
    if isinstance(files, (str, Path)):
        files = [files]
    found = []
    for name in map(str, files):
        is_pattern = has_magic(name) and not os.path.exists(name)
        matches = sorted(glob(name, recursive=True)) if is_pattern else [name]
        if not matches:
            raise RecordError(f"no file matches {name}")
        found += map(Path, matches)
    if not found:
        raise RecordError("no records file was named")
    return found


def _table(path):
    """(starts (N,) int64, their line numbers or None where these are 1, 2, 3, ...)."""
    ends, at = [], 0
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                ends.append(np.flatnonzero(np.frombuffer(chunk, np.uint8) == _NEWLINE) + at)
                at += len(chunk)
            ends = np.concatenate([*ends, [at]]).astype(np.int64)
            starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
            filled = ends > starts
            for row in np.flatnonzero(filled & (ends - starts <= _BLANK)):
                file.seek(starts[row])
                filled[row] = bool(file.read(ends[row] - starts[row]).strip(_SPACES))
    except IsADirectoryError as error:
        raise RecordError(
            f"{path} is a folder: name the records files in it, such as {path}/*.jsonl"
        ) from error
    except OSError as error:
        raise RecordError(f"records file {path} cannot be read: {error.strerror}") from error
    in_order = filled[: filled.sum()].all()
    return starts[filled], None if in_order else np.flatnonzero(filled) + 1


def _read(path, start, number) -> Line:
    try:
        with open(path, "rb") as file:
            file.seek(start)
            encoding = "utf-8" if start else "utf-8-sig"
            return Line(file.readline().decode(encoding), path, number)
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}:{number} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise RecordError(f"{path}:{number} cannot be read: {error}") from error
