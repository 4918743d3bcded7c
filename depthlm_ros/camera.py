# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Camera: pixels <-> unit rays, distance <-> z.

Knows nothing about images, models or ROS. Frames are optical (REP-103): x right, y down,
z forward; metres; pixels are (u, v) with the origin at the centre of the top-left pixel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import atan, degrees, inf, isfinite, pi, tan

import numpy as np
from numpy.typing import ArrayLike

from depthlm_ros.errors import CameraError, InputError

_LARGEST = 1e9  # pixels; what is larger overflows somewhere and is no camera
_SMALLEST_FOCAL = 1e-3  # pixels
_WIDEST = 1e3  # tan of the largest angle that is searched for a ray

# Numbers of coefficients each model takes, as OpenCV and sensor_msgs/distortion_models order them.
DISTORTION_MODELS = {
    "none": (0,),
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
# Where a model bends nothing if all its coefficients are zero. An equidistant lens without
# coefficients is the ideal fisheye, angle = radius / focal length, and no pinhole.
_PINHOLE_AT_ZERO = ("none", "plumb_bob", "rational_polynomial")
_STRONG_SKEW = 1e-3  # of fx: 0.1 % moves a pixel at the border of an image by half a pixel
_SQUARE = 0.02  # fx and fy that differ by less are called equal
_NUMBERS = ("width", "height", "fx", "fy", "cx", "cy", "skew")
_NARROWEST, _WIDEST_PINHOLE = 2, 150  # degrees across that an image without a lens model may show


@dataclass(frozen=True)
class Camera:
    """Intrinsics of one camera at one image size.

    width, height: size of the image [px].
    fx, fy: focal lengths [px].
    cx, cy: principal point [px].
    distortion: a key of DISTORTION_MODELS.
    coefficients: in OpenCV's order; surplus zeros at the end are dropped, and an "equidistant"
        lens without any has four zeros (the ideal fisheye). For the other models all zeros mean
        a pinhole: distortion becomes "none".
    skew: K[1], how far u moves per unit of y / z [px].

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
    skew: float = 0.0

    def __post_init__(self) -> None:
        try:  # float32 of numpy would make all that is computed from it as coarse
            given = tuple(float(c) for c in self.coefficients)
            numbers = {name: float(getattr(self, name)) for name in _NUMBERS}
        except (TypeError, ValueError) as error:
            names = ", ".join(_NUMBERS)
            raise CameraError(f"{names} and the coefficients are numbers: {error}") from error
        for name, number in numbers.items():
            is_whole = name in ("width", "height") and number.is_integer()
            object.__setattr__(self, name, int(number) if is_whole else number)
        distortion, coefficients = _lens(self.distortion, given)
        object.__setattr__(self, "distortion", distortion)
        object.__setattr__(self, "coefficients", coefficients)
        problems = list(self._problems())
        if problems:
            raise CameraError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
        sides = self.width, self.height
        if not all(isinstance(side, int) and side >= 1 for side in sides):
            yield f"the image size is {sides[0]} x {sides[1]}, it is 1 x 1 or more in whole pixels"
        values = [self.fx, self.fy, self.cx, self.cy, *self.coefficients, self.skew]
        if not all(isfinite(v) and abs(v) < _LARGEST for v in values):
            text = ", ".join(f"{v:g}" for v in values)
            yield f"intrinsics must be finite numbers below {_LARGEST:g}, got {text}"
        elif self.fx <= 0 or self.fy <= 0:
            yield (
                f"the focal length is fx = {self.fx:g}, fy = {self.fy:g} pixels, it must be"
                " positive (zero means an uncalibrated camera: calibrate it and publish its"
                " camera_info)"
            )
        elif min(self.fx, self.fy) < _SMALLEST_FOCAL:
            yield (
                f"the focal length is fx = {self.fx:g}, fy = {self.fy:g} pixels, at least"
                f" {_SMALLEST_FOCAL:g} is needed: check the intrinsics"
            )
        allowed = DISTORTION_MODELS.get(self.distortion)
        if allowed is None:
            names = ", ".join(DISTORTION_MODELS)
            yield f"distortion model '{str(self.distortion)[:40]}' is unknown, allowed: {names}"
        elif len(self.coefficients) not in allowed:
            counts = " or ".join(map(str, allowed))
            yield (
                f"distortion model '{self.distortion}' takes {counts} coefficients,"
                f" got {len(self.coefficients)}"
            )

    def warnings(self) -> list[str]:
        """What makes these intrinsics doubtful though they can be used, a sentence each."""
        found = []
        if not (0 < self.cx < self.width - 1 and 0 < self.cy < self.height - 1):
            found.append(
                f"the principal point ({self.cx:g}, {self.cy:g}) lies on or beyond the border of"
                f" the {self.width} x {self.height} image: are these the intrinsics of another"
                " image size?"
            )
        across = degrees(2 * atan(self.width / 2 / self.fx))
        if self.distortion == "none" and not _NARROWEST < across < _WIDEST_PINHOLE:
            found.append(
                f"with fx = {self.fx:g} an image {self.width} pixels wide shows {across:.3g}"
                " degrees from left to right, as hardly any camera does: focal lengths are in"
                " pixels of this image, not in millimetres or degrees"
            )
        if abs(self.skew) > _STRONG_SKEW * self.fx:
            found.append(
                f"the intrinsics have a skew of K[1] = {self.skew:g} pixels, which is unusual (it"
                " is applied)"
            )
        return found

    @property
    def has_square_pixels(self) -> bool:
        """Whether fx and fy differ by 2 % at most."""
        return abs(self.fx / self.fy - 1) <= _SQUARE

    def rays(self, pixels: ArrayLike) -> np.ndarray:
        """Unit rays (N, 3) through pixels (N, 2).

        NaN where no ray reaches the pixel: beyond the radius at which the lens polynomial turns
        back, where two rays would meet in one pixel.
        """
        xy = self._undistorted(as_pixels(pixels))
        rays = np.concatenate([xy, np.ones((len(xy), 1))], axis=1)
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)

    def pixels(self, points: ArrayLike) -> np.ndarray:
        """Pixels (N, 2) of points (N, 3) in metres.

        NaN for points at or behind the camera, and for those that the lens model does not reach.
        """
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            xy = np.where(points[:, 2:] > 0, points[:, :2] / points[:, 2:], np.nan)
            xy = np.where(np.linalg.norm(xy, axis=1, keepdims=True) < self._fold, xy, np.nan)
            return self._on_image(self._distorted(xy))

    def scaled(self, sx: float, sy: float, width: int, height: int) -> "Camera":
        """The camera of the image resized to width x height [px], intrinsics times the exact
        factors sx, sy along the axes.

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
            skew=self.skew * sx,
        )

    def cropped(self, left: float, top: float, width: int, height: int) -> "Camera":
        """The camera of the window of width x height pixels whose corner is (left, top), pixels
        of this camera's image; negative where the window begins outside it."""
        return replace(self, width=width, height=height, cx=self.cx - left, cy=self.cy - top)

    def turned(self) -> "Camera":
        """The camera of the image turned anticlockwise by a quarter, as numpy.rot90 does: pixel
        (u, v) comes to (v, width - 1 - u). Raises CameraError with distortion or skew."""
        if self.distortion != "none" or self.skew:
            raise CameraError(
                "an image with distortion or skew cannot be turned: rectify it first"
            )
        return replace(
            self,
            width=self.height,
            height=self.width,
            fx=self.fy,
            fy=self.fx,
            cx=self.cy,
            cy=self.width - 1 - self.cx,
        )

    def z_from_distance(self, pixels: ArrayLike, distance_m: ArrayLike) -> np.ndarray:
        """Metres along the optical axis (N,) from metres along the rays of pixels (N, 2)."""
        return np.asarray(distance_m, dtype=np.float64) * self.rays(pixels)[:, 2]

    def distance_from_z(self, pixels: ArrayLike, z_m: ArrayLike) -> np.ndarray:
        """Metres along the rays of pixels (N, 2) from metres along the optical axis (N,)."""
        return np.asarray(z_m, dtype=np.float64) / self.rays(pixels)[:, 2]

    def contains(self, pixels: ArrayLike) -> np.ndarray:
        """(N,) bool: whether pixels (N, 2) lie on the image (half a pixel beyond centres)."""
        u, v = as_pixels(pixels).T
        return (u >= -0.5) & (u < self.width - 0.5) & (v >= -0.5) & (v < self.height - 0.5)

    def _on_image(self, xy: np.ndarray) -> np.ndarray:
        """Pixels (N, 2) of normalised coordinates (N, 2) behind the lens."""
        pixels = xy * (self.fx, self.fy) + (self.cx, self.cy)
        if self.skew:
            pixels[:, 0] += self.skew * xy[:, 1]
        return pixels

    def _off_image(self, pixels: np.ndarray) -> np.ndarray:
        """The inverse of _on_image."""
        xy = (pixels - (self.cx, self.cy)) / (self.fx, self.fy)
        if self.skew:
            xy[:, 0] -= self.skew / self.fx * xy[:, 1]
        return xy

    def _undistorted(self, pixels: np.ndarray) -> np.ndarray:
        """Normalised coordinates (N, 2) of the ray through each pixel; NaN where there is none."""
        bent = self._off_image(pixels)
        if self.distortion == "none" or not len(pixels):
            return bent
        xy = self._by_opencv(bent)
        wrong = ~self._reaches(xy, bent)
        if wrong.any():  # OpenCV's iteration may leave for the branch beyond the fold
            xy[wrong] = self._by_newton(bent[wrong])
            xy[~self._reaches(xy, bent)] = np.nan
        return xy

    def _by_opencv(self, bent: np.ndarray) -> np.ndarray:
        import cv2

        points, coefficients = bent.reshape(-1, 1, 2), np.array(self.coefficients)
        if self.distortion == "equidistant":
            xy = cv2.fisheye.undistortPoints(points, np.eye(3), coefficients)
        else:
            criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
            # OpenCV 4 takes the criteria in a function of its own, which OpenCV 5 dropped.
            undistort = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)
            xy = undistort(points, np.eye(3), coefficients, R=None, P=None, criteria=criteria)
        return np.array(xy, np.float64).reshape(-1, 2)

    def _by_newton(self, bent: np.ndarray) -> np.ndarray:
        """The inverse of _distorted from a start below the fold: the radius without tangential
        terms by bisection, then Newton steps in both coordinates."""
        length = np.linalg.norm(bent, axis=1)
        low, high = np.zeros(len(bent)), np.full(len(bent), min(self._fold, _WIDEST))
        for _ in range(60):
            middle = (low + high) / 2
            below = self._radial(middle) < length
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        with np.errstate(all="ignore"):  # a start may run away: _reaches judges the end
            xy = np.where(length[:, None] > 0, bent * (low / length)[:, None], 0.0)
            for _ in range(20):
                xy = xy - self._newton_step(xy, bent)
        return xy

    def _newton_step(self, xy: np.ndarray, bent: np.ndarray) -> np.ndarray:
        step = 1e-7 * np.maximum(1.0, np.abs(xy).max(axis=1))
        here = self._distorted(xy)
        dx = (self._distorted(xy + np.stack([step, 0 * step], 1)) - here) / step[:, None]
        dy = (self._distorted(xy + np.stack([0 * step, step], 1)) - here) / step[:, None]
        error = here - bent
        determinant = dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]
        return np.stack(
            [
                (error[:, 0] * dy[:, 1] - error[:, 1] * dy[:, 0]) / determinant,
                (error[:, 1] * dx[:, 0] - error[:, 0] * dx[:, 1]) / determinant,
            ],
            axis=1,
        )

    def _reaches(self, xy: np.ndarray, bent: np.ndarray) -> np.ndarray:
        """(N,) bool: whether rays are bent into their pixel, to 0.1 px, from below the fold."""
        with np.errstate(all="ignore"):
            off = (self._distorted(xy) - bent) * (self.fx, self.fy)
            near = np.linalg.norm(off, axis=1) < 0.1
            return near & (np.linalg.norm(xy, axis=1) < self._fold)

    @cached_property
    def _fold(self) -> float:
        """tan of the angle at which the radial polynomial turns back; inf if it never does."""
        if self.distortion == "none":
            return inf
        c = self.coefficients
        if self.distortion == "equidistant":
            turns = _smallest_root([1.0, *(c[i] * (2 * i + 3) for i in range(4))]) ** 0.5
            return tan(turns) if turns < pi / 2 else inf
        k = [c[0], c[1], c[4] if len(c) > 4 else 0.0]
        up = np.polynomial.Polynomial([1.0, *k])
        down = np.polynomial.Polynomial([1.0, *c[5:8]])
        s = np.polynomial.Polynomial([0.0, 1.0])  # the squared radius
        slope = (up + 2 * s * up.deriv()) * down - 2 * s * up * down.deriv()
        return min(_smallest_root(list(slope.coef)), _smallest_root(list(down.coef))) ** 0.5

    def _radial(self, radius: np.ndarray) -> np.ndarray:
        """The radius behind the lens without tangential terms."""
        return np.linalg.norm(self._distorted(np.stack([radius, 0 * radius], 1), True), axis=1)

    def _distorted(self, xy: np.ndarray, only_radial: bool = False) -> np.ndarray:
        """Normalised coordinates (N, 2) behind the lens; the inverse of _undistorted."""
        if self.distortion == "none" or not len(xy):
            return xy
        import cv2

        coefficients = np.array(self.coefficients)
        if self.distortion == "equidistant":
            bent = cv2.fisheye.distortPoints(xy.reshape(-1, 1, 2), np.eye(3), coefficients)
        else:
            if only_radial:
                coefficients[2:4] = coefficients[8:] = 0
            points = np.concatenate([xy, np.ones((len(xy), 1))], axis=1)
            zero = np.zeros(3)
            bent, _ = cv2.projectPoints(points, zero, zero, np.eye(3), coefficients)
        return np.array(bent, np.float64).reshape(-1, 2)


