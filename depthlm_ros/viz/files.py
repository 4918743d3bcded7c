# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Answers as files in a folder: overlay, image of the cloud, PLY."""

from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from depthlm_ros.errors import InputError
from depthlm_ros.viz.clouds import cloud_image, write_ply
from depthlm_ros.viz.overlay import overlay


def output_folder(path: str | PathLike) -> Path:
    """The folder at path, made where it does not exist; InputError where it cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {path} cannot be made: {error}") from error
    return Path(path)


def write_overlay(path: str | PathLike, image: np.ndarray, asked, distance_m) -> Path:
    """Write the image (H, W, 3) with distances (N,) at the asked pixels (N, 2); returns path."""
    Image.fromarray(overlay(image, asked, distance_m)).save(path)
    return Path(path)


def write_cloud(folder: str | PathLike, points, colours) -> list[Path]:
    """Write organised points (rows, columns, 3) with colours uint8 as cloud.png and cloud.ply."""
    image, ply = Path(folder, "cloud.png"), Path(folder, "cloud.ply")
    cloud_image(image, points, colours)
    write_ply(ply, points, colours)
    return [image, ply]
