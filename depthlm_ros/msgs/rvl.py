# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""RVL, in which compressed_depth_image_transport packs depth images with `format: rvl`: Wilson,
"Fast Lossless Depth Image Compression" (ISS 2017). Decoded only.

An image is a list of numbers: how many pixels are 0, how many are not, and of each of the latter
its difference from the one before (0, -1, 1, -2, ... as 0, 1, 2, 3, ...); then again. A number is
written in pieces of 4 bits, the lowest 3 of its bits first, the fourth bit telling that more
follow; eight pieces are a word of 32 bits, the first piece the highest.
"""

import struct

import numpy as np

from depthlm_ros.errors import ImageError

_SIZE = struct.Struct("<II")  # of the transport, before the numbers: width and height
_LARGEST = 1 << 27  # pixels
_LONGEST = 10  # pieces of a number: 30 bits


def rvl_raster(data: bytes, name: str) -> np.ndarray:
    """(H, W) uint16 of what follows the transport's header of 12 bytes.

    name: of the data, for errors. Raises ImageError where it is broken or cut off.
    """
    if len(data) < _SIZE.size or len(data) % 4:
        raise ImageError(f"{name} has {len(data)} bytes, which is no RVL: it is cut off")
    width, height = _SIZE.unpack(data[: _SIZE.size])
    if not 0 < width * height <= _LARGEST:
        raise ImageError(f"{name} tells a size of {width} x {height}, which no depth image has")
    numbers = _numbers(np.frombuffer(data, "<u4", offset=_SIZE.size))
    is_difference, is_known = np.ones(len(numbers), bool), np.zeros(width * height, bool)
    begin, pixel = 0, 0
    while pixel < len(is_known):
        if begin + 2 > len(numbers):
            raise ImageError(f"{name} ends after {pixel} of {width} x {height} pixels")
        zeros, others = numbers[begin : begin + 2].tolist()
        is_difference[begin : begin + 2] = False
        begin, pixel = begin + 2 + others, pixel + zeros + others
        if begin > len(numbers) or pixel > len(is_known):
            raise ImageError(f"{name} is broken after {pixel - others} pixels")
        is_known[pixel - others : pixel] = True
    folded = numbers[:begin][is_difference[:begin]]
    raster = np.zeros(width * height, np.uint16)
    raster[is_known] = np.cumsum((folded >> 1) ^ -(folded & 1))
    return raster.reshape(height, width)


def _numbers(words: np.ndarray) -> np.ndarray:
    """(N,) int64; what fills up the last word reads as zeros."""
    pieces = (words[:, None] >> np.arange(28, -1, -4, dtype=np.uint32) & 15).ravel()
    ends = np.flatnonzero(pieces < 8) + 1
    begins = np.concatenate([[0], ends[:-1]])[: len(ends)]
    if not len(ends) or (lengths := ends - begins).max() > _LONGEST:
        return np.empty(0, np.int64)
    places = np.arange(ends[-1]) - np.repeat(begins, lengths)
    bits = (pieces[: ends[-1]] & 7).astype(np.int64) << 3 * places
    return np.asarray(np.add.reduceat(bits, begins))
