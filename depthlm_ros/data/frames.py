# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""An image file with its camera: from numbers, a camera file, or EXIF, and never guessed."""

import sys
from collections.abc import Callable
from pathlib import Path

from depthlm_ros.camera import Camera
from depthlm_ros.data.files import Photo, camera_for, read_camera, read_photo
from depthlm_ros.errors import CameraError, InputError
from depthlm_ros.view import Frame


def print_warning(text: str) -> None:
    """Print a sentence to stderr, as the command line does."""
    print(f"depthlm: {text}", file=sys.stderr)


def read_frame(
    image: str | Path,
    camera: str | Path = "",
    fx: float | None = None,
    fy: float | None = None,
    cx: float | None = None,
    cy: float | None = None,
    warn: Callable[[str], object] = print_warning,
) -> Frame:
    """The Frame of an image file, turned upright as its EXIF orientation says.

    camera: a camera_info file of the size of the image.
    fx, fy: focal lengths in pixels; fy is fx where it is not given, fx that of EXIF.
    cx, cy: principal point in pixels of the upright image, its centre where it is not given.
    warn: called with a sentence where the focal length comes from EXIF, and where the file holds
        several images.

    Raises ImageError, CameraError where no focal length is known, and InputError for both a camera
    file and numbers.
    """
    photo = read_photo(image)
    if photo.count > 1:
        warn(f"{image} holds {photo.count} images: the first of them is asked about")
    if camera:
        if (fx, fy, cx, cy) != (None,) * 4:
            raise InputError("give either a camera file or fx, fy, cx and cy, not both")
        return _with_camera(image, photo, read_camera(camera))
    if fx is None:
        fx = _fx_of_exif(image, photo, warn)
    height, width = photo.raster.shape[:2]
    return Frame(photo.raster, camera_for(width, height, fx, fy, cx, cy))


def _with_camera(path: str | Path, photo: Photo, camera: Camera) -> Frame:
    try:
        return Frame(photo.raster, camera)
    except CameraError as error:
        if not photo.is_turned:
            raise
        raise CameraError(
            f"{error}. EXIF turned {path} upright: give the camera file of the upright image, or"
            " store the image as it was taken"
        ) from error


def _fx_of_exif(path: str | Path, photo: Photo, warn: Callable[[str], object]) -> float:
    if photo.focal_px is None:
        raise CameraError(
            f"the focal length of {path} is unknown (its EXIF holds no film-equivalent one, which"
            " alone tells it in pixels), and without it there is no scale: give fx in pixels"
            " (--fx; also --fy, --cx, --cy), or its camera_info file (--camera)"
        )
    warn(
        f"fx = {photo.focal_px:.0f} px, from the film-equivalent focal length in EXIF, accurate to"
        " a few percent if the image is not cropped; --fx or --camera is better"
    )
    for contradiction in photo.contradictions:
        warn(contradiction)
    return photo.focal_px
