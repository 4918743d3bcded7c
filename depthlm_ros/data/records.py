# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Records: images with measured points, one JSON object per line, read and written.

The keys are DepthLM's published ones: image, intrinsics [fx, fy, cx, cy, W, H], pixel_coords
[[u, v], ...] and depth [metres, ...]. Published files do not say whether a depth runs along the
ray or along the optical axis; ours say it in a fifth key, kind. Two more are optional: grid
[W, H], the image size that pixel_coords refer to where it differs from the image's own size, and
source, the name of the data set; a third, scene, names the place that training and held-out data
must not share.

A record may have a depth image instead of pixels, or beside them: depth_path, a file beside the
jsonl file; depth_scale, its raw units per metre (1000 where none is given); depth_unknown, a raw
value besides 0 that says "not measured"; depth_format, "float32" for a file of bare numbers;
depth_masks, files that are black where it is not to be trusted. Its metres are of the record's
kind. Lines of DepthVLM's benchmark are read too.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from depthlm_ros.camera import Camera, as_pixels
from depthlm_ros.data.depth import NUMBERS, read_depth, read_mask
from depthlm_ros.data.files import camera_for, read_image, read_photo
from depthlm_ros.data.jsonl import Lines
from depthlm_ros.data.whole import whole_file
from depthlm_ros.errors import CameraError, ImageError, InputError, RecordError
from depthlm_ros.view import Frame

KINDS = ("distance", "z")
KEYS = ("image", "intrinsics", "pixel_coords", "depth")
_DEPTHVLM_MASKS = ("mask_valid_path", "mask_invalid_path", "mask_transp_path")
SHAPES = 0.02  # by which width / height of a depth image may differ from the image's


class Checked:
    """What a line holds, checked as it is made: RecordError with every problem.

    where: "file:line", for messages.
    """

    where: str

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise RecordError(f"{self.where}: " + "; ".join(problems))

    def _problems(self) -> Iterator[str]:
        """What cannot be, each in a few words."""
        raise NotImplementedError

    def _frame(self, image: Path, camera: Camera) -> Frame:
        """An image, read now, with its camera; RecordError where that fails."""
        try:  # the stored raster, without EXIF orientation: as the published loader reads it
            return Frame(read_image(image, upright=False), camera)
        except (CameraError, ImageError) as error:
            hint = ""
            if isinstance(error, CameraError) and read_photo(image).is_turned:
                hint = ". Records are of the stored raster; EXIF turns it where it is shown"
            raise RecordError(f"{self.where}: {error}{hint}") from error


def outside(name: str, pixels: np.ndarray, camera: Camera) -> Iterator[str]:
    """The problem that a pixel of (N, 2) is not on the image of its camera, if one is not."""
    for u, v in pixels[~camera.contains(pixels)][:1]:
        yield f"{name} ({u:g}, {v:g}) is outside the image of {camera.width} x {camera.height}"


