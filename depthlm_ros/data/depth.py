# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Depth images: files with a measurement for every pixel, read as metres.

Knows nothing about cameras or about what kind of metres they are.
"""

from pathlib import Path

import numpy as np

from depthlm_ros.data.files import read_measured, read_raster
from depthlm_ros.errors import ImageError, first_line

NUMBERS = "float32"  # the name of a file of bare numbers, as ETH3D's


def read_depth(
    path: str | Path,
    scale: float = 1.0,
    unknown: float | None = None,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """(h, w) float32 metres of a depth image, NaN where it knows none.

    path: a PNG or TIFF of 16 bits, a TIFF or .npy of whole numbers or floats.
    scale: raw units per metre.
    unknown: a raw value that stands for no measurement; 0, negative ones, infinity and NaN do
        anyway.
    size: (w, h) of a file of bare little-endian float32, row by row; None for the others.
    Raises ImageError.
    """
    raw = _raw(Path(path), size)
    metres = raw.astype(np.float32) / np.float32(scale)
    metres[~(np.isfinite(metres) & (metres > 0))] = np.nan
    if unknown is not None:
        metres[raw == unknown] = np.nan
    return metres


def read_mask(path: str | Path, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) bool in this shape: where an image file, grey or in colour and at any size, is not
    black. Raises ImageError."""
    raster = read_raster(path)
    bright = (raster if raster.ndim == 2 else raster.max(axis=2)) > 0
    rows, columns = (np.arange(n) * of // n for n, of in zip(shape, bright.shape, strict=True))
    return bright[rows[:, None], columns]


def _raw(path: Path, size: tuple[int, int] | None) -> np.ndarray:
    if size is None and path.suffix.lower() != ".npy":
        return read_measured(path)
    try:
        raw = np.load(path, allow_pickle=False) if size is None else np.fromfile(path, "<f4")
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(f"{path} cannot be read as a depth image: {first_line(error)}") from error
    if size is not None:
        if raw.size != size[0] * size[1]:
            raise ImageError(
                f"{path} has {raw.size} numbers of 32 bits, and {size[0]} x {size[1]} pixels are"
                f" {size[0] * size[1]}: give the size of the depth image"
            )
        raw = raw.reshape(size[1], size[0])
    if raw.ndim != 2 or raw.dtype.kind not in "uif" or not raw.size:
        raise ImageError(
            f"{path} holds {raw.dtype} {raw.shape}; a depth image is (h, w) of whole numbers or"
            " floats"
        )
    return raw
