# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Images and depth images as files: JPEG, and PNG of 16 bits. Knows nothing about samples.

Most of the time of a curation goes into these bytes, so depth images are compressed by isal where
it is installed, four times as fast as zlib, and by zlib elsewhere: other bytes, the same pixels.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from depthlm_ros.errors import InputError

try:
    from isal.isal_zlib import compress, crc32
except ImportError:
    from zlib import compress, crc32

# Raw units per metre of depth images, the finest whose 16 bits reach as far as the set.
DEPTH_SCALES = 1000, 500, 250
JPEG_QUALITY = 95
PNG_HEAD = b"\x89PNG\r\n\x1a\n"
NO_FILTER, UP = 0, 2  # of a row of a PNG: bytes as they are, or less those above them


def depth_scale(far_m: float) -> int:
    """Raw units per metre, for metres up to far_m."""
    return next((scale for scale in DEPTH_SCALES if far_m * scale < 2**16), DEPTH_SCALES[-1])


def depth_counts(metres: np.ndarray, per_metre: int) -> np.ndarray:
    """uint16 raw units, in the shape of `metres`; 0 where these are not finite. Too many are
    65535."""
    given = np.asarray(metres, np.float32)
    if not given.size:
        return np.zeros(given.shape, np.uint16)
    # The one function of OpenCV that scales, rounds and saturates at once. NaN becomes 0.
    return np.asarray(cv2.addWeighted(given, per_metre, given, 0, 0, dtype=cv2.CV_16U))


def write_depth(path: Path, counts: np.ndarray) -> None:
    """Raw units (h, w) uint16 as a grey PNG of 16 bits. Raises InputError."""
    height, width = counts.shape
    rows = np.empty((height, 1 + 2 * width), np.uint8)
    if cv2.countNonZero(counts) * 2 > counts.size:
        values = counts.astype(">u2").view(np.uint8)
        rows[:, 0] = UP
        rows[0, 1:] = values[0]
        np.subtract(values[1:], values[:-1], out=rows[1:, 1:])
    else:  # points far from each other, which are nothing like those above them
        rows[:, 0] = NO_FILTER
        rows[:, 1:].view(">u2")[...] = counts
    head = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", compress(rows, 1)), (b"IEND", b""))
    _write(path, PNG_HEAD, *(part for chunk in chunks for part in _chunk(*chunk)))


def write_jpeg(path: Path, image: np.ndarray) -> None:
    """(h, w, 3) uint8 RGB. Raises InputError."""
    quality = cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY
    coded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1]
    _write(path, coded.tobytes())


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """InputError instead of OSError: an image must not be counted as broken for a full disk."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}. Make room, and start the same command"
            " again: it goes on"
        ) from error


def _chunk(kind: bytes, content: bytes) -> tuple[bytes, bytes, bytes]:
    checksum = crc32(content, crc32(kind))
    return struct.pack(">I", len(content)) + kind, content, struct.pack(">I", checksum)


def _write(path: Path, *parts: bytes) -> None:
    with writing(path), path.open("wb") as file:
        file.writelines(parts)