@dataclass(frozen=True, eq=False)
class Record(Checked):
    """One image and N measured points, a depth image, or both. Raises RecordError for contents
    that cannot be.

    image: the image file.
    camera: the camera at the size of the image.
    pixels: (N, 2) pixels (u, v) of the image.
    label_m: (N,) metres of `kind`.
    kind: "distance" | "z", or "" where it is not stated.
    where: "file:line", for messages.
    source: name of the data set, "" where it is not stated.
    depth_path: the depth image, None where there is none; its corners are the image's, its size
        may differ.
    depth_scale: its raw units per metre.
    depth_unknown: the raw value besides 0 that stands for no measurement, None for none.
    depth_format: "" for what the file is (PNG or TIFF of 16 bits, TIFF or npy of floats), or
        "float32" for bare numbers row by row.
    depth_size: (w, h) that the depth image must have, None for any in the image's shape; bare
        numbers are of this size, or of the image's.
    depth_masks: image files, black where the depth image does not count; at any size.
    scene: what training and held-out data must not share, "" where it is not stated.
    """

    image: Path
    camera: Camera
    pixels: np.ndarray
    label_m: np.ndarray
    kind: str
    where: str
    source: str = ""
    depth_path: Path | None = None
    depth_scale: float = 1000.0
    depth_unknown: float | None = None
    depth_format: str = ""
    depth_size: tuple[int, int] | None = None
    depth_masks: tuple[Path, ...] = ()
    scene: str = ""

    def _problems(self) -> Iterator[str]:
        if self.kind not in ("", *KINDS):
            yield f"kind is {self.kind!r}, allowed: {', '.join(KINDS)}"
        if self.label_m.shape != (len(self.pixels),):
            yield f"{len(self.pixels)} pixels but depths of shape {self.label_m.shape}"
        if not (np.isfinite(self.label_m) & (self.label_m > 0)).all():
            yield "a depth is not a positive number of metres"
        yield from outside("pixel", self.pixels, self.camera)
        if not (isfinite(self.depth_scale) and self.depth_scale > 0):
            yield f"depth_scale is {self.depth_scale}, it must be positive: raw units per metre"
        if self.depth_format not in ("", NUMBERS):
            yield f"depth_format is {self.depth_format!r}, allowed: {NUMBERS}, or none"
        if self.depth_size and (len(self.depth_size) != 2 or min(self.depth_size) < 1):
            yield f"the size of the depth image is {self.depth_size}, it is [W, H] in pixels"

    def __len__(self) -> int:
        """How many pixels are labelled one by one; the depth image's do not count."""
        return len(self.label_m)

    def frame(self) -> Frame:
        """The image, read now, with its camera; RecordError where that fails."""
        return self._frame(self.image, self.camera)

    def stated_kind(self) -> str:
        """kind; RecordError where it is not stated."""
        if not self.kind:
            raise RecordError(
                f"{self.where}: nothing says whether these depths are distances along the ray or"
                " z along the optical axis: pass --kind distance or --kind z (kind: z beside"
                " the records of a config, kind=... in Python),"
                ' or write "kind" into the record'
            )
        return self.kind

    def label_as(self, kind: str) -> np.ndarray:
        """(N,) metres of the kind "distance" or "z"; RecordError where ours is not stated."""
        if self.stated_kind() == kind:
            return self.label_m
        return self._converted(kind, self.pixels, self.label_m)

    def depth_map(self) -> np.ndarray:
        """(h, w) float32 metres of `kind`, NaN where unknown or masked; read now.

        RecordError where there is no depth image, or it or a mask cannot be read, it contradicts
        the image's shape or its stated size, or knows no pixel at all.
        """
        if self.depth_path is None:
            raise RecordError(f"{self.where}: this record has no depth image (depth_path)")
        size = self.depth_size or (self.camera.width, self.camera.height)
        bare = size if self.depth_format == NUMBERS else None
        try:
            found = read_depth(self.depth_path, self.depth_scale, self.depth_unknown, bare)
            for mask in self.depth_masks:
                found[~read_mask(mask, found.shape)] = np.nan
        except ImageError as error:
            raise RecordError(f"{self.where}: {error}") from error
        height, width = found.shape
        same = (width, height) == size if self.depth_size else _same_shape((width, height), size)
        if not same:
            raise RecordError(
                f"{self.where}: the depth image {self.depth_path} is {width} x {height}, which"
                f" contradicts {size[0]} x {size[1]}, the size that the record tells"
            )
        if not np.isfinite(found).any():
            raise RecordError(f"{self.where}: no pixel of {self.depth_path} is known")
        return found

    def depth_map_as(self, kind: str) -> np.ndarray:
        """depth_map() in metres of the kind "distance" or "z"; RecordError as label_as."""
        own, found = self.stated_kind(), self.depth_map()
        if own == kind:
            return found
        pixels = map_pixels(found.shape, self.camera)
        return self._converted(kind, pixels, found.ravel()).reshape(found.shape).astype(np.float32)

    def _converted(self, kind: str, pixels: np.ndarray, metres: np.ndarray) -> np.ndarray:
        convert = {"z": self.camera.z_from_distance, "distance": self.camera.distance_from_z}
        return convert[kind](pixels, metres)


