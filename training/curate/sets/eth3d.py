# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""ETH3D, the 13 training scenes of the high-resolution multi-view benchmark: photographs with the
z of a laser scanner.

eth3d.net, Datasets, the archives of distorted JPG images and of their depth, unpacked into one
folder (CC BY-NC-SA 4.0):

    ROOT/SCENE/images/dslr_images/DSC_0001.JPG
    ROOT/SCENE/dslr_calibration_jpg/{cameras,images}.txt
    ROOT/SCENE/ground_truth_depth/dslr_images/DSC_0001.JPG    raw float32, row by row, inf: none

Traps: the depth lies on the grid of the distorted images and never on that of the undistorted
ones; the lens is a thin prism fisheye; calibrations count pixels from a corner; a scene may have
several cameras.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from training.curate.sample import Lens, Sample, Skip
from training.curate.sets.colmap import Model, read_images, read_models
from training.curate.sets.files import check_split, rgb_of


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


class Eth3d:
    """See the module. Published: DepthLM straightens image and map with k1 to k4 alone, takes the
    first camera of each scene, and writes distances; DepthVLM lays the map on the undistorted
    images (images/dslr_images_undistorted, dslr_calibration_undistorted), whose grid is another.
    """

    name = "eth3d"
    licence = "ETH3D, CC BY-NC-SA 4.0: not for commercial use, shared alike."
    splits: tuple[str, ...] = ("training",)
    range_m = (0.01, 50.0)

    def __init__(self, root: Path, split: str = "training", as_published: str = ""):
        self._root, self._published = root, as_published
        self._on_undistorted = as_published == "depthvlm"
        check_split(self, split)
        for folder in self._calibrations():
            if not any(root.glob(f"*/{folder}/cameras.txt")):
                raise InputError(
                    f"{root} has no SCENE/{folder}/cameras.txt: needed is the folder into which"
                    " ETH3D's archives of images and of depth were unpacked, one folder a scene"
                )

    def keys(self) -> Sequence[tuple[str, str]]:
        """(scene, file name) of each image with a calibration."""
        paths = sorted(self._root.glob(f"*/{self._calibrations()[-1]}/images.txt"))
        return [(path.parts[-3], name) for path in paths for name in sorted(_cameras(path))]

    def read(self, key: tuple[str, str]) -> Sample:
        """Raises Skip, or InputError for a calibration that is not understood."""
        scene, file_name = key
        name = f"{scene}/{Path(file_name).stem}"
        folder = self._root / scene
        models = [self._model(scene, file_name, which) for which in self._calibrations()]
        lens = _lens(models[-1])
        depth = folder / "ground_truth_depth" / "dslr_images" / file_name
        z_m = _z_map(depth, models[0].width, models[0].height)
        taken = "dslr_images_undistorted" if self._on_undistorted else "dslr_images"
        path = folder / "images" / taken / file_name
        if not path.is_file():
            raise Skip("no image file", str(path))
        if self._published == "depthlm":
            image, camera, distance_m = _as_depthlm(models[0], path, z_m)
            return Sample(name, scene, image, camera, depth=distance_m, kind="distance")
        return Sample(name, scene, path, lens, depth=z_m, kind="z")

    def _calibrations(self) -> list[str]:
        undistorted = ["dslr_calibration_undistorted"] if self._on_undistorted else []
        return ["dslr_calibration_jpg", *undistorted]

    def _model(self, scene: str, file_name: str, calibration: str) -> Model:
        folder = self._root / scene / calibration
        models = read_models(folder / "cameras.txt")
        number = _cameras(folder / "images.txt").get(file_name, "")
        if self._published == "depthlm":
            number = next(iter(models), "")
        if number not in models:
            raise Skip("no calibration", f"{folder}: no camera '{number}' for {file_name}")
        return models[number]


def _lens(model: Model) -> Lens:
    if model.name != "THIN_PRISM_FISHEYE":
        return model.camera()
    if len(model.parameters) != 12:
        raise InputError(f"a THIN_PRISM_FISHEYE has 12 parameters, got {len(model.parameters)}")
    return ThinPrismFisheye(model.width, model.height, *model.intrinsics, *model.parameters[4:])


@lru_cache(maxsize=32)
def _cameras(path: Path) -> dict[str, str]:
    """The camera's id by the image's file name."""
    return {Path(name).name: number for name, number in read_images(path).items()}


def _z_map(path: Path, width: int, height: int) -> np.ndarray:
    """(height, width) float32 metres, NaN where nothing was measured."""
    if not path.is_file():
        raise Skip("no depth file", str(path))
    z_m = np.fromfile(path, "<f4")
    if z_m.size != width * height or path.stat().st_size % 4:
        raise Skip("truncated depth", f"{path}: {z_m.size} values, not {width} x {height}")
    z_m[~(np.isfinite(z_m) & (z_m > 0))] = np.nan
    return z_m.reshape(height, width)


def _as_depthlm(
    model: Model, path: Path, z_m: np.ndarray
) -> tuple[np.ndarray, Camera, np.ndarray]:
    """Image, camera and distances as DepthLM makes them of a fisheye image."""
    if model.name != "THIN_PRISM_FISHEYE":
        raise Skip("not a fisheye", str(path))
    fx, fy, cx, cy = model.parameters[:4]
    k = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    size = model.width, model.height
    bends = np.array(model.parameters)[[4, 5, 8, 9]]
    maps = cv2.fisheye.initUndistortRectifyMap(k, bends, np.eye(3), k, size, cv2.CV_16SC2)
    image = cv2.remap(rgb_of(path), *maps, cv2.INTER_LINEAR)
    straight = cv2.remap(np.nan_to_num(z_m), *maps, cv2.INTER_NEAREST)
    straight[(straight <= 1e-4) | (straight >= 1e6)] = np.nan
    straight[:11] = straight[-10:] = straight[:, :11] = straight[:, -10:] = np.nan
    v, u = np.mgrid[: model.height, : model.width]
    distance_m = straight * np.sqrt(((u - cx) / fx) ** 2 + ((v - cy) / fy) ** 2 + 1)
    return image, Camera(*size, fx, fy, cx, cy), distance_m.astype(np.float32)
