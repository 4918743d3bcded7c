# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""An answerer whose answers are kept in a file, so that a run that was cut off goes on.

One JSON object a line: first the settings that the answers depend on, then the answers to one
record each, in their order. Knows nothing of how answers are found or what becomes of them.
"""

import json
from dataclasses import asdict
from math import isnan
from pathlib import Path

import numpy as np

from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.evaluate import Answers


class KeptAnswers:
    """Asks another answerer for what is not in the file yet; a context manager.

    path: of the file, begun where there is none. settings: a dict that JSON can hold; a file of
    other settings is refused with InputError that names them. kept: answers found and used.
    """

    def __init__(self, answerer, path, settings):
        self.name, self.kind, self.report = answerer.name, answerer.kind, answerer.report
        self.kept = 0
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

    def __call__(self, record) -> Answers:
        name = Path(record.where).name
        content = self._next()
        if content is None:
            answers = self._answerer(record)
            self._write({"record": name, **_columns(answers)})
            return answers
        if content.pop("record", None) != name:
            raise InputError(f"{self._path} does not hold the answers to {name}: delete it")
        self.kept += 1
        return _answers(content)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def remove(self) -> None:
        """Delete the file: the run is over."""
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
                f"{self._path} holds answers of a run with other settings"
                f" ({', '.join(differ)}): repeat that command, or delete the file"
            )

    def _next(self):
        """The next object, None at the end; half a line, left by a killed run, is cut off."""
        start = self._file.tell()
        line = self._file.readline()
        if not line.endswith(b"\n"):
            self._file.truncate(start)
            return None
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise InputError(f"{self._path} holds no answers ({error}): delete it") from error

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
