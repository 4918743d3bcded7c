# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a camera makes of a scene of triangles: light and exact distance of every pixel.

Leaves (images with holes) let rays through; edges are shaded by more rays than one. Where a
ray leaves the place there is no distance: NaN.
"""

import cv2
import numpy as np

from depthlm_ros.camera import Camera
from training.scenes.boxes.solids import Pose
from training.scenes.furnished.light import Lamps, bounced, direct, smoothed
from training.scenes.furnished.meshes import Hits, Scene, dots

HOLES = 4
EDGE_RAYS = 2


def render(rng, scene: Scene, lamps: Lamps, camera: Camera, pose: Pose, outside):
    """Linear light (3, H, W) and distance in metres (H, W), both float32.

    outside: the colour that rays see where they leave, a function of rays (P, 3).
    """
    v, u = np.mgrid[: camera.height, : camera.width]
    pixels = np.stack([u.ravel(), v.ravel()], 1).astype(np.float32)
    shape = camera.height, camera.width
    rays, hits, colour, normals = _seen(scene, camera, pose, pixels)
    met = hits.face >= 0
    distance = np.where(met, hits.distance, np.float32(60))
    points = pose.origin.astype(np.float32) + rays * distance[:, None]
    light = _irradiance(rng, scene, lamps, points, normals, distance, shape, outside)
    shown = np.where(
        met[:, None], colour * (light.reshape(-1, 3) + scene.shine(hits)[:, None]), outside(rays)
    )
    shown = shown.reshape(*shape, 3)
    _soften(rng, scene, camera, pose, shown, light, hits, distance, normals, outside)
    return np.moveaxis(shown, 2, 0), np.where(met, distance, np.float32(np.nan)).reshape(shape)


def _seen(scene, camera, pose, pixels):
    """Rays (P, 3), hits, colours (P, 3), normals (P, 3) of pixels (P, 2); holes are passed."""
    rays = camera.rays(pixels.astype(float)).astype(np.float32) @ pose.axes.T.astype(np.float32)
    origins = np.broadcast_to(pose.origin.astype(np.float32), rays.shape)
    hits = Hits(*(x.copy() for x in scene.cast(origins, rays)))
    colour, normals = np.zeros((len(rays), 3), np.float32), -rays
    left = np.flatnonzero(hits.face >= 0)
    for _ in range(HOLES):
        some = hits.of(left)
        normals[left] = scene.normal(some, rays[left])
        slant = np.maximum(-dots(normals[left], rays[left]), 0.05)
        found = scene.albedo(some, some.distance / np.float32(camera.fx) / np.sqrt(slant))
        colour[left] = found[:, :3]
        left = left[found[:, 3] < 0.5]
        if not len(left):
            break
        left = _onward(scene, origins, rays, hits, left)
    return rays, hits, colour, normals


def _onward(scene, origins, rays, hits, left):
    """Cast the rays with these numbers on from where they are; returns those that still hit."""
    gone = hits.distance[left] + np.float32(1e-3)
    more = scene.cast(origins[left] + rays[left] * gone[:, None], rays[left])
    for old, new in zip(hits, more._replace(distance=gone + more.distance), strict=True):
        old[left] = new
    return left[more.face >= 0]


def _irradiance(rng, scene, lamps, points, normals, distance, shape, outside):
    """Light that arrives (H, W, 3): lamps at each pixel, the rest at every fourth."""
    v, u = np.mgrid[: shape[0], : shape[1]]
    dither = ((0.7548777 * u + 0.5698403 * v) % 1).ravel().astype(np.float32)
    lamp = direct(rng, scene, lamps, points, normals, dither).reshape(*shape, 3)
    grid = points.reshape(*shape, 3), normals.reshape(*shape, 3), distance.reshape(shape)
    lamp = smoothed(lamp, grid[1], grid[0], grid[2], (1, 2))
    half = [np.ascontiguousarray(x[::2, ::2]) for x in grid]
    sky = outside(np.array([[0, 0.7, 0.7]], np.float32))[0]
    rest = bounced(rng, scene, lamps, half[0].reshape(-1, 3), half[1].reshape(-1, 3), sky)
    rest = smoothed(rest.reshape(half[0].shape), half[1], half[0], half[2], (1, 2, 4, 7, 3))
    return lamp + cv2.resize(rest, shape[::-1], interpolation=cv2.INTER_LINEAR)


def _soften(rng, scene, camera, pose, shown, light, hits, distance, normals, outside):
    """Average the pixels at edges with a few more rays through them, in place."""
    height, width = shown.shape[:2]
    piece = np.where(hits.face >= 0, scene.piece[hits.face], -1).reshape(height, width)
    bend = normals.reshape(height, width, 3)
    edge = np.zeros((height, width), bool)
    for a, b in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        differ = (piece[a] != piece[b]) | (dots(bend[a], bend[b]) < 0.8)
        edge[a] |= differ
        edge[b] |= differ
    at = np.flatnonzero(edge)
    centre = np.stack([at % width, at // width], 1).astype(np.float32)
    total = shown.reshape(-1, 3)[at]
    for i in range(EDGE_RAYS):
        turn = 2 * np.pi * (i + rng.random(len(at))) / EDGE_RAYS
        off = 0.38 * np.stack([np.cos(turn), np.sin(turn)], 1)
        total = total + _again(scene, camera, pose, centre + off, light, distance, outside)
    shown.reshape(-1, 3)[at] = total / (EDGE_RAYS + 1)


def _again(scene, camera, pose, pixels, light, distance, outside):
    """Colour of pixels seen once more; the light is that of the neighbour at their distance."""
    rays, hits, colour, _ = _seen(scene, camera, pose, pixels.astype(np.float32))
    height, width = light.shape[:2]
    column, row = np.round(pixels).astype(int).T
    best, number = np.full(len(rays), np.inf), np.zeros(len(rays), int)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)):
        near = (row + dy).clip(0, height - 1) * width + (column + dx).clip(0, width - 1)
        gap = np.abs(distance[near] - hits.distance)
        number = np.where(gap < best, near, number)
        best = np.minimum(gap, best)
    arriving = light.reshape(-1, 3)[number] + scene.shine(hits)[:, None]
    return np.where(hits.face[:, None] >= 0, colour * arriving, outside(rays))
