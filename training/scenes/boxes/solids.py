# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rays against boxes, vertical cylinders and ellipsoids: the exact distance of the first hit.

Knows nothing about colours, furniture or training. World frame: x, y along the ground, z up,
metres; a solid may be turned about z by its yaw. Every solid is convex, so that a ray meets it
in one interval [near, far] of distances.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from depthlm_ros.camera import Camera

BOX, CYLINDER, ELLIPSOID = 0, 1, 2
NEAR_M = 0.01


class Surface(NamedTuple):
    """How a solid looks: a texture that mixes colour `a` with `b`, its scale (m), own light."""

    texture: Callable
    a: tuple
    b: tuple
    scale: float = 0.5
    glow: float = 0.0


class Part(NamedTuple):
    """One solid: shape, centre (3) and size (3) in metres, yaw in radians, Surface."""

    shape: int
    centre: tuple
    size: tuple
    yaw: float
    surface: Surface


@dataclass(frozen=True)
class Solids:
    """M solids as arrays: shape (M,), centre (M, 3), half size (M, 3), yaw (M,)."""

    shape: np.ndarray
    centre: np.ndarray
    half: np.ndarray
    yaw: np.ndarray

    @classmethod
    def of(cls, parts: list[Part]) -> "Solids":
        """Arrays of the parts; a quarter turn becomes a swap of x and y, which is cheaper."""
        yaw = np.array([p.yaw for p in parts])
        half = np.array([p.size for p in parts]) / 2
        quarters = np.round(yaw / (np.pi / 2))
        straight = np.abs(yaw - quarters * (np.pi / 2)) < 1e-6
        swap = straight & (quarters % 2 == 1)
        half[swap] = half[swap][:, [1, 0, 2]]
        shape = np.array([p.shape for p in parts])
        return cls(shape, np.array([p.centre for p in parts]), half, np.where(straight, 0.0, yaw))

    def corners(self) -> np.ndarray:
        """The corners of the bounding boxes, (M, 8, 3), in world coordinates."""
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        local = self.half[:, None] * signs
        c, s = np.cos(self.yaw)[:, None], np.sin(self.yaw)[:, None]
        x, y = local[..., 0], local[..., 1]
        return np.stack([c * x - s * y, s * x + c * y, local[..., 2]], -1) + self.centre[:, None]

    def gap(self, point) -> np.ndarray:
        """How far the point lies outside each bounding box, (M,) metres; 0 inside."""
        offset = np.asarray(point) - self.centre
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        x, y = offset[:, 0], offset[:, 1]
        local = np.stack([c * x + s * y, c * y - s * x, offset[:, 2]], -1)
        return np.linalg.norm(np.maximum(np.abs(local) - self.half, 0), axis=-1)


@dataclass(frozen=True)
class Pose:
    """Where a camera is: origin (3,) and axes (3, 3) whose columns are right, down, forward."""

    origin: np.ndarray
    axes: np.ndarray

    @classmethod
    def looking(cls, origin, yaw: float, pitch: float, roll: float = 0.0) -> "Pose":
        """Yaw from +x towards +y, pitch upwards, roll clockwise seen from behind; radians."""
        forward = np.array(
            [np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)]
        )
        right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
        down = np.cross(forward, right)
        c, s = np.cos(roll), np.sin(roll)
        axes = np.stack([c * right + s * down, c * down - s * right, forward], 1)
        return cls(np.asarray(origin, float), axes)


def ray_planes(camera: Camera, pose: Pose) -> np.ndarray:
    """World directions of all pixel centres as three planes, (3, height, width) float32."""
    v, u = np.mgrid[: camera.height, : camera.width]
    rays = camera.rays(np.stack([u.ravel(), v.ravel()], 1).astype(float))
    turned = pose.axes.astype(np.float32) @ rays.T.astype(np.float32)
    return turned.reshape(3, camera.height, camera.width)


_EDGES = np.array([[i, i ^ bit] for i in range(8) for bit in (1, 2, 4) if not i & bit])


