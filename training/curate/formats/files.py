# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Files of data sets. What makes a set unusable is an InputError, a broken image a Skip."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from PIL import Image

from depthlm_ros.camera import Camera
from depthlm_ros.data.files import ImagePath, read_image, read_raster
from depthlm_ros.errors import CameraError, ImageError, InputError, first_line
from training.curate.sample import DataSet, Skip


def check_split(data_set: DataSet, split: str) -> None:
    """Raises InputError for a split that the set does not have."""
    if split not in data_set.splits:
        allowed = ", ".join(data_set.splits)
        raise InputError(f"{data_set.name} has no split '{split}', allowed: {allowed}")


def check_there(path: Path, layout: str) -> Path:
    """The path; raises InputError that tells the layout if there is no such file or folder."""
    if not path.exists():
        raise InputError(f"{path} is missing; the official layout is {layout}")
    return path


def needed(path: Path, reason: str) -> None:
    """Raises Skip(reason) where there is no such file, without which an image cannot be used."""
    if not path.is_file():
        raise Skip(reason, str(path))


def text_of(path: Path) -> str:
    """The content of a text file. Raises InputError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {first_line(error)}") from error


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
    return in_metres(raw_depth(path), per_metre)


def raw_depth(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """(H, W) uint16 of a 16-bit grey PNG, of the given (width, height). Raises Skip."""
    raw = _raster_of(path, "depth")
    if raw.ndim != 2 or raw.dtype != np.uint16:
        raise Skip("not a depth image", f"{path}: {raw.dtype} of shape {raw.shape}")
    _check_size(raw, size, path)
    return raw


def in_metres(raw: np.ndarray, per_metre: float, unknown: Sequence[int] = (0,)) -> np.ndarray:
    """(H, W) float32 metres, NaN where raw holds one of the values `unknown`."""
    metres = np.divide(raw, per_metre, dtype=np.float32)
    for value in unknown:
        metres[raw == value] = np.nan
    return metres


def mask_of(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of a mask of 1 or 8 bits, True where it is not black. Raises Skip."""
    raster = _raster_of(path, "mask")
    _check_size(raster, size, path)
    return (raster if raster.ndim == 2 else raster[..., 0]) > 0


def _raster_of(path: Path, what: str) -> np.ndarray:
    """The stored values of an image file. what: it holds. Raises Skip."""
    needed(path, f"no {what} file")
    try:
        return read_raster(path)
    except ImageError as error:
        raise Skip(f"truncated {what}", str(error)) from error


def _check_size(raster: np.ndarray, size: tuple[int, int] | None, path: Path) -> None:
    found = raster.shape[1], raster.shape[0]
    if size and found != size:
        told = f"{path} has {found[0]} x {found[1]} pixels, and its image {size[0]} x {size[1]}"
        raise Skip("sizes differ", told)


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) that the head of an image file tells. Raises Skip."""
    needed(path, "no image file")
    try:
        with Image.open(path) as image:
            return image.size
    except Exception as error:  # of Pillow, which has many for a broken file
        raise Skip("truncated image", f"{path}: {first_line(error)}") from error


def pinhole(size: tuple[int, int], intrinsics: Sequence[float], where: object) -> Camera:
    """The camera of an image of (width, height) with (fx, fy, cx, cy). Raises Skip."""
    try:
        fx, fy, cx, cy = intrinsics
        return Camera(*size, fx, fy, cx, cy)
    except (CameraError, ValueError) as error:
        raise Skip("broken calibration", f"{where}: {error}") from error


def distances(camera: Camera, z_m: np.ndarray) -> np.ndarray:
    """(H, W) float32 metres along the rays, of z (H, W) on the camera's own pixels."""
    rows, columns = np.indices(z_m.shape)
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1)
    return camera.distance_from_z(pixels, z_m.ravel()).reshape(z_m.shape).astype(np.float32)


def known_points(points: np.ndarray, where: object) -> np.ndarray:
    """(K, 3) float64 of points (N, 3) without those that are not finite. Raises Skip where none
    is left."""
    points = np.asarray(points, np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        raise Skip("no points", str(where))
    return points


def mat_fields(path: Path) -> Mapping[str, Any]:
    """The variables of a file of MATLAB 5, structs as dicts. Raises InputError."""
    try:
        fields: Mapping[str, Any] = scipy.io.loadmat(path, simplify_cells=True)
    except Exception as error:  # zlib, struct and scipy each have their own for a broken file
        raise InputError(f"{path} is not a whole MATLAB 5 file: {first_line(error)}") from error
    return fields
