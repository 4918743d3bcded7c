# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Frame: what a camera saw. View: the same at the focal length a checkpoint was trained at.

Image, camera and pixels move together here, so that they cannot drift apart. Knows nothing about
questions or models. Rules: DepthLM section 3.2 and its released preprocessing.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf, sqrt

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from depthlm_ros.camera import Camera, as_pixels
from depthlm_ros.errors import CameraError, ImageError, InputError

LARGEST_VIEW = 64_000_000  # pixels; beyond, the intrinsics are wrong rather than the image rich
SMALLEST_SIDE = 3  # pixels; below, the intrinsics are wrong rather than the image small
AXES = ("fx", "both")  # see unify_focal
TRAINED_VIEW = (1400, 1200)  # largest width and height of a training crop (DepthLM, appendix)
STRIP = 200_000  # pixels of a resize; fewer are not worth a thread
MOST_ROUNDING = 0.125  # of a side, by which rounding it to whole image tokens may change it
PADDING = 128  # grey: the colour that normalised images have about zero for
# Of the focal length: the image of a camera that sees 60 degrees across, four by three.
USUAL_WIDTH, USUAL_HEIGHT = 1.143, 0.857


@dataclass(frozen=True)
class Frame:
    """One image with its camera.

    image: (H, W, 3) uint8 RGB.
    camera: at the image's size.
    stamp_ns: acquisition time [ns].
    frame_id: the TF frame of the camera, an optical one (REP-103); "" where it is unknown.

    Raises ImageError for another kind of image, CameraError for a camera of another size.
    """

    image: np.ndarray
    camera: Camera
    stamp_ns: int = 0
    frame_id: str = ""

    def __post_init__(self) -> None:
        image = self.image
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
            raise ImageError(
                f"an image is an (H, W, 3) uint8 array in RGB, got {_form(image)};"
                ' np.asarray(Image.open(file).convert("RGB")) is one, and'
                " depthlm_ros.data.frames.read_frame(file) reads one with its camera"
            )
        if image.shape[2] != 3 or image.size == 0:
            raise ImageError(f"an image is (H, W, 3) and not empty, got {image.shape}")
        if not isinstance(self.camera, Camera):
            raise CameraError(
                "the camera of a frame is a Camera(width, height, fx, fy, cx, cy), got"
                f" {type(self.camera).__name__}"
            )
        size = (image.shape[1], image.shape[0])
        if size != (self.camera.width, self.camera.height):
            raise CameraError(
                f"the image is {size[0]} x {size[1]} but its camera is for"
                f" {self.camera.width} x {self.camera.height}: calibrate at the size you publish,"
                " or scale the intrinsics as the image was"
            )

    def resized(self, width: int, height: int) -> np.ndarray:
        """A copy of the image in this size [px], (height, width, 3) uint8, bicubic."""
        if self.image.shape[:2] == (height, width):
            return self.image.copy()
        return bicubic(self.image, width, height)


@dataclass(frozen=True)
class SharedFrame(Frame):
    """A Frame whose image stays as it is, so that all who ask share it in another size, made
    once and read-only. Thread-safe."""

    _sizes: dict[tuple[int, int], np.ndarray] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _lock: threading.Lock = field(
        default_factory=threading.Lock, init=False, repr=False, compare=False
    )

    def resized(self, width: int, height: int) -> np.ndarray:
        """The image in this size, bicubic; whoever comes while it is made waits for it."""
        with self._lock:
            if (width, height) not in self._sizes:
                found = super().resized(width, height)
                found.flags.writeable = False
                self._sizes[width, height] = found
            return self._sizes[width, height]


def _form(image: object) -> str:
    what = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
    return what.strip()


