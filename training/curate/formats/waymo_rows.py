# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rows of Waymo's parquet files: a file holds all frames of a segment, a row one sensor of one
frame. Rows are decoded one after the other, since a segment as a whole is gigabytes.
"""

from collections import deque
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from depthlm_ros.errors import InputError, first_line
from training.curate.formats.files import needed
from training.curate.sample import Skip

STAMP, CAMERA, LASER = "key.frame_timestamp_micros", "key.camera_name", "key.laser_name"
RECENT = 8  # rows that are kept: those of one frame and a few more


class Row(dict[str, Any]):
    """A row's values by the names of their columns without "[Component].", and its "file"."""

    def __missing__(self, name: str) -> Any:
        raise InputError(
            f"{self['file']} has no column that ends in {name}: is it version 2 of the data set?"
        )


def row_of(path: Path, row: tuple[int, int]) -> Row:
    """The row of (stamp, camera or laser); 0 for what the file does not have. Raises Skip."""
    number = index_of(path).get(row)
    if number is None:
        raise Skip(f"no {path.parent.name}", f"{path}: no row {row}")
    try:
        stream = _stream(path, 0 if _by_time(path) else row[1])
        return Row({"file": str(path), **stream.row(number)})
    except (OSError, pa.ArrowException, StopIteration) as error:
        raise Skip(f"broken {path.parent.name}", f"{path}: {first_line(error)}") from error


def raster_of(row: Row, name: str) -> np.ndarray:
    """(H, W, channels) of a range image. Raises Skip."""
    values, shape = row[f"{name}.values"], row[f"{name}.shape"]
    if values is None or shape is None or len(shape) != 3 or np.prod(shape) != len(values):
        count = None if values is None else len(values)
        raise Skip(
            "broken range image", f"{row['file']}: {name} has shape {shape}, {count} values"
        )
    return values.reshape(shape)


@lru_cache(maxsize=32)
def index_of(path: Path, name: str = "") -> dict[tuple[int, int], int]:
    """(stamp, camera or laser) -> number of the row; 0 for what the file does not have.

    name: a column that the file must have. Raises Skip, or InputError where that is missing.
    """
    needed(path, f"no {path.parent.name}")
    try:
        names = parquet.read_schema(path).names
        wanted = [one for one in (STAMP, CAMERA, LASER) if one in names]
        table = parquet.read_table(path, columns=wanted)
    except (OSError, pa.ArrowException) as error:
        raise Skip(f"broken {path.parent.name}", f"{path}: {first_line(error)}") from error
    if name and name not in wanted:
        raise InputError(f"{path} has no column {name}: is it version 2 of the data set?")
    rows = range(table.num_rows)
    stamps = table[STAMP].to_pylist() if STAMP in wanted else [0] * len(rows)
    sensors = [one for one in wanted if one != STAMP]
    numbers = table[sensors[0]].to_pylist() if sensors else [0] * len(rows)
    return dict(zip(zip(stamps, numbers, strict=True), rows, strict=True))


class _Stream:
    """The rows of a file, by rising numbers; going back beyond RECENT begins again."""

    def __init__(self, path: Path):
        self._file = parquet.ParquetFile(path, buffer_size=1 << 20)
        names = self._file.schema_arrow.names
        self._columns = [name for name in names if "]." in name and "return2" not in name]
        self._begin()

    def _begin(self) -> None:
        self._rows = self._file.iter_batches(batch_size=1, columns=self._columns)
        self._next = 0
        self._last: deque[tuple[int, pa.RecordBatch]] = deque(maxlen=RECENT)

    def row(self, number: int) -> dict[str, Any]:
        if number < self._next - len(self._last):
            self._begin()
        while self._next <= number:
            self._last.append((self._next, next(self._rows)))
            self._next += 1
        batch = dict(self._last)[number]
        return {name.split("].")[1]: _value(batch[name][0]) for name in self._columns}


def _value(scalar: pa.Scalar) -> Any:
    if isinstance(scalar, pa.ListScalar | pa.FixedSizeListScalar) and scalar.is_valid:
        return scalar.values.to_numpy(zero_copy_only=False)
    return scalar.as_py()


@lru_cache(maxsize=32)
def _stream(path: Path, sensor: int) -> _Stream:
    return _Stream(path)


@lru_cache(maxsize=32)
def _by_time(path: Path) -> bool:
    """Whether the rows of one frame stand together; else each sensor gets a stream of its own, so
    that it reads on from where it was."""
    stamps = [row[0] for row in index_of(path)]
    return stamps == sorted(stamps)