def _same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one is the other at another scale, to SHAPES."""
    return abs(size[0] * other[1] / (size[1] * other[0]) - 1) <= SHAPES


class RecordLines(Sequence):
    """Record i of one or several jsonl files, parsed when it is asked for.

    For data that does not fit into memory (see jsonl.Lines); a fault in a line is raised when
    that line is read, as RecordError naming file and line. files: a path, a glob pattern, or a
    list of them. folder: the folder of the images, by default that of the jsonl file; see
    named() for images that begin with "/".
    """

    def __init__(self, files, folder: str | PathLike | None = None):
        self._lines = Lines(files)
        self._folder = folder

    @property
    def files(self) -> list[Path]:
        """The files, in the order in which they are read."""
        return self._lines.files

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index):
        line = self._lines[index]
        try:
            folder = Path(self._folder or line.path.parent)
            return self._parsed(read_object(line.text), folder, line.where)
        except RecordError:
            raise
        # CameraError and JSON's own are ValueErrors; a number may be too large for float or int.
        except (ValueError, TypeError, OverflowError) as error:
            raise RecordError(f"{line.where}: {error}") from error


def check(records: Sequence[Any], count: int, *looks: Callable[[Any], object]) -> None:
    """Read the first `count` records and let each of `looks` look at them, before hours are spent
    on the first ones.

    Raises RecordError: the first one that reading or looking raises, and how many there are.
    """
    wrong: list[RecordError] = []
    for number in range(count):
        try:
            record = records[number]
            for look in looks:
                look(record)
        except RecordError as error:
            wrong.append(error)
    if wrong:
        more = f" (the first of {len(wrong)} records that cannot be used)" if wrong[1:] else ""
        raise RecordError(f"{wrong[0]}{more}")


def need_images(record: Any) -> None:
    """RecordError where an image of a record, or of a pair, is not there."""
    for path in getattr(record, "images", None) or (record.image,):
        if not path.is_file():
            raise RecordError(
                f"{record.where}: there is no image {path} (names are relative to the folder of"
                " the records, also with a / before them, or those of files anywhere)"
            )


class Records(RecordLines):
    """The records of jsonl files by number; kind: for lines that do not state their own."""

    def __init__(self, files, kind: str = "", folder: str | PathLike | None = None):
        if kind not in ("", *KINDS):
            raise InputError(f"kind is '{kind}', allowed: {', '.join(KINDS)}")
        super().__init__(files, folder)
        self._kind = kind

    def _parsed(self, content, folder, where) -> Record:
        return _record(content, folder, self._kind, where)


def write_records(path: str | PathLike, records: Iterable[Record]) -> int:
    """Write records as a jsonl file that Records reads; returns how many.

    Images are named relative to the folder of the file. The file appears when all records are
    written, so that an interrupted run leaves none that looks complete. Raises RecordError for a
    camera with distortion or skew, which a record cannot hold, and InputError where the file
    cannot be written.
    """
    path, count = Path(path), 0
    with whole_file(path) as part, open(part, "w", encoding="utf-8") as file:
        for count, record in enumerate(records, 1):
            file.write(json.dumps(_content(record, path.parent)) + "\n")
    return count


def _content(record, folder) -> dict:
    camera = record.camera
    if camera.distortion != "none" or camera.skew:
        raise RecordError(
            f"{record.where}: a record holds a camera without distortion and skew, got"
            f" '{camera.distortion}' and a skew of {camera.skew:g}: rectify the image first"
        )
    content = {
        "image": Path(os.path.relpath(record.image, folder)).as_posix(),
        "intrinsics": [camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height],
        "pixel_coords": record.pixels.tolist(),
        "depth": record.label_m.tolist(),
    }
    content |= {"kind": record.kind} if record.kind else {}
    content |= {"source": record.source} if record.source else {}
    content |= {"scene": record.scene} if record.scene else {}
    return content | (_depth_content(record, folder) if record.depth_path else {})


def _depth_content(record, folder) -> dict:
    content = {
        "depth_path": Path(os.path.relpath(record.depth_path, folder)).as_posix(),
        "depth_scale": record.depth_scale,
    }
    stated = {
        "depth_unknown": record.depth_unknown,
        "depth_format": record.depth_format or None,
        "depth_size": record.depth_size and list(record.depth_size),
        "depth_masks": [Path(os.path.relpath(m, folder)).as_posix() for m in record.depth_masks]
        or None,
    }
    return content | {name: value for name, value in stated.items() if value is not None}


def read_object(text: str) -> dict:
    """The JSON object of a line; ValueError or TypeError where there is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:  # the latter for brackets in brackets
        raise ValueError(f"a record is a JSON object, and this is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise TypeError(f"a record is a JSON object, got {text.strip()[:40]}")
    return content


def text_of(content: dict[str, Any], key: str) -> str:
    """What stands there as text; "" where nothing does, or null."""
    value = content.get(key)
    return "" if value is None else str(value)


def need(content: dict, keys: Sequence[str]) -> None:
    """ValueError unless the object has all the keys."""
    missing = [key for key in keys if key not in content]
    if missing:
        raise ValueError(f"missing: {', '.join(missing)}; a record has {', '.join(keys)}")


def named(folder: Path, name: str) -> Path:
    """The file that a record names: below the folder, also where the name begins with "/" (as
    published); an absolute path where there is a file and none below the folder."""
    below = folder / name.lstrip("/")
    is_absolute = name.startswith("/") and not below.exists() and Path(name).is_file()
    return Path(name) if is_absolute else below


def read_intrinsics(intrinsics: Any) -> Camera:
    """The Camera of [fx, fy, cx, cy, W, H]; ValueError where it is not such a list."""
    if not isinstance(intrinsics, list) or len(intrinsics) != 6:
        raise ValueError(f"intrinsics are [fx, fy, cx, cy, W, H], got {intrinsics}")
    fx, fy, cx, cy, width, height = (float(value) for value in intrinsics)
    if not (width.is_integer() and height.is_integer()):  # neither are NaN and infinity
        raise ValueError(f"W and H of intrinsics are whole pixels, got {width:g} and {height:g}")
    return Camera(int(width), int(height), fx, fy, cx, cy)


def on_image(pixels, camera: Camera, grid) -> np.ndarray:
    """(N, 2) pixels of an image of the size grid (W, H) -> pixels of the camera's image.

    grid None: they already are. The corners of the two images coincide. ValueError where a pixel
    lies outside its grid.
    """
    pixels = as_pixels(pixels)
    if grid is None:
        return pixels
    size = np.array([float(length) for length in grid])
    if size.shape != (2,) or not (size >= 1).all():
        raise ValueError(f"grid is [W, H] in pixels, got {grid}")
    if not ((pixels >= -0.5) & (pixels < size - 0.5)).all():
        raise ValueError(f"a pixel is outside its grid of {size[0]:g} x {size[1]:g}")
    return (pixels + 0.5) * (camera.width, camera.height) / size - 0.5


def map_pixels(shape: tuple[int, int], camera: Camera) -> np.ndarray:
    """(h * w, 2) pixels of the camera's image where a map of the shape (h, w) has its values, row
    by row."""
    height, width = shape
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    return on_image(np.stack([u.ravel(), v.ravel()], 1), camera, (width, height))


def _record(content, folder, kind, where) -> Record:
    if "intrinsics" not in content and "original_rgb_size" in content:
        content = _depthvlm(content)
    if "depth_path" in content:
        content = {"pixel_coords": [], "depth": [], **content}
    need(content, KEYS)
    camera = read_intrinsics(content["intrinsics"])
    return Record(
        image=named(folder, str(content["image"])),
        camera=camera,
        pixels=on_image(content["pixel_coords"], camera, content.get("grid")),
        label_m=np.asarray(content["depth"], dtype=np.float64),
        kind=content.get("kind", kind),
        where=where,
        source=text_of(content, "source"),
        scene=text_of(content, "scene"),
        **_depth_image(content, folder),
    )


def _depth_image(content, folder) -> dict:
    """The fields of a Record that are about its depth image."""
    if content.get("depth_path") is None:
        return {}
    size, unknown = content.get("depth_size"), content.get("depth_unknown")
    masks = content.get("depth_masks") or []
    if not isinstance(masks, list):
        raise TypeError(f"depth_masks is a list of files, got {str(masks)[:80]}")
    return {
        "depth_path": named(folder, str(content["depth_path"])),
        "depth_scale": float(content.get("depth_scale", 1000.0)),
        "depth_unknown": None if unknown is None else float(unknown),
        "depth_format": content.get("depth_format") or "",
        "depth_size": None if size is None else tuple(int(length) for length in size),
        "depth_masks": tuple(named(folder, str(n)) for n in masks),
    }


def _depthvlm(content) -> dict:
    """A line of DepthVLM's benchmark in our keys. It states fx alone.

    Its pixel_coords were drawn on the depth map, whose size may be another than the image's
    (256 x 192 for 1920 x 1440 in ScanNet++). Its depth_type says "z_depth" for every set, also for
    the two that hold distances along the ray, so it is not used. Two masks of iBims-1 are
    white where its depth counts.
    """
    need(content, ("original_rgb_size", "original_fx"))
    size, depth_size = content["original_rgb_size"], content.get("original_depth_size")
    more = {"depth_size": depth_size, "grid": content.get("grid")}
    more["depth_masks"] = [content[name] for name in _DEPTHVLM_MASKS if content.get(name)]
    if content.get("depth_format") == "binary_float32":
        more["depth_format"] = NUMBERS
    if more["grid"] is None and depth_size not in (None, size):
        if "depth_path" not in content:
            raise ValueError(
                f"the image is {size}, its depth map {depth_size}, and nothing says which of them"
                ' pixel_coords refer to: write "grid": [W, H] into the record'
            )
        more["grid"] = depth_size
    width, height = size
    camera = camera_for(width, height, float(content["original_fx"]))
    intrinsics = [camera.fx, camera.fy, camera.cx, camera.cy, width, height]
    return {**content, **more, "intrinsics": intrinsics}


def strict_json(value: Any) -> str:
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
