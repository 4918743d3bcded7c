# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Feather files of Argoverse 2: tables, and poses in them."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather
from scipy.spatial.transform import Rotation

from depthlm_ros.errors import first_line
from training.curate.geometry import Track
from training.curate.sample import Skip


def table_of(path: Path, reason: str) -> dict[str, np.ndarray]:
    """The columns of a feather file. Raises Skip(reason)."""
    try:
        table = feather.read_table(path, memory_map=False)
    except (OSError, pa.ArrowException) as error:
        raise Skip(reason, f"{path}: {first_line(error)}") from error
    return {name: table[name].to_numpy() for name in table.column_names}


def poses_of(path: Path, reason: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The columns, and (N, 7) of them: a quaternion (w, x, y, z) and metres."""
    table = table_of(path, reason)
    try:
        columns = [table[name] for name in ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")]
    except KeyError as error:
        raise Skip(reason, f"{path}: no column {error}") from error
    return table, np.stack(columns, axis=1).astype(np.float64)


@lru_cache(maxsize=4)
def track_of(path: Path) -> Track:
    """The car in the city."""
    table, rows = poses_of(path, "no poses")
    if not len(rows) or "timestamp_ns" not in table:
        raise Skip("no poses", f"{path}: no rows, or no column timestamp_ns")
    broken = ~np.isfinite(rows).all(axis=1) | (np.linalg.norm(rows[:, :4], axis=1) < 1e-6)
    if broken.any():
        raise Skip("broken pose", f"{path}, row {np.flatnonzero(broken)[0]}")
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(rows[:, [1, 2, 3, 0]]).as_matrix()
    poses[:, :3, 3] = rows[:, 4:]
    return Track(table["timestamp_ns"].tolist(), poses)
