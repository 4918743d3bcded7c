# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""ETH3D's lens, which Camera lacks: COLMAP's THIN_PRISM_FISHEYE."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class ThinPrismFisheye:
    """ETH3D's lens: equidistant (radius = angle), then the polynomial with tangential and thin
    prism terms of COLMAP's THIN_PRISM_FISHEYE. Pixels as in Camera.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    k1: float
    k2: float
    p1: float
    p2: float
    k3: float
    k4: float
    sx1: float
    sy1: float

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 3) unit rays of pixels (N, 2), NaN where none is found."""
        turned = self._straight(
            (np.asarray(pixels, np.float64) - (self.cx, self.cy)) / self._focal
        )
        angle = np.linalg.norm(turned, axis=1, keepdims=True)
        return np.concatenate([turned * np.sinc(angle / np.pi), np.cos(angle)], axis=1)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) pixels of points (N, 3); NaN behind the camera and beyond what the image shows
        by 1 %, where the polynomial may turn back into the image."""
        points = np.asarray(points, np.float64)
        radius = np.hypot(points[:, 0], points[:, 1])
        angle = np.arctan2(radius, points[:, 2])
        angle[(points[:, 2] <= 0) | (np.tan(angle) > 1.01 * self._widest)] = np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            turned = points[:, :2] * np.where(radius > 0, angle / radius, angle)[:, None]
        return self._bent(turned)[0] * self._focal + (self.cx, self.cy)

    @property
    def _focal(self) -> np.ndarray:
        return np.array([self.fx, self.fy])

    @cached_property
    def _widest(self) -> float:
        """tan of the largest angle at the border of the image."""
        u, v = np.linspace(0, self.width - 1, 99), np.linspace(0, self.height - 1, 99)
        sides = [(u, 0 * u), (u, 0 * u + v[-1]), (0 * v, v), (0 * v + u[-1], v)]
        rays = self.rays(np.concatenate([np.stack(side, axis=1) for side in sides]))
        z = rays[np.isfinite(rays).all(axis=1), 2]
        return float(np.tan(np.arccos(max(z.min(initial=1.0), 1e-3))))

    def _bent(self, turned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) behind the lens of (N, 2) before it, both in focal lengths; and how the one
        changes with the other, (N, 2, 2)."""
        x, y = turned.T
        r2 = x * x + y * y
        radial = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * (self.k3 + r2 * self.k4)))
        slope = 2 * (self.k1 + r2 * (2 * self.k2 + r2 * (3 * self.k3 + r2 * 4 * self.k4)))
        u = x * radial + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x) + self.sx1 * r2
        v = y * radial + 2 * self.p2 * x * y + self.p1 * (r2 + 2 * y * y) + self.sy1 * r2
        mixed = x * y * slope + 2 * (self.p1 * x + self.p2 * y)
        change = [
            [radial + x * x * slope + 2 * self.p1 * y + (6 * self.p2 + 2 * self.sx1) * x,
             mixed + 2 * self.sx1 * y],
            [mixed + 2 * self.sy1 * x,
             radial + y * y * slope + 2 * self.p2 * x + (6 * self.p1 + 2 * self.sy1) * y],
        ]  # fmt: skip
        return np.stack([u, v], axis=1), np.moveaxis(np.array(change), 2, 0)

    def _straight(self, bent: np.ndarray) -> np.ndarray:
        """The inverse of _bent by Newton's method; NaN where it does not end."""
        turned = bent.copy()
        with np.errstate(all="ignore"):
            for _ in range(20):
                here, change = self._bent(turned)
                (a, b), (c, d) = np.moveaxis(change, 0, 2)
                u, v = (here - bent).T
                step = np.stack([d * u - b * v, a * v - c * u], axis=1) / (a * d - b * c)[:, None]
                turned = turned - step
                if np.nanmax(np.abs(step), initial=0.0) < 1e-12:
                    break
            missed = np.abs(self._bent(turned)[0] - bent) * self._focal
            return np.where((missed < 0.01).all(axis=1, keepdims=True), turned, np.nan)
