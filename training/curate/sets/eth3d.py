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
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from training.curate.formats.colmap import Model, read_images, read_models
from training.curate.formats.files import check_split, needed, rgb_of
from training.curate.sample import Sample, Skip


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
        lens = models[-1].lens()
        depth = folder / "ground_truth_depth" / "dslr_images" / file_name
        z_m = _z_map(depth, models[0].width, models[0].height)
        taken = "dslr_images_undistorted" if self._on_undistorted else "dslr_images"
        path = folder / "images" / taken / file_name
        needed(path, "no image file")
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


@lru_cache(maxsize=32)
def _cameras(path: Path) -> dict[str, str]:
    """The camera's id by the image's file name."""
    return {Path(name).name: number for name, number in read_images(path).items()}


def _z_map(path: Path, width: int, height: int) -> np.ndarray:
    """(height, width) float32 metres, NaN where nothing was measured."""
    needed(path, "no depth file")
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
