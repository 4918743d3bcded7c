# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""TRI's DGP format, in which DDAD comes: a scene is a JSON file of samples and of data, which are
the files of sensors, each with its own pose in the world and a calibration by its name.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError, first_line
from training.curate.formats.files import json_of, needed
from training.curate.geometry import pose
from training.curate.sample import Skip


@lru_cache(maxsize=4)
def scene_of(path: Path) -> list[dict[str, Any]]:
    """Of each sample, the data by the name of the sensor, "calibration" added to each. Raises
    InputError."""
    content = json_of(path)
    try:
        data = {datum["key"]: datum for datum in content["data"]}
        found = []
        for sample in content["samples"]:
            shown = [data[key] for key in sample["datum_keys"]]
            calibration = sample["calibration_key"]
            found.append({d["id"]["name"]: {**d, "calibration": calibration} for d in shown})
        return found
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is no scene of DGP: no field {error}") from error


def world_from(datum: dict[str, Any], where: Path) -> np.ndarray:
    """(4, 4): the world from a sensor. Raises Skip."""
    try:
        turned, place = datum["pose"]["rotation"], datum["pose"]["translation"]
        return pose([turned[q] for q in ("qw", "qx", "qy", "qz")], [place[a] for a in "xyz"])
    except KeyError as error:
        raise Skip("no pose", f"{where}: no field {error}") from error


@lru_cache(maxsize=32)
def _calibration(path: Path) -> dict[str, dict[str, float]]:
    needed(path, "no calibration")
    content = json_of(path)
    return dict(zip(content["names"], content["intrinsics"], strict=True))


def camera_of(path: Path, name: str, shot: dict[str, Any]) -> Camera:
    """Of the sensor `name` in a calibration file, for an image `shot`. Raises Skip."""
    try:
        k = _calibration(path)[name]
        told = k["fx"], k["fy"], k["cx"], k["cy"]
        camera = Camera(shot["width"], shot["height"], *told, skew=k.get("skew", 0.0))
    except (KeyError, ValueError) as error:
        raise Skip("no calibration", f"{path}: {name}: {first_line(error)}") from error
    bends = {one: k[one] for one in k.keys() - {"fx", "fy", "cx", "cy", "skew"} if k[one]}
    if bends:
        raise Skip("unknown lens", f"{path}: {name}: {bends}")
    return camera


def stamp_of(datum: dict[str, Any]) -> np.datetime64:
    """When it was measured."""
    return np.datetime64(datum["id"]["timestamp"].rstrip("Z"), "us")
