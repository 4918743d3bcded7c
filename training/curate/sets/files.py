# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Files of data sets. What makes a set unusable is an InputError, a broken image a Skip."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from depthlm_ros.data.files import ImagePath, read_image, read_raster
from depthlm_ros.errors import ImageError, InputError, first_line
from training.curate.sample import DataSet, Skip


def check_split(data_set: DataSet, split: str) -> None:
    """Raises InputError for a split that the set does not have."""
    if split not in data_set.splits:
        allowed = ", ".join(data_set.splits)
        raise InputError(f"{data_set.name} has no split '{split}', allowed: {allowed}")


def json_of(path: Path, **how: Any) -> Any:
    """The content of a JSON file. how: of json.load. Raises InputError."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file, **how)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {first_line(error)}") from error


def rgb_of(path: ImagePath, name: str = "") -> np.ndarray:
    """(H, W, 3) uint8 RGB as stored. Raises Skip."""
    if isinstance(path, Path) and not path.is_file():
        raise Skip("no image file", str(path))
    try:
        return read_image(path, upright=False, name=name)
    except ImageError as error:
        raise Skip("truncated image", str(error)) from error


def metres_of(path: Path, per_metre: float) -> np.ndarray:
    """(H, W) float32 metres of a 16-bit grey PNG that counts per_metre, NaN where it holds 0.
    Raises Skip."""
    if not path.is_file():
        raise Skip("no depth file", str(path))
    try:
        raw = read_raster(path)
    except ImageError as error:
        raise Skip("truncated depth", str(error)) from error
    if raw.ndim != 2 or raw.dtype != np.uint16:
        raise Skip("not a depth image", f"{path}: {raw.dtype} of shape {raw.shape}")
    return np.where(raw > 0, raw / per_metre, np.nan).astype(np.float32)
