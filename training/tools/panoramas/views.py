# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Panoramas as files, and what a camera that stands in one sees."""

from dataclasses import dataclass
from math import radians
from pathlib import Path

import cv2
import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.data.records import map_pixels
from depthlm_ros.errors import InputError
from depthlm_ros.view import Frame
from training.scenes.lens import camera_across

SIZE = 320, 240  # of a view, (width, height)
FIELD = 55.0, 85.0  # least and most degrees across a view
PITCH = -30.0, 15.0  # degrees, least and most, above the horizon
ROLL = 2.0  # standard deviation, degrees
RATIO = 0.01  # by which width / height of a panorama may differ from 2


def read_panorama(path: Path) -> np.ndarray:
    """(H, 2H, 3) float32 linear light, RGB; InputError for what is no such image."""
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if read is None:
        raise InputError(f"{path} is no image that can be read; give .hdr, .jpg or .png files")
    height, width = read.shape[:2]
    if read.ndim != 3 or abs(width / height - 2) > 2 * RATIO:
        raise InputError(
            f"{path} is {width} x {height}: a panorama of all directions in colour is twice as"
            " wide as high"
        )
    light = read[..., 2::-1].astype(np.float32)
    return light if read.dtype == np.float32 else (light / np.iinfo(read.dtype).max) ** 2.2


@dataclass(frozen=True)
class Look:
    """A camera in the middle of a panorama.

    turn: (3, 3) from the camera to the panorama, both x right, y down, z ahead.
    """

    camera: Camera
    turn: np.ndarray

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Look":
        """One of SIZE at random."""
        camera = camera_across(*SIZE, rng.uniform(*FIELD))
        yaw, pitch, roll = rng.uniform(0, 360), rng.uniform(*PITCH), rng.normal(0, ROLL)
        return cls(camera, _turn(1, yaw) @ _turn(0, pitch) @ _turn(2, roll))

    def at(self, panorama: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
        """(height, width, ...) what each pixel sees of (H, 2H, ...)."""
        width, height = self.camera.width, self.camera.height
        rays = self.camera.rays(map_pixels((height, width), self.camera))
        x, y, z = self.turn @ rays.T
        rows, columns = panorama.shape[:2]
        at_x = (np.arctan2(x, z) / (2 * np.pi) + 0.5) * columns - 0.5
        at_y = (np.arcsin(np.clip(y, -1, 1)) / np.pi + 0.5) * rows - 0.5
        return cv2.remap(
            panorama,
            at_x.reshape(height, width).astype(np.float32),
            at_y.clip(0, rows - 1).reshape(height, width).astype(np.float32),
            interpolation,
            borderMode=cv2.BORDER_WRAP,
        )


def cut(panorama: np.ndarray, rng: np.random.Generator) -> tuple[Frame, Look]:
    """A view in a random direction as a camera exposes it, and where it looked."""
    look = Look.drawn(rng)
    return Frame(_exposed(look.at(panorama), rng), look.camera), look


def _turn(axis: int, degrees: float) -> np.ndarray:
    vector = np.zeros(3)
    vector[axis] = radians(degrees)
    return cv2.Rodrigues(vector)[0]


def _exposed(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 of linear light: its middle at a grey, its highlights compressed."""
    middle = np.exp(np.log(light.mean(axis=2) + 1e-4).mean())
    light = light * rng.uniform(0.15, 0.25) / middle
    light = light / (1 + 0.25 * light)
    return (255 * np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)