def _lens(distortion: str, given: tuple[float, ...]) -> tuple[str, tuple[float, ...]]:
    """The model and its coefficients without surplus zeros at the end."""
    allowed = DISTORTION_MODELS.get(distortion)
    if allowed is None:
        return distortion, given
    if not any(given) and distortion in _PINHOLE_AT_ZERO:
        return "none", ()
    if distortion == "equidistant" and not given:
        return distortion, (0.0,) * 4
    while len(given) > min(allowed) and len(given) not in allowed and given[-1] == 0:
        given = given[:-1]
    return distortion, given


def _smallest_root(polynomial: Sequence[float]) -> float:
    """Of a polynomial, lowest power first, the smallest positive real root; inf without one."""
    roots = np.polynomial.Polynomial(polynomial).trim().roots()
    real = roots[np.abs(roots.imag) < 1e-9 * np.maximum(1, np.abs(roots))].real
    return float(min(real[real > 0], default=inf))


def as_pixels(pixels: ArrayLike) -> np.ndarray:
    """pixels as (N, 2) float64; raises InputError for anything else."""
    try:
        pixels = np.asarray(pixels, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor with gradients
        raise InputError(f"pixels are N pairs of numbers (u, v), got {pixels!r:.60}") from error
    if pixels.size == 0:
        return pixels.reshape(0, 2)
    if pixels.ndim == 1 and pixels.shape == (2,):
        return pixels.reshape(1, 2)
    if pixels.ndim != 2 or pixels.shape[1] != 2:
        raise InputError(f"pixels are N pairs (u, v), of shape (N, 2), got {pixels.shape}")
    return pixels
