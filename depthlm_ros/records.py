# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records: pictures with measured points, one JSON object a line.

The keys are DepthLM's published ones: image, intrinsics [fx, fy, cx, cy, W, H], pixel_coords
[[u, v], ...] and depth [metres, ...]. Published files do not say whether a depth runs along the
ray or along the optical axis; ours say it in a fifth key, kind. Knows nothing about models.
"""

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np

from depthlm_ros.camera import Camera, as_pixels
from depthlm_ros.errors import CameraError, InputError, RecordError
from depthlm_ros.files import read_picture
from depthlm_ros.view import Frame

KINDS = ("distance", "z")
KEYS = ("image", "intrinsics", "pixel_coords", "depth")


@dataclass(frozen=True, eq=False)
class Record:
    """One picture and N measured points.

    image: the picture's file. camera: at its size. pixels (N, 2): (u, v) of the picture.
    label_m (N,): metres of `kind`, "distance" | "z", or "" where nobody has said which.
    where: "file:line", for messages.
    """

    image: Path
    camera: Camera
    pixels: np.ndarray
    label_m: np.ndarray
    kind: str
    where: str

    def __post_init__(self):
        problems = list(self._problems())
        if problems:
            raise RecordError(f"{self.where}: " + "; ".join(problems))

    def _problems(self):
        if self.kind not in ("", *KINDS):
            yield f"kind is {self.kind!r}, allowed: {', '.join(KINDS)}"
        if self.label_m.shape != (len(self.pixels),):
            yield f"{len(self.pixels)} pixels but depths of shape {self.label_m.shape}"
        if not (np.isfinite(self.label_m) & (self.label_m > 0)).all():
            yield "a depth is not a positive number of metres"
        if not self.camera.contains(self.pixels).all():
            u, v = self.pixels[~self.camera.contains(self.pixels)][0]
            yield (
                f"pixel ({u:g}, {v:g}) is not on the picture of {self.camera.width} x"
                f" {self.camera.height}"
            )

    def __len__(self):
        return len(self.label_m)

    def frame(self) -> Frame:
        """The picture, read now, with its camera; ImageError or RecordError where that fails."""
        image = read_picture(self.image, upright=False)  # as the published loader reads it
        try:
            return Frame(image, self.camera)
        except CameraError as error:
            raise RecordError(f"{self.where}: {error}") from error

    def stated_kind(self) -> str:
        """kind; RecordError where it is not known."""
        if not self.kind:
            raise RecordError(
                f"{self.where}: nothing says whether these depths are distances along the ray or"
                " z along the optical axis: pass --kind distance or --kind z (kind=... in Python),"
                ' or write "kind" into the record'
            )
        return self.kind


def read_records(path, kind: str = ""):
    """Yield the Records of a jsonl file, one line read at a time.

    kind: of lines that do not state their own. Picture files are relative to the jsonl's folder,
    a leading "/" is dropped (both as published). Raises RecordError naming file and line.
    """
    if kind not in ("", *KINDS):
        raise InputError(f"kind is '{kind}', allowed: {', '.join(KINDS)}")
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _record(line, Path(path).parent, kind, f"{path}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"records file {path} cannot be read: {error}") from error


def _record(line, folder, kind, where) -> Record:
    try:
        content = json.loads(line)
        missing = [k for k in KEYS if not isinstance(content, dict) or k not in content]
        if missing:
            raise ValueError(f"no {', '.join(missing)}; a record has {', '.join(KEYS)}")
        return Record(
            image=folder / str(content["image"]).lstrip("/"),
            camera=_camera(content["intrinsics"]),
            pixels=as_pixels(content["pixel_coords"]),
            label_m=np.asarray(content["depth"], dtype=np.float64),
            kind=content.get("kind", kind),
            where=where,
        )
    except RecordError:
        raise
    except (ValueError, TypeError) as error:  # CameraError and JSON's own are ValueErrors
        raise RecordError(f"{where}: {error}") from error


def _camera(intrinsics) -> Camera:
    if not isinstance(intrinsics, list) or len(intrinsics) != 6:
        raise ValueError(f"intrinsics are [fx, fy, cx, cy, W, H], got {intrinsics}")
    fx, fy, cx, cy, width, height = (float(value) for value in intrinsics)
    return Camera(int(width), int(height), fx, fy, cx, cy)


def strict_json(value) -> str:
    """JSON of dicts, lists, strings, numbers and arrays; NaN, which JSON lacks, becomes null."""
    return json.dumps(_plain(value), indent=2)


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not isfinite(value) else value