@dataclass(frozen=True)
class ViewLimits:
    """Which sizes of a view a model sees as they are, by the bounds of its image processor.

    A view within them is resized to whole image tokens at most. Beyond them the processor would
    shrink or enlarge it, and with it the focal length. The default has no bounds.

    token: pixels that an image token is wide and high.
    rounding: how the processor makes sides whole tokens: to the "nearest" or "up"; "none" where
        the model drops what is no whole token, "exact" where it takes nothing else.
    longest_side: of a view.
    least_pixels, most_pixels: of a view, once its sides are rounded.
    """

    token: int = 1
    rounding: str = "nearest"
    longest_side: float = inf
    least_pixels: float = 0
    most_pixels: float = inf

    def rounded(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) in pixels that the processor makes of a view of this size."""
        return self._rounded(width), self._rounded(height)

    def window(self, width: int, height: int, largest: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of the largest part of a view that the model may see, `largest` of the
        checkpoint entry included."""
        width, height = (
            self._cut(side, int(min(most, self.longest_side)))
            for side, most in zip((width, height), largest, strict=True)
        )
        rounded = self.rounded(width, height)
        if rounded[0] * rounded[1] <= self.most_pixels:
            return width, height
        shrink = sqrt(self.most_pixels / (width * height))
        width, height = (
            max(int(side * shrink) // self.token, 1) * self.token for side in (width, height)
        )
        return width, height

    def padded(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) to which a view has to be padded; its own size where it need not be.

        A side is padded to whole tokens where rounding would change it by more than MOST_ROUNDING,
        both are where the view is smaller than the processor's minimum.
        """
        width, height = (self._padded(side) for side in (width, height))
        rounded = self.rounded(width, height)
        if rounded[0] * rounded[1] >= self.least_pixels:
            return width, height
        width, height = self._whole(width), self._whole(height)
        while width * height < self.least_pixels:
            if width < height:
                width += self.token
            else:
                height += self.token
        return width, height

    def _cut(self, side: int, most: int) -> int:
        if side <= most or self.rounding != "exact":
            return min(side, most)
        return max(most // self.token, 1) * self.token

    def _padded(self, side: int) -> int:
        if self.rounding == "exact":
            return self._whole(side)
        wrong = abs(self._rounded(side) - side) > MOST_ROUNDING * side
        return self._whole(side) if wrong or side < self.token else side

    def _whole(self, side: int) -> int:
        return -(-side // self.token) * self.token

    def _rounded(self, side: int) -> int:
        if self.rounding in ("none", "exact"):
            return side
        if self.rounding == "up":
            return self._whole(side)
        return round(side / self.token) * self.token


ANY_SIZE = ViewLimits()


@dataclass(frozen=True)
class View:
    """A frame at the unified focal length, or a window of it.

    image: (h, w, 3) uint8 RGB.
    camera: the intrinsics of this image.
    frame: what it was made from.
    scale: (sx, sy), view pixels per frame pixel, exact.
    offset: (left, top), whole view pixels cut away, negative where it was padded.
    is_mirrored: whether left and right of the image are exchanged, see mirrored().
    """

    image: np.ndarray
    camera: Camera
    frame: Frame = field(repr=False)
    scale: tuple[float, float]
    offset: tuple[int, int] = (0, 0)
    is_mirrored: bool = False

    def to_view(self, pixels: ArrayLike) -> np.ndarray:
        """Frame pixels (N, 2) -> view pixels (N, 2) int, truncated as published."""
        # The published code computes (x - cx) * (fx * s / fx) + cx * s and truncates; this order
        # keeps its float rounding.
        own, seen = self.frame.camera, self.camera
        principal = np.array([own.cx, own.cy])
        ratio = seen.fx / own.fx, seen.fy / own.fy
        scaled = (as_pixels(pixels) - principal) * ratio + principal * self.scale
        return self._turned(np.trunc(scaled).astype(np.int64) - np.array(self.offset))

    def to_frame(self, pixels: ArrayLike) -> np.ndarray:
        """View pixels (N, 2) -> frame pixels (N, 2): the middle of what to_view maps there."""
        return (self._turned(as_pixels(pixels)) + self.offset + 0.5) / self.scale

    def content(self, pixels: ArrayLike) -> np.ndarray:
        """Where in this view's image frame pixels (N, 2) are seen, (N, 2) float, the middle of a
        pixel at whole numbers.

        A resize keeps borders in place, whatever the published rule (to_view) makes of a pixel:
        the two differ by half a pixel of the frame, and by what truncating the size cut off.
        """
        frame = self.frame.camera
        sides = np.array([frame.width, frame.height])
        seen = np.trunc(sides * self.scale)  # of the whole view, as in unify_focal
        return self._turned((as_pixels(pixels) + 0.5) * seen / sides - 0.5 - np.array(self.offset))

    def mirrored(self) -> "View":
        """This view with left and right exchanged, as the last thing that is done to it.

        Pixels of the frame are found in it as in any view. Nothing else is mirrored: its camera is
        still that of the view as the lens saw it, and rays are those of pixels of the frame.
        """
        return replace(self, image=np.ascontiguousarray(self.image[:, ::-1]), is_mirrored=True)

    def _turned(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (N, 2) of this view as they lie in it once it is mirrored, and back."""
        if not self.is_mirrored:
            return pixels
        return np.stack([self.camera.width - 1 - pixels[:, 0], pixels[:, 1]], axis=1)

    def cropped(self, left: int, top: int, width: int, height: int) -> "View":
        """The window of this view with its corner at (left, top), in view pixels. InputError where
        it extends outside."""
        image = self.image[top : top + height, left : left + width]
        if left < 0 or top < 0 or image.shape[:2] != (height, width):
            raise InputError(
                f"a window of {width} x {height} at ({left}, {top}) extends outside the view of"
                f" {self.camera.width} x {self.camera.height}"
            )
        offset = (self.offset[0] + left, self.offset[1] + top)
        camera = self.camera.cropped(left, top, width, height)
        return View(np.ascontiguousarray(image), camera, self.frame, self.scale, offset)

    def padded(self, width: int, height: int) -> "View":
        """This view in the middle of a grey one of width x height pixels; InputError where that is
        smaller."""
        left, top = (width - self.camera.width) // 2, (height - self.camera.height) // 2
        if min(left, top) < 0:
            raise InputError(
                f"a view of {self.camera.width} x {self.camera.height} cannot be padded to"
                f" {width} x {height}: neither side may be smaller"
            )
        image = np.full((height, width, 3), PADDING, np.uint8)
        image[top : top + self.camera.height, left : left + self.camera.width] = self.image
        camera = self.camera.cropped(-left, -top, width, height)
        offset = (self.offset[0] - left, self.offset[1] - top)
        return View(image, camera, self.frame, self.scale, offset)

    def windows(
        self, largest: tuple[int, int] = TRAINED_VIEW, limits: ViewLimits = ANY_SIZE
    ) -> list["View"]:
        """Views within `limits`, and of at most `largest` (width, height), that cover this one,
        evenly overlapping.

        A view that is too large is cut and one that is too small is padded, and neither is ever
        resized: that would change the focal length.
        """
        size = self.camera.width, self.camera.height
        most = limits.window(*size, largest)
        lefts, width = _tiles(size[0], most[0])
        tops, height = _tiles(size[1], most[1])
        views = [self]
        if len(lefts) > 1 or len(tops) > 1:
            views = [self.cropped(left, top, width, height) for top in tops for left in lefts]
        padded = limits.padded(width, height)
        return views if padded == (width, height) else [view.padded(*padded) for view in views]


def _tiles(length: int, largest: int) -> tuple[list[int], int]:
    """Starts of the fewest equal windows that cover `length`, and the windows' length."""
    count = -(-length // largest)
    if count > 1:  # a quarter of overlap, so that a pixel has context on both sides
        count = -(-(4 * length - largest) // (3 * largest))
    width = min(length, largest)
    return [round(i * (length - width) / max(count - 1, 1)) for i in range(count)], width


def unify_focal(frame: Frame, focal_px: float, axes: str = "fx") -> View:
    """The frame resized so that its focal length is focal_px (DepthLM, section 3.2).

    focal_px: in pixels, of the view.
    axes: "fx": one scale for both axes from fx, as the released checkpoints saw it; "both": each
        axis by its own focal length.

    The size truncates, the resize is bicubic, the intrinsics take the exact scale; so it is for
    DepthVLM too, whose release rounds the size, resizes bilinearly and then once more to multiples
    of 28. Raises InputError for other axes, CameraError for intrinsics that make a view too small
    or too large.
    """
    if not isinstance(frame, Frame):
        raise InputError(f"what is asked about is a Frame(image, camera), got {_form(frame)}")
    if axes not in AXES:
        raise InputError(f"axes is '{axes}', allowed: {', '.join(AXES)}")
    camera = frame.camera
    sx = focal_px / camera.fx
    sy = sx if axes == "fx" else focal_px / camera.fy
    sides = np.trunc([camera.width * sx, camera.height * sy])  # may be beyond any integer
    width, height = (int(min(side, LARGEST_VIEW + 1)) for side in sides)
    if min(width, height) < SMALLEST_SIDE or width * height > LARGEST_VIEW:
        raise CameraError(
            f"check the intrinsics: at {focal_px:g} px a {camera.width} x {camera.height} image"
            f" with fx = {camera.fx:g} becomes a view of {sides[0]:g} x {sides[1]:g}; at least"
            f" {SMALLEST_SIDE} pixels a side and at most {LARGEST_VIEW:,} in all are allowed"
        )
    scaled = camera.scaled(sx, sy, width, height)
    return View(frame.resized(width, height), scaled, frame, (sx, sy))


def usual_frame(focal_px: float, largest: tuple[int, int]) -> Frame:
    """A grey Frame of the size that most cameras have at this focal length, at most `largest`
    (width, height) in pixels."""
    width = min(int(focal_px * USUAL_WIDTH), largest[0])
    height = min(int(focal_px * USUAL_HEIGHT), largest[1])
    camera = Camera(width, height, focal_px, focal_px, width / 2, height / 2)
    return Frame(np.full((height, width, 3), PADDING, np.uint8), camera)


def bicubic(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The image (H, W, 3) uint8 in this size, as the released preprocessing resizes it.

    Pillow resizes all rows, then all columns, and none needs another: so strips of them can be
    resized at the same time. Not where the height shrinks: from Pillow 13 on the columns may
    come first there, and then the values are rounded in another order.
    """
    count = min(_cores(), width * height // STRIP)
    if count < 2 or height < len(image):
        return _pillow(image, width, height)
    wide = np.empty((len(image), width, 3), np.uint8)
    found = np.empty((height, width, 3), np.uint8)

    def rows(strip: slice) -> None:
        wide[strip] = _pillow(image[strip], width, strip.stop - strip.start)

    def columns(strip: slice) -> None:
        found[:, strip] = _pillow(wide[:, strip], strip.stop - strip.start, height)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(rows, _strips(len(image), count)))
        list(pool.map(columns, _strips(width, count)))
    return found


def _pillow(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def _strips(length: int, count: int) -> list[slice]:
    edges = np.linspace(0, length, count + 1).astype(int).tolist()
    return [slice(low, high) for low, high in pairwise(edges) if low < high]


def _cores() -> int:
    """Those that this process may use."""
    known = getattr(os, "sched_getaffinity", None)  # only on Linux
    return len(known(0)) if known else os.cpu_count() or 1
