# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What was found out about records, saved to a file, so that an interrupted run can continue.

One JSON object per line: first the settings that the results depend on, then the result of one
record each, in order.
"""

import fcntl
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from math import isnan, nan
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import numpy as np

from depthlm_ros.data.records import Record
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.evaluate import Answerer, Answers
from depthlm_ros.evaluation.maps import ImageMeasures

Result = TypeVar("Result")


class Saved(Generic[Result]):
    """Asks for what is not in the file yet; a context manager.

    ask: (record, ...) -> a dataclass of numbers and arrays; read: the same from its names and
    values, lists of numbers or numbers, NaN where unknown. path: the file, created where it does
    not exist. settings: a dict that JSON can hold; a file of other settings is refused with an
    InputError that names them. reused: how many results the file held.
    """

    def __init__(
        self,
        ask: Callable[..., Result],
        read: Callable[[dict[str, Any]], Result],
        path: str | PathLike[str],
        settings: dict[str, Any],
    ):
        self.reused = 0
        self._ask, self._read = ask, read
        self._path = Path(path)
        try:
            self._file = open(path, "a+b")  # noqa: SIM115 - until __exit__; appends
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._begin(json.loads(json.dumps(settings)))
        except BlockingIOError:
            self._close()
            raise InputError(f"another run is writing {path}: give another --json") from None
        except BaseException:
            self._close()
            raise

    def __call__(self, record: Record, *more: Any) -> Result:
        name = Path(record.where).name
        content = self._next()
        if content is None:
            result = self._ask(record, *more)
            values = asdict(result)  # type: ignore[call-overload]
            self._write({"record": name, **{n: _plain(value) for n, value in values.items()}})
            return result
        if content.pop("record", None) != name:
            raise InputError(
                f"{self._path} holds the answers to other records than {name}: delete it"
            )
        self.reused += 1
        try:
            return self._read({n: _number(value) for n, value in content.items()})
        except (KeyError, TypeError) as error:
            raise self._unreadable(error) from error

    def __enter__(self) -> "Saved[Result]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def remove(self) -> None:
        """Delete the file, when the run is complete."""
        self._path.unlink()

    def _close(self) -> None:
        with suppress(OSError):  # what a full disk did not take was told when it was written
            self._file.close()

    def _begin(self, settings: dict[str, Any]) -> None:
        self._file.seek(0)
        found = self._next()
        if found is None:
            self._write(settings)
            return
        names = sorted(found.keys() | settings.keys())
        differ = [name for name in names if found.get(name) != settings.get(name)]
        if differ:
            raise InputError(
                f"{self._path} holds the answers of a run with other settings"
                f" ({', '.join(differ)}): repeat that command, or delete the file"
            )

    def _next(self) -> dict[str, Any] | None:
        """The next object, None at the end; half a line, left by a killed run, is removed."""
        start = self._file.tell()
        line = self._file.readline()
        if not line.endswith(b"\n"):
            self._file.truncate(start)
            return None
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> InputError:
        return InputError(
            f"{self._path} is not a file of saved answers ({error}): delete it, or give another"
            " --json"
        )

    def _write(self, content: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(content).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"{self._path} cannot be written: {error}") from error


class SavedAnswers(Saved[Answers]):
    """An answerer whose answers are saved."""

    def __init__(self, answerer: Answerer, path: str | PathLike[str], settings: dict[str, Any]):
        super().__init__(answerer, _answers, path, settings)
        self.name, self.kind, self.report = answerer.name, answerer.kind, answerer.report


class SavedMaps(Saved[ImageMeasures]):
    """Measures of maps, (record, its number) -> ImageMeasures, that are saved."""

    def __init__(
        self,
        measure: Callable[[Record, int], ImageMeasures],
        path: str | PathLike[str],
        settings: dict[str, Any],
    ):
        super().__init__(measure, lambda values: ImageMeasures(**values), path, settings)


def _plain(value: Any) -> Any:
    """A number, or a list of an array's; null where it is not known."""
    if isinstance(value, np.ndarray):
        return [_plain(one) for one in value.tolist()]
    return None if isnan(value) else value


def _number(value: Any) -> Any:
    if isinstance(value, list):
        return [_number(one) for one in value]
    return nan if value is None else value


def _answers(columns: dict[str, Any]) -> Answers:
    arrays = {name: np.array(column, np.float64) for name, column in columns.items()}
    arrays["status"] = arrays["status"].astype(np.uint8)
    return Answers(**arrays)
