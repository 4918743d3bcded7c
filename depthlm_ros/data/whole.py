# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Files that are written whole or not at all: a full disk or Ctrl+C leaves the old one."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC
from os import PathLike
from pathlib import Path

from depthlm_ros.errors import InputError

NO_SPACE = ENOSPC, EDQUOT, EFBIG  # on the disk, of the user, of one file


def check_writable(path: str | PathLike[str], read: Iterable[str | PathLike[str]] = ()) -> None:
    """InputError where no file can be at path, or one of those that are read is there, before
    hours are spent on what goes into it."""
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} for {path.name} does not exist")
    if path.is_dir():
        raise InputError(f"{path} is a folder, and a file is to be written")
    if path.is_file() and any(Path(one).is_file() and path.samefile(one) for one in read):
        raise InputError(
            f"{path} is read, and would be written over: give the output another name"
        )


@contextmanager
def becoming(path: Path, part: Path | None = None) -> Iterator[Path]:
    """The file `part`, which is written in the block, becomes `path` if that raises nothing, and
    is deleted else. By default it lies beside `path`, and no pattern of its ending finds it."""
    part = part or path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_file(path: str | PathLike[str]) -> Iterator[Path]:
    """A path to write to, with the ending of `path`, that becomes it if the block raises nothing.

    What is no file, such as a pipe, is written to directly. An OSError, of the block too, becomes
    an InputError that names `path`.
    """
    target = Path(os.path.realpath(path))  # a link keeps pointing where it does
    part = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        if target.exists() and not target.is_file():
            yield target
            return
        with becoming(target, part):
            yield part
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path} cannot be written: {reason}") from error
