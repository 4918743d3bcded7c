# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The tables of nuScenes: JSON lists of rows that name each other by tokens. Of the largest ones
only what is needed is kept while they are parsed.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from depthlm_ros.errors import InputError
from training.curate.formats.files import json_of

POSE = "token", "rotation", "translation"
SENSOR = *POSE, "camera_intrinsic"
DATUM = ("sample_token", "ego_pose_token", "calibrated_sensor_token", "filename", "timestamp",
         "width", "height")  # fmt: skip
Keep = Callable[[dict[str, Any]], dict[str, Any] | None]


class Shown(NamedTuple):
    """One row of sample_data: a file and where its sensor was.

    stamp_us: microseconds.
    sensor: token of its calibration.
    car: the car in the world, a quaternion (w, x, y, z) and a place (x, y, z).
    """

    file: str
    stamp_us: int
    sensor: str
    width: int
    height: int
    car: tuple[float, ...]


def rows_of(
    path: Path, keep: Keep | None = None, fields: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The rows of a table. keep: called with each while the file is parsed, so that millions are
    never held. fields: that each row must have. Raises InputError, also for a field that `keep`
    does not find."""
    try:
        rows = json_of(path, object_hook=keep)
    except KeyError as error:
        raise InputError(f"{path}: a row has no field {error}") from error
    if not isinstance(rows, list):
        raise InputError(f"{path} holds a {type(rows).__name__}, needed is a list of rows")
    rows = [row for row in rows if row]
    for row in rows:
        lacking = [field for field in fields if not isinstance(row, dict) or field not in row]
        if lacking:
            raise InputError(f"{path}: the row {str(row)[:60]} has no field {lacking[0]!r}")
    return rows


@lru_cache(maxsize=2)
def by_token(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of calibrated_sensor.json by their token. Raises InputError."""
    return {row["token"]: row for row in rows_of(path, fields=SENSOR)}


def keyframes(tables: Path, channels: Sequence[str]) -> dict[str, dict[str, Shown]]:
    """By sample, by channel, of the sensors `channels`. Raises InputError."""

    def keyframe(row: dict[str, Any]) -> dict[str, Any] | None:
        return row if row["is_key_frame"] and _channel(row) in channels else None

    shown = rows_of(tables / "sample_data.json", keyframe, DATUM)
    needed = {row["ego_pose_token"] for row in shown}

    def of_keyframe(row: dict[str, Any]) -> dict[str, Any] | None:
        return row if row["token"] in needed else None

    cars = {
        row["token"]: (*row["rotation"], *row["translation"])
        for row in rows_of(tables / "ego_pose.json", of_keyframe, POSE)
    }
    found: dict[str, dict[str, Shown]] = {}
    for row in shown:
        car = cars.get(row["ego_pose_token"], ())
        size = row["width"] or 0, row["height"] or 0
        sensor = row["calibrated_sensor_token"]
        seen = Shown(row["filename"], row["timestamp"], sensor, *size, car)
        found.setdefault(row["sample_token"], {})[_channel(row)] = seen
    return found


def _channel(row: dict[str, Any]) -> str:
    """samples/CAM_FRONT/... -> CAM_FRONT."""
    return Path(row["filename"]).parent.name
