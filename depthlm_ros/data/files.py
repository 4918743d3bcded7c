# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Picture files and camera files, read; and what names a file's content.

Knows nothing about models or ROS: a camera file here is YAML, not a message.
"""

import hashlib
from math import hypot

import numpy as np
from PIL import Image, ImageOps

from depthlm_ros.camera import Camera
from depthlm_ros.errors import CameraError, ImageError, InputError

# PIL modes that convert("RGB") gets right; of others it would clip the values.
EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_EXIF_IFD, _FILM_MM = 0x8769, 0xA405  # FocalLengthIn35mmFilm
_FILM_DIAGONAL_MM = hypot(36, 24)  # CIPA DCG-001 compares diagonals


def read_picture(path, upright: bool = True, name: str = "") -> np.ndarray:
    """(H, W, 3) uint8 RGB of a picture file, or of an open one that errors call `name`.

    upright: turned as its EXIF orientation says, so that pixels are those that a viewer shows;
    False: the stored raster. Greyscale, palette, CMYK and opaque RGBA are converted; of 16-bit
    values the high byte counts, as in messages. Raises ImageError, also for transparent pictures.
    """
    name = name or path
    try:
        with Image.open(path) as picture:
            _check_form(name, picture)
            turned = ImageOps.exif_transpose(picture) if upright else picture
            return _rgb(turned)
    except ImageError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{name} cannot be read as a picture: {reason}") from error


def _rgb(picture) -> np.ndarray:
    if picture.mode in EIGHT_BIT:
        return np.array(picture.convert("RGB"))
    grey = (np.array(picture).astype(np.uint16) >> 8).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _check_form(name, picture) -> None:
    if picture.mode not in EIGHT_BIT and not picture.mode.startswith("I;16"):
        raise ImageError(
            f"{name} has pixels of the form '{picture.mode}' without a known full scale: bring it"
            " to 8 or 16 bits"
        )
    may_be_transparent = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    if may_be_transparent and picture.convert("RGBA").getextrema()[3][0] < 255:
        raise ImageError(f"{name} has transparent pixels: put it on a background first")


def sha256(path) -> str:
    """The SHA-256 of a file in hexadecimal, read in pieces; raises InputError."""
    found = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                found.update(piece)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    return found.hexdigest()


def camera_for(width, height, fx, fy=None, cx=None, cy=None) -> Camera:
    """A pinhole camera from what is known: fy is fx, the principal point the picture's middle."""
    return Camera(
        width=width,
        height=height,
        fx=fx,
        fy=fx if fy is None else fy,
        cx=(width - 1) / 2 if cx is None else cx,
        cy=(height - 1) / 2 if cy is None else cy,
    )


def read_camera(path) -> Camera:
    """The Camera in a camera_info YAML: a calibration file, or a message that was echoed.

    Raises CameraError, also where the message has a region of interest or binning.
    """
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            content = next(yaml.safe_load_all(file), None)
        return _camera_of(content)
    except CameraError as error:
        raise CameraError(f"{path}: {error}") from error
    except (OSError, yaml.YAMLError, LookupError, AttributeError, TypeError, ValueError) as error:
        raise CameraError(
            f"{path} is no camera_info file ({type(error).__name__}: {error}): it needs"
            " image_width, image_height, camera_matrix, distortion_model and"
            " distortion_coefficients, or the fields of a sensor_msgs/CameraInfo"
        ) from error


def _camera_of(content) -> Camera:
    if "camera_matrix" in content:
        size = content["image_width"], content["image_height"]
        matrix = content["camera_matrix"]["data"]
        coefficients = content.get("distortion_coefficients", {}).get("data", ())
    else:
        size, matrix, coefficients = _message_fields(content)
    return Camera(
        *(int(length) for length in size),
        *(float(matrix[i]) for i in (0, 4, 2, 5)),
        distortion=content.get("distortion_model") or "none",
        coefficients=tuple(coefficients),
    )


def _message_fields(content):
    region = content.get("roi", {})
    cut = region.get("width") and (region["width"], region["height"]) != (
        content["width"],
        content["height"],
    )
    if cut or max(content.get("binning_x", 0), content.get("binning_y", 0)) > 1:
        raise CameraError("a region of interest or binning is set: give the full picture's camera")
    return (content["width"], content["height"]), content["k"], content.get("d", ())


def film_focal_px(path, width, height):
    """The focal length in pixels from EXIF's FocalLengthIn35mmFilm, None where it is missing.

    Good to some 5 %; it does not know of a picture that was cropped.
    """
    try:
        with Image.open(path) as picture:
            film_mm = picture.getexif().get_ifd(_EXIF_IFD).get(_FILM_MM)
    except (OSError, ValueError, SyntaxError):
        return None
    return float(film_mm) * hypot(width, height) / _FILM_DIAGONAL_MM if film_mm else None
