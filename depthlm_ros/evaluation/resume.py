# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""An answerer whose answers are saved to a file, so that an interrupted run can continue.

One JSON object per line: first the settings that the answers depend on, then the answers to one
record each, in order.
"""

import json
from dataclasses import asdict
from math import isnan
from os import PathLike
from pathlib import Path

import numpy as np

from depthlm_ros.data.records import Record
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.evaluate import Answerer, Answers


class SavedAnswers:
    """Asks another answerer for what is not in the file yet; a context manager.

    path: the file, created where it does not exist. settings: a dict that JSON can hold; a file
    of other settings is refused with an InputError that names them. reused: how many answers the
    file held.
    """

    def __init__(self, answerer: Answerer, path: str | PathLike, settings: dict):
        self.name, self.kind, self.report = answerer.name, answerer.kind, answerer.report
        self.reused = 0
        self._answerer = answerer
        self._path = Path(path)
        try:
            self._file = open(path, "a+b")  # noqa: SIM115 - until __exit__; appends
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error}") from error
        try:
            self._begin(json.loads(json.dumps(settings)))
        except BaseException:
            self._file.close()
            raise

    def __call__(self, record: Record) -> Answers:
        name = Path(record.where).name
        content = self._next()
        if content is None:
            answers = self._answerer(record)
            self._write({"record": name, **_columns(answers)})
            return answers
        if content.pop("record", None) != name:
            raise InputError(
                f"{self._path} holds the answers to other records than {name}: delete it"
            )
        self.reused += 1
        return _answers(content)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def remove(self) -> None:
        """Delete the file, when the run is complete."""
        self._path.unlink()

    def _begin(self, settings) -> None:
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

    def _next(self):
        """The next object, None at the end; half a line, left by a killed run, is removed."""
        start = self._file.tell()
        line = self._file.readline()
        if not line.endswith(b"\n"):
            self._file.truncate(start)
            return None
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{self._path} is not a file of saved answers ({error}): delete it, or give"
                " another --json"
            ) from error

    def _write(self, content) -> None:
        try:
            self._file.write(json.dumps(content).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"{self._path} cannot be written: {error}") from error


def _columns(answers) -> dict:
    """name -> list; null where a number is not known."""
    columns = asdict(answers).items()
    return {n: [None if isnan(x) else x for x in column.tolist()] for n, column in columns}


def _answers(columns) -> Answers:
    arrays = {name: np.array(column, np.float64) for name, column in columns.items()}
    return Answers(**{**arrays, "status": arrays["status"].astype(np.uint8)})
