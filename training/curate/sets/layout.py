# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the readers of images with depth maps share: the checks of a layout, and an image's files.

What makes a whole set unusable is an InputError, what spoils one image a Skip.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from PIL import Image

from depthlm_ros.camera import Camera
from depthlm_ros.data.files import read_raster
from depthlm_ros.errors import CameraError, ImageError, InputError, first_line
from training.curate.sample import Skip


def need_split(name: str, split: str, splits: Sequence[str]) -> None:
    """InputError for a split that the set does not have."""
    if split not in splits:
        raise InputError(f"{name} has no split '{split}', allowed: {', '.join(splits)}")


def need(path: Path, layout: str) -> Path:
    """The path, if there is such a file or folder; else InputError that tells the layout."""
    if not path.exists():
        raise InputError(f"{path} is missing; the official layout is {layout}")
    return path


def mat_fields(path: Path) -> Mapping[str, Any]:
    """The variables of a .mat file of MATLAB 5, structs as dicts; InputError for a broken one."""
    try:
        fields: Mapping[str, Any] = scipy.io.loadmat(path, simplify_cells=True)
    except Exception as error:  # zlib, struct and scipy each have their own for a broken file
        raise InputError(f"{path} is not a whole MATLAB 5 file: {first_line(error)}") from error
    return fields


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of an image file, which is decoded to see that it is whole; Skip if not."""
    if not path.is_file():
        raise Skip("no image file", str(path))
    try:
        with Image.open(path) as image:
            width, height = image.size
            image.draft("RGB", (1, 1))  # a JPEG is read to its end, and not all of it computed
            image.load()
    except Exception as error:  # whatever a library says of a broken file
        raise Skip("truncated image", f"{path}: {error}") from error
    return width, height


def depth_raster(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint16 as stored, of the size (width, height) of the image; Skip if it is not."""
    if not path.is_file():
        raise Skip("no depth file", str(path))
    try:
        raster = read_raster(path)
    except ImageError as error:
        raise Skip("truncated depth image", str(error)) from error
    if raster.dtype != np.uint16 or raster.ndim != 2:
        raise Skip("depth of another format", f"{path} is not a grey image of 16 bits")
    if raster.shape[::-1] != size:
        found, wanted = (" x ".join(map(str, s)) for s in (raster.shape[::-1], size))
        raise Skip("sizes differ", f"{path} is {found}, its image {wanted}")
    return raster


def mask_raster(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of a mask of 1 or 8 bits, True where it is white; Skip if it is broken."""
    if not path.is_file():
        raise Skip("no mask file", str(path))
    try:
        raster = read_raster(path)
    except ImageError as error:
        raise Skip("truncated mask", str(error)) from error
    mask = (raster if raster.ndim == 2 else raster[..., 0]) > 0
    if mask.shape[::-1] != size:
        raise Skip("sizes differ", f"{path} has another size than its image")
    return mask


def metres(
    raster: np.ndarray, units_per_metre: float, unknown: Sequence[int] = (0,)
) -> np.ndarray:
    """(H, W) float32 metres of a raster, NaN where it holds one of the values `unknown`."""
    found = (raster / units_per_metre).astype(np.float32)
    found[np.isin(raster, unknown)] = np.nan
    return found


def distances(camera: Camera, z_m: np.ndarray) -> np.ndarray:
    """(H, W) float32 metres along the rays, of z in metres on the camera's own grid."""
    rows, columns = np.indices(z_m.shape)
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1)
    return camera.distance_from_z(pixels, z_m.ravel()).reshape(z_m.shape).astype(np.float32)


def pinhole(size: tuple[int, int], intrinsics: Sequence[float], where: object) -> Camera:
    """The camera of an image of (width, height) with [fx, fy, cx, cy]; Skip if there is none."""
    try:
        fx, fy, cx, cy = intrinsics
        return Camera(*size, fx, fy, cx, cy)
    except (CameraError, ValueError) as error:
        raise Skip("bad calibration", f"{where}: {error}") from error