def windows(solids: Solids, camera: Camera, pose: Pose) -> np.ndarray:
    """The columns and rows that each solid may touch: (M, 4) int left, top, right, bottom."""
    seen = (solids.corners() - pose.origin) @ pose.axes
    start, end = seen[:, _EDGES[:, 0]], seen[:, _EDGES[:, 1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (NEAR_M - start[..., 2]) / (end[..., 2] - start[..., 2])
    cut = start + (end - start) * np.clip(np.nan_to_num(share), 0, 1)[..., None]
    crossing = (start[..., 2] < NEAR_M) != (end[..., 2] < NEAR_M)
    points = np.concatenate([seen, cut], 1)
    valid = np.concatenate([seen[..., 2] >= NEAR_M, crossing], 1)
    z = np.maximum(points[..., 2], NEAR_M)
    u = camera.fx * points[..., 0] / z + camera.cx
    v = camera.fy * points[..., 1] / z + camera.cy
    low = [np.where(valid, x, np.inf).min(1) for x in (u, v)]
    high = [np.where(valid, x, -np.inf).max(1) for x in (u, v)]
    box = np.stack([*(np.floor(x) for x in low), *(np.ceil(x) + 1 for x in high)], 1)
    limit = [camera.width, camera.height] * 2
    return np.clip(box, 0, limit).astype(int)


def first_hits(solids: Solids, camera: Camera, pose: Pose, rays: np.ndarray):
    """The first solid along each ray: distance_m (H, W) float32 and its index (H, W) int16.

    Where nothing is hit the distance is infinite and the index -1. A solid that contains the
    origin is not seen.
    """
    distance = np.full(rays.shape[1:], np.inf, np.float32)
    index = np.full(rays.shape[1:], -1, np.int16)
    safe = np.where(np.abs(rays) < 1e-7, np.float32(1e-7), rays)
    inverse = 1 / safe
    for i, (left, top, right, bottom) in enumerate(windows(solids, camera, pose)):
        if left >= right or top >= bottom:
            continue
        cut = np.s_[top:bottom, left:right]
        near = _near(
            solids,
            i,
            pose.origin,
            rays[:, top:bottom, left:right],
            inverse[:, top:bottom, left:right],
        )
        closer = near < distance[cut]
        np.copyto(distance[cut], near, where=closer)
        np.copyto(index[cut], np.int16(i), where=closer)
    return distance, index


def _near(solids: Solids, i: int, origin, rays, inverse) -> np.ndarray:
    """Distance at which the rays enter solid i, infinite where they miss it."""
    c, s = np.cos(solids.yaw[i]), np.sin(solids.yaw[i])
    x, y, z = origin - solids.centre[i]
    start = np.array([c * x + s * y, c * y - s * x, z], np.float32)
    if solids.yaw[i]:
        c, s = np.float32(c), np.float32(s)
        turned = c * rays[0] + s * rays[1], c * rays[1] - s * rays[0]
        rays = *turned, rays[2]
        inverse = (None, None, inverse[2])
    half = solids.half[i].astype(np.float32)
    near, far = _INTERVALS[solids.shape[i]](start, half, rays, inverse)
    near[(near > far) | (near < NEAR_M)] = np.inf
    return near


def _slab(start, half, inverse):
    """Where rays are between two planes at -half and +half of one axis."""
    middle = inverse * -start
    reach = np.abs(inverse)
    reach *= half
    return middle - reach, middle + reach


def _box(start, half, rays, inverse):
    """Interval of a box: that of three slabs."""
    near, far = _slab(start[2], half[2], inverse[2])
    for axis in (0, 1):
        turned = inverse[axis]
        if turned is None:
            turned = 1 / np.where(rays[axis] == 0, np.float32(1e-7), rays[axis])
        enter, leave = _slab(start[axis], half[axis], turned)
        np.maximum(near, enter, out=near)
        np.minimum(far, leave, out=far)
    return near, far


def _round(start, half, rays, axes):
    """Interval of an ellipse or ellipsoid: a quadratic equation in the scaled axes."""
    scaled = [(start[a] / half[a], rays[a] * (1 / half[a])) for a in axes]
    square = sum(d * d for _, d in scaled) + np.float32(1e-12)
    slope = sum(o * d for o, d in scaled)
    root = slope * slope - square * (sum(o * o for o, _ in scaled) - 1)
    missed = root < 0
    root = np.sqrt(np.maximum(root, 0))
    near, far = (-slope - root) / square, (root - slope) / square
    far[missed] = -np.inf
    return near, far


def _cylinder(start, half, rays, inverse):
    """Interval of an upright cylinder with caps."""
    near, far = _round(start, half, rays, (0, 1))
    enter, leave = _slab(start[2], half[2], inverse[2])
    return np.maximum(near, enter), np.minimum(far, leave)


def _ellipsoid(start, half, rays, inverse):
    """Interval of an ellipsoid."""
    return _round(start, half, rays, (0, 1, 2))


_INTERVALS = {BOX: _box, CYLINDER: _cylinder, ELLIPSOID: _ellipsoid}
