# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Textures with their mip levels in one flat array, looked up by many rays at once.

Knows nothing about meshes or lights.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Texels:
    """RGBA texels (N, 4) uint8; each texture's levels: first texel, width, height (T, L)."""

    rgba: np.ndarray
    first: np.ndarray
    width: np.ndarray
    height: np.ndarray
    levels: np.ndarray

    @classmethod
    def of(cls, images) -> "Texels":
        """From images (H, W, 4) uint8, each level half the size of the one before."""
        chains = [_levels(image) for image in images]
        most = max(map(len, chains), default=1)
        flat = [level.reshape(-1, 4) for chain in chains for level in chain]
        starts = np.cumsum([0, *map(len, flat)])
        first, width, height = (np.zeros((len(chains), most), np.int32) for _ in range(3))
        at = 0
        for t, chain in enumerate(chains):
            for level in range(most):
                image = chain[min(level, len(chain) - 1)]
                first[t, level] = starts[at + min(level, len(chain) - 1)]
                height[t, level], width[t, level] = image.shape[:2]
            at += len(chain)
        rgba = np.concatenate(flat) if flat else np.zeros((0, 4), np.uint8)
        return cls(rgba, first, width, height, np.array([len(c) for c in chains]))

    def look(self, texture, u, v, footprint) -> np.ndarray:
        """Bilinear linear-light colour and opacity (P, 4) float32.

        u, v (P,) in repeats of the texture; footprint (P,): the part of it that a pixel covers.
        """
        size = np.maximum(self.width[texture, 0], self.height[texture, 0])
        level = np.log2(np.maximum(footprint * size, 1e-3))
        level = np.clip(np.round(level), 0, self.levels[texture] - 1).astype(np.int32)
        wide, high = self.width[texture, level], self.height[texture, level]
        x, y = u * wide - np.float32(0.5), (1 - v) * high - np.float32(0.5)
        x0, y0 = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
        fx, fy = (x - x0).astype(np.float32), (y - y0).astype(np.float32)
        left, right, top, bottom = x0 % wide, (x0 + 1) % wide, y0 % high, (y0 + 1) % high
        start = self.first[texture, level]
        found = np.zeros((len(u), 4), np.float32)
        for column, row, share in (
            (left, top, (1 - fx) * (1 - fy)),
            (right, top, fx * (1 - fy)),
            (left, bottom, (1 - fx) * fy),
            (right, bottom, fx * fy),
        ):
            found += self.rgba[start + row * wide + column] * share[:, None]
        found *= np.float32(1 / 255)
        found[:, :3] = found[:, :3] ** np.float32(2.2)
        return found


def _levels(image):
    """The image and its halves down to one texel."""
    chain = [image]
    while max(chain[-1].shape[:2]) > 1:
        size = [max(1, n // 2) for n in chain[-1].shape[1::-1]]
        chain.append(cv2.resize(chain[-1], size, interpolation=cv2.INTER_AREA))
    return chain
