# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Camera: pixels <-> unit rays, distance <-> z.

Knows nothing about pictures, models or ROS. Frames are optical (REP-103): x right, y down,
z forward; metres; pixels are (u, v) with the origin at the centre of the top-left pixel.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike

from depthlm_ros.errors import CameraError

# Coefficients each model takes, as OpenCV and sensor_msgs/distortion_models order them.
DISTORTION_MODELS = {
    "none": (0,),
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}


@dataclass(frozen=True)
class Camera:
    """Intrinsics of one camera at one picture size.

    width, height: pixels of the picture. fx, fy, cx, cy: pixels.
    distortion: a key of DISTORTION_MODELS; coefficients: in OpenCV's order.
    Raises CameraError, with every problem in one message.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: str = "none"
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "coefficients", tuple(float(c) for c in self.coefficients))
        if self.distortion != "none" and not any(self.coefficients):
            object.__setattr__(self, "distortion", "none")  # all zero: the plain pinhole
        if self.distortion == "none":
            object.__setattr__(self, "coefficients", ())
        problems = list(self._problems())
        if problems:
            raise CameraError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
        if self.width < 1 or self.height < 1:
            yield f"the picture size is {self.width} x {self.height}, it must be at least 1 x 1"
        values = (self.fx, self.fy, self.cx, self.cy, *self.coefficients)
        if not all(isfinite(v) for v in values):
            given = ", ".join(f"{value:g}" for value in values)
            yield f"intrinsics must be finite numbers, got {given}"
        elif self.fx <= 0 or self.fy <= 0:
            yield (
                f"the focal length is fx = {self.fx:g}, fy = {self.fy:g} pixels, it must be"
                " positive (zero means an uncalibrated camera: calibrate it and publish its"
                " camera_info)"
            )
        allowed = DISTORTION_MODELS.get(self.distortion)
        if allowed is None:
            names = ", ".join(DISTORTION_MODELS)
            yield f"distortion model '{self.distortion}' is unknown, allowed: {names}"
        elif len(self.coefficients) not in allowed:
            yield (
                f"distortion model '{self.distortion}' takes {allowed} coefficients,"
                f" got {len(self.coefficients)}"
            )

    def rays(self, pixels: ArrayLike) -> np.ndarray:
        """Unit rays (N, 3) through pixels (N, 2); NaN where the distortion has no inverse."""
        xy = self._undistorted(as_pixels(pixels))
        rays = np.concatenate([xy, np.ones((len(xy), 1))], axis=1)
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)

    def pixels(self, points: ArrayLike) -> np.ndarray:
        """Pixels (N, 2) of points (N, 3) in metres; NaN for points at or behind the camera."""
        xyz = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            xy = np.where(xyz[:, 2:] > 0, xyz[:, :2] / xyz[:, 2:], np.nan)
        return self._distorted(xy) * (self.fx, self.fy) + (self.cx, self.cy)

    def scaled(self, sx: float, sy: float, width: int, height: int) -> "Camera":
        """The camera of the picture resized to width x height, intrinsics times the exact sx, sy.

        The size is given apart since the published rule truncates it (DepthLM, section 3.2
        and its released preprocessing), while the intrinsics keep the exact factor.
        """
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=self.cx * sx,
            cy=self.cy * sy,
        )

    def cropped(self, left: int, top: int, width: int, height: int) -> "Camera":
        """The camera of the window of width x height pixels whose corner is (left, top)."""
        return replace(self, width=width, height=height, cx=self.cx - left, cy=self.cy - top)

    def z_from_distance(self, pixels: ArrayLike, distance_m: ArrayLike) -> np.ndarray:
        """Metres along the optical axis (N,) from metres along the rays of pixels (N, 2)."""
        return np.asarray(distance_m, dtype=np.float64) * self.rays(pixels)[:, 2]

    def distance_from_z(self, pixels: ArrayLike, z_m: ArrayLike) -> np.ndarray:
        """Metres along the rays of pixels (N, 2) from metres along the optical axis (N,)."""
        return np.asarray(z_m, dtype=np.float64) / self.rays(pixels)[:, 2]

    def contains(self, pixels: ArrayLike) -> np.ndarray:
        """(N,) bool: whether pixels (N, 2) lie on the picture (half a pixel beyond centres)."""
        u, v = as_pixels(pixels).T
        return (u >= -0.5) & (u < self.width - 0.5) & (v >= -0.5) & (v < self.height - 0.5)

    def _matrix(self) -> np.ndarray:
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    def _undistorted(self, pixels: np.ndarray) -> np.ndarray:
        """Normalised image coordinates (N, 2) of the ray through each pixel."""
        if self.distortion == "none" or not len(pixels):
            return (pixels - (self.cx, self.cy)) / (self.fx, self.fy)
        import cv2

        distorted = pixels.reshape(-1, 1, 2)
        coefficients = np.array(self.coefficients)
        if self.distortion == "equidistant":
            xy = cv2.fisheye.undistortPoints(distorted, self._matrix(), coefficients)
        else:
            criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
            # OpenCV 4 takes the criteria in a function of its own, which OpenCV 5 dropped.
            undistort = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)
            xy = undistort(
                distorted, self._matrix(), coefficients, R=None, P=None, criteria=criteria
            )
        return self._only_inverses(xy.reshape(-1, 2), pixels)

    def _only_inverses(self, xy: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """NaN where the iteration did not find a ray that projects back onto the pixel."""
        back = self._distorted(xy) * (self.fx, self.fy) + (self.cx, self.cy)
        good = np.linalg.norm(back - pixels, axis=1) < 0.1
        return np.where(good[:, None], xy, np.nan)

    def _distorted(self, xy: np.ndarray) -> np.ndarray:
        """Normalised coordinates (N, 2) after the lens; the inverse of _undistorted."""
        if self.distortion == "none" or not len(xy):
            return xy
        import cv2

        coefficients = np.array(self.coefficients)
        if self.distortion == "equidistant":
            bent = cv2.fisheye.distortPoints(xy.reshape(-1, 1, 2), np.eye(3), coefficients)
        else:
            points = np.concatenate([xy, np.ones((len(xy), 1))], axis=1)
            zero = np.zeros(3)
            bent, _ = cv2.projectPoints(points, zero, zero, np.eye(3), coefficients)
        return bent.reshape(-1, 2)


def as_pixels(pixels: ArrayLike) -> np.ndarray:
    """pixels as (N, 2) float64; raises CameraError for another shape."""
    found = np.asarray(pixels, dtype=np.float64)
    if found.size == 0:
        return found.reshape(0, 2)
    if found.ndim == 1 and found.shape == (2,):
        return found.reshape(1, 2)
    if found.ndim != 2 or found.shape[1] != 2:
        raise CameraError(f"pixels must have shape (N, 2), got {found.shape}")
    return found
