# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Cameras at random, and what one makes of a place: light and distance of every pixel, then an
image, if it is worth showing.

Knows nothing about which places there are. Sky has no distance: NaN.
"""

import cv2
import numpy as np

from depthlm_ros.camera import Camera
from training.scenes.boxes import surfaces
from training.scenes.boxes.floor import Place
from training.scenes.boxes.solids import Pose, first_hits, ray_planes


def random_camera(rng) -> Camera:
    """280-400 pixels wide, 50-80 degrees wide, focal length 230 px at least."""
    tangent = np.tan(np.radians(rng.uniform(50, 80)) / 2)
    width = int(rng.uniform(max(280, 460 * tangent), 401))
    height = int(width / rng.choice([4 / 3, 4 / 3, 3 / 2, 16 / 9]))
    focal = width / 2 / tangent
    cx, cy = (width - 1) / 2, (height - 1) / 2
    fy = focal * rng.uniform(0.99, 1.01)
    return Camera(width, height, focal, fy, cx + rng.normal(0, 3), cy + rng.normal(0, 3))


def render(place: Place, camera: Camera, pose: Pose):
    """Linear light (3, H, W) and distance in metres (H, W), both float32; NaN: sky."""
    rays = ray_planes(camera, pose)
    distance, solid = first_hits(place.solids, camera, pose, rays)
    light = sky(rays)
    seen = np.flatnonzero(solid.ravel() >= 0)
    hit = surfaces.hits(
        place.solids,
        solid.ravel()[seen],
        distance.ravel()[seen],
        rays.reshape(3, -1)[:, seen],
        pose.origin,
        camera.fx,
    )
    glow = np.array([s.glow for s in place.surfaces], np.float32)[hit.solid]
    arriving = surfaces.lighting(place.lights, place.ambient, place.solids, hit) + glow
    light.reshape(3, -1)[:, seen] = surfaces.albedo(place.surfaces, hit) * arriving
    return light, np.where(solid >= 0, distance, np.float32(np.nan))


def sky(rays) -> np.ndarray:
    """Pale at the horizon, blue above: linear light (3, H, W)."""
    up = np.clip(rays[2], 0, 1)
    return np.stack([0.9 - 0.55 * up, 0.95 - 0.35 * up, 1 + 0.1 * up]).astype(np.float32)


def developed(rng, light) -> np.ndarray:
    """What a camera makes of the light: exposure, white balance, vignetting, blur, noise."""
    height, width = light.shape[1:]
    gain = rng.uniform(0.25, 0.55) / (np.mean(light) + 0.02)
    balance = gain * rng.uniform(0.9, 1.1, 3)
    v, u = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    fall = (1 - rng.uniform(0, 0.15) * (u * u + v * v)).astype(np.float32)
    image = np.moveaxis(light * (fall * balance.astype(np.float32)[:, None, None]), 0, 2)
    image = cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), rng.uniform(0.4, 0.9))
    image = np.clip(image, 0, None)
    image = 255 * (image / (1 + 0.15 * image * image)) ** np.float32(1 / 2.2)
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(0.5, 4))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def worth_showing(distance_m) -> bool:
    """Not mostly a surface before the lens, and nothing nearer than an image can show."""
    return np.mean(distance_m < 0.4) < 0.02 and np.nanmedian(distance_m) > 0.7
