# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Image files and camera files, read; and what names a file's content.

Files come from anywhere, so whatever a library says about a broken one becomes an ImageError or a
CameraError here, and metadata that nobody needs never breaks an image. Knows nothing about models
or ROS: a camera file here is YAML, not a message.
"""

import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import hypot, isfinite, nan
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from depthlm_ros.camera import Camera
from depthlm_ros.errors import CameraError, ImageError, InputError, first_line

# PIL modes that convert("RGB") gets right; of others it would clip the values.
EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_FILM_DIAGONAL_MM = hypot(36, 24)  # CIPA DCG-001 compares diagonals
# EXIF orientation -> what turns the stored raster upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OF_THE_CAMERA = (
    ExifTags.Base.FocalLengthIn35mmFilm,
    ExifTags.Base.DigitalZoomRatio,
    ExifTags.Base.ExifImageWidth,
    ExifTags.Base.ExifImageHeight,
)
_MATROSKA = b"\x1aE\xdf\xa3"
_AVIF_BRANDS = (b"avif", b"avis")
_MOVING = ("GIF", "PNG", "WEBP", "TIFF")  # not MPO: phones keep previews beside an image
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
# Pillow warns from half of what it refuses on; a phone of 108 megapixels is no attack.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

ImagePath = str | Path | BinaryIO


def read_image(path: ImagePath, upright: bool = True, name: str = "") -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image file, or of an open one that errors call `name`.

    upright: turned as its EXIF orientation says, so that pixels are those that a viewer shows;
    False: the stored raster. Greyscale, palette, CMYK and opaque RGBA are converted; of 16-bit
    values the high byte counts, as in messages. Raises ImageError, also for transparent images.
    """
    shown = name or path
    with _opened(path, shown) as file:
        return _rgb(file, shown, upright)


@dataclass(frozen=True, eq=False)
class Photo:
    """An image file as viewers show it, and what its EXIF tells of the camera.

    raster: (H, W, 3) uint8 RGB, upright.
    is_turned: whether it is portrait and stored as landscape, or the other way round.
    focal_px: from EXIF's FocalLengthIn35mmFilm, None where that is missing or malformed. Good to
    some 5 %; it does not know of an image that was cropped.
    contradictions: what in EXIF contradicts that focal length, a sentence each.
    count: how many images the file holds, of which this is the first.
    """

    raster: np.ndarray
    is_turned: bool
    focal_px: float | None
    contradictions: list[str]
    count: int = 1


def read_photo(path: ImagePath) -> Photo:
    """The Photo in an image file, which is opened once. Raises ImageError."""
    with _opened(path, path) as file:
        film_mm, zoom, wide, high = (
            _only_value(_tag(file.image, tag, ExifTags.IFD.Exif)) for tag in _OF_THE_CAMERA
        )
        raster = _rgb(file, path, upright=True)
        count = getattr(file.image, "n_frames", 1) if file.image.format in _MOVING else 1
    height, width = raster.shape[:2]
    focal_px = None
    if film_mm is not None and film_mm > 0:
        focal_px = film_mm * hypot(width, height) / _FILM_DIAGONAL_MM
    contradictions = _contradictions(zoom, wide, high, width, height)
    return Photo(raster, file.orientation >= 5, focal_px, contradictions, count)


def _rgb(file: "_Opened", shown: object, upright: bool) -> np.ndarray:
    if _is_transparent(file.image):
        raise ImageError(
            f"{shown} has transparent pixels: put it on a background first, such as by"
            " `magick in.png -background white -flatten out.png`"
        )
    raster = as_rgb(_raster(file, shown))
    if upright and file.orientation in _UPRIGHT:
        raster = np.array(Image.fromarray(raster).transpose(_UPRIGHT[file.orientation]))
    return raster


def _contradictions(
    zoom: float | None, wide: float | None, high: float | None, width: int, height: int
) -> list[str]:
    """Sentences about a digital zoom, and about an image of width x height that EXIF says was
    wide x high."""
    found = []
    if zoom is not None and zoom > 1.01:
        found.append(
            f"EXIF tells a digital zoom of {zoom:g}: the focal length may be {zoom:g} times as"
            " long as its film equivalent says; give --fx or --camera"
        )
    if wide and high:
        now, then = max(width, height) / min(width, height), max(wide, high) / min(wide, high)
        if abs(now / then - 1) > 0.02:
            found.append(
                f"EXIF tells {wide:.0f} x {high:.0f} pixels and the image has {width} x {height}:"
                " it was cropped, and the focal length from EXIF is of the whole; give --fx or"
                " --camera"
            )
    return found


def read_raster(path: ImagePath, name: str = "") -> np.ndarray:
    """The stored raster of an image file: (H, W) uint8 or uint16 if it is grey, else (H, W, 3)
    uint8 RGB whatever its alpha says. Raises ImageError."""
    with _opened(path, name or path) as file:
        return _raster(file, name or path)


def read_measured(path: ImagePath, name: str = "") -> np.ndarray:
    """(H, W) uint16, int32 or float32: the stored raster of an image file that holds measurements,
    or of an open one that errors call `name`.

    Raises ImageError, also for images of 8 bits or in colour, which hold none.
    """
    with _opened(path, name or path) as file:
        if file.is_sixteen_bit:
            return np.array(file.image).astype(np.uint16)
        if file.image.mode in ("I", "F"):
            return np.array(file.image)
        raise ImageError(
            f"{name or path} has pixels of the form '{file.image.mode}'; a depth image is grey, 16"
            " bits, or with 32 bits as TIFF"
        )


def as_rgb(raster: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of a raster; grey three times, of 16-bit values the high byte."""
    if raster.dtype == np.uint16:
        raster = (raster >> 8).astype(np.uint8)
    return np.repeat(raster[..., None], 3, axis=2) if raster.ndim == 2 else raster


class _Opened(NamedTuple):
    """An image file that Pillow holds open.

    orientation: of its EXIF.
    is_sixteen_bit: whether it is grey of 16 bits.
    """

    image: Image.Image
    orientation: int
    is_sixteen_bit: bool


@contextmanager
def _opened(path: ImagePath, shown: object) -> Iterator[_Opened]:
    """An image file in which only ImageError can happen; shown: its name in errors."""
    if not (isinstance(path, str | PathLike) or hasattr(path, "read")):
        raise ImageError(
            f"an image file is named by its path, got {type(path).__name__}: an RGB array with its"
            " camera is a Frame(array, camera)"
        )
    try:
        with Image.open(path) as image:
            is_sixteen_bit = _is_sixteen_bit(image)  # first: to read EXIF may load the image
            orientation = _orientation(image)
            _keep_stored(image)
            yield _Opened(image, orientation, is_sixteen_bit)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise ImageError(
            f"{shown} has more than {most:.0f} million pixels, which is the most that is read:"
            " scale it down (and its intrinsics with it)"
        ) from error
    except Exception as error:
        reason = _other_kind(path) or f"cannot be read as an image: {_reason(error)}"
        raise ImageError(f"{shown} {reason}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # which names an object of Python
        return "it is no JPEG, PNG, WebP or TIFF, or damaged from its first bytes on"
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    strerror: str | None = getattr(error, "strerror", None)
    return strerror or f"it is damaged or was cut off ({first_line(error)})"


def _other_kind(path: ImagePath) -> str:
    """What something is that is no image file that Pillow reads, and what to do; "" if unknown."""
    if isinstance(path, str) and "://" in path:
        return "is an address: download the image, and give the file"
    if path == "-":
        return "is no file: an image that comes through a pipe is /dev/stdin"
    if isinstance(path, str | Path) and Path(path).is_dir():
        return "is a folder: name an image file in it"
    head = _head(path)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return (
            "is a HEIC image, which cannot be read: convert it to JPEG or PNG, such as by"
            " `heif-convert in.heic out.jpg`"
        )
    is_mp4 = head[4:8] == b"ftyp" and head[8:12] not in _AVIF_BRANDS
    if is_mp4 or head[8:12] == b"AVI " or head[:4] == _MATROSKA:
        return (
            "is a video: take an image out of it, such as by `ffmpeg -i FILE -frames:v 1 out.png`"
        )
    return ""


def _head(path: ImagePath) -> bytes:
    """The first 12 bytes of a file; none where it cannot be read."""
    try:
        if isinstance(path, str | Path):
            if not Path(path).is_file():  # a pipe would be waited for
                return b""
            with open(path, "rb") as file:
                return file.read(12)
        path.seek(0)
        return path.read(12)
    except (OSError, ValueError):
        return b""


def _raster(file: _Opened, name: object) -> np.ndarray:
    image = file.image
    if file.is_sixteen_bit:
        return np.array(image).astype(np.uint16)
    if image.mode not in EIGHT_BIT:
        raise ImageError(
            f"{name} has pixels of the form '{image.mode}' without a known full scale: bring it"
            " to 8 or 16 bits"
        )
    # convert() copies an image that is RGB already, for a third of the time of a JPEG.
    return np.array(image if image.mode in ("L", "RGB") else image.convert("RGB"))


def _is_sixteen_bit(image: Image.Image) -> bool:
    if image.mode.startswith("I;16"):
        return True
    # Before 10.3, Pillow opened 16-bit grey PNG as 32 bits, of which only the tiles tell.
    tiles: Any = getattr(image, "tile", ())
    return image.mode == "I" and bool(tiles) and str(tiles[0][3]).startswith("I;16")


def _keep_stored(image: Image.Image) -> None:
    """Keep Pillow from turning a TIFF while it loads it, which it does with no other format."""
    tags = getattr(image, "tag_v2", None)
    if tags is not None and ExifTags.Base.Orientation in tags:
        del tags[ExifTags.Base.Orientation]
        image.getexif().pop(ExifTags.Base.Orientation, None)
        # The size of what is stored; the other one is as if it were turned (Pillow 11 and later).
        image._size = getattr(image, "_tile_size", image.size)
    if hasattr(image, "_tile_orientation"):  # where Pillow 10 remembers it
        image._tile_orientation = None


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 where there is none that can be read."""
    found = _only_value(_tag(image, ExifTags.Base.Orientation))
    return int(found) if found in _UPRIGHT else 1


def _tag(image: Image.Image, tag: int, inner: int | None = None) -> Any:
    """The value of an EXIF tag, of the inner directory `inner` if given; None if it is missing
    or broken."""
    try:
        exif = image.getexif()
        return (exif.get_ifd(inner) if inner else exif).get(tag)
    except Exception:  # noqa: BLE001, EXIF is written by anybody and read by a library
        return None


def _only_value(value: Any) -> float | None:
    """The finite number that a tag holds, also several times; None if it holds anything else."""
    values = value if isinstance(value, (tuple, list)) else (value,)
    try:
        numbers = {float(v) for v in values if not isinstance(v, (str, bytes))}
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    found = numbers.pop() if len(numbers) == 1 else nan
    return found if isfinite(found) else None


def _is_transparent(image: Image.Image) -> bool:
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return False
    return int(np.asarray(image.convert("RGBA"))[..., 3].min()) < 255


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file in hexadecimal, read in pieces; raises InputError."""
    found = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                found.update(piece)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return found.hexdigest()


def camera_for(
    width: int,
    height: int,
    fx: float,
    fy: float | None = None,
    cx: float | None = None,
    cy: float | None = None,
) -> Camera:
    """A pinhole camera from what is known: fy is fx, the principal point the image's centre."""
    return Camera(
        width=width,
        height=height,
        fx=fx,
        fy=fx if fy is None else fy,
        cx=(width - 1) / 2 if cx is None else cx,
        cy=(height - 1) / 2 if cy is None else cy,
    )


def read_camera(path: str | Path) -> Camera:
    """The Camera in a file: a camera_info YAML (a calibration file, or a message that was echoed
    by ROS 2 or ROS 1), the `ost.txt` of camera_calibration, or a calibration saved by OpenCV.

    Raises CameraError, also where the message has a region of interest or binning.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        return _camera_of(_ost(text) if "[image]" in text else _yaml(text))
    except CameraError as error:
        raise CameraError(f"{path}: {error}") from error
    except OSError as error:
        raise CameraError(f"the camera file {path} cannot be read: {error.strerror}") from error
    except Exception as error:
        what = f"no field {error}" if isinstance(error, KeyError) else first_line(error)
        raise CameraError(
            f"{path} is no camera file that is understood ({what}): it needs image_width,"
            " image_height, camera_matrix, distortion_model and distortion_coefficients, or the"
            " fields of a sensor_msgs/CameraInfo, or be the ost.txt of camera_calibration"
        ) from error


def _yaml(text: str) -> Mapping[str, Any]:
    """The first document; OpenCV writes a header and a tag that are no YAML 1.1."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        pass

    matrix = "tag:yaml.org,2002:opencv-matrix"
    Loader.add_constructor(matrix, lambda loader, node: loader.construct_mapping(node, True))
    documents = yaml.load_all(re.sub(r"\A%YAML:.*\n", "", text), Loader)
    content = next(documents, None)
    if not isinstance(content, Mapping):
        raise TypeError(f"it holds a {type(content).__name__} and no fields")
    return {**content, **{key.lower(): content[key] for key in ("K", "D") if key in content}}


def _ost(text: str) -> Mapping[str, Any]:
    """The fields of a calibration file in the INI of camera_calibration, by their titles."""
    lines = [line.strip() for line in text.splitlines()]

    def below(title: str) -> list[float]:
        at = lines.index(title) + 1
        while not lines[at]:
            at += 1
        numbers = []
        while at < len(lines) and lines[at] and not lines[at].startswith("["):
            numbers += [float(word) for word in lines[at].split()]
            at += 1
        return numbers

    coefficients = below("distortion")
    return {
        "width": below("width")[0],
        "height": below("height")[0],
        "k": below("camera matrix"),
        "d": coefficients,
        "distortion_model": "plumb_bob" if len(coefficients) <= 5 else "rational_polynomial",
    }


def _camera_of(content: Mapping[str, Any]) -> Camera:
    if "camera_matrix" in content:
        size = content["image_width"], content["image_height"]
        matrix = content["camera_matrix"]["data"]
        coefficients = (content.get("distortion_coefficients") or {}).get("data", ())
    else:
        size, matrix, coefficients = _message_fields(content)
    model = content.get("distortion_model") or "none"
    if "distortion_model" not in content and "dt" in content.get("camera_matrix", {}):
        model = _opencv_model(content, coefficients)
    width, height = (int(length) for length in size)
    fx, skew, cx, _, fy, cy = _rows(matrix)
    return Camera(width, height, fx, fy, cx, cy, str(model), tuple(coefficients), skew)


def _rows(matrix: Any) -> list[float]:
    """The first two rows of a camera matrix, given as nine numbers or as three rows."""
    numbers = np.asarray(matrix, np.float64).ravel()
    if numbers.size != 9:
        raise CameraError(f"the camera matrix has {numbers.size} numbers, it has 3 x 3")
    if numbers.any() and tuple(numbers[6:]) != (0, 0, 1):
        last = ", ".join(f"{number:g}" for number in numbers[6:])
        raise CameraError(
            f"the last row of the camera matrix is {last} and not 0, 0, 1: is it transposed?"
        )
    return numbers[:6].tolist()


def _opencv_model(content: Mapping[str, Any], coefficients: Any) -> str:
    """OpenCV's own files do not name the model: they number it, or its coefficients tell."""
    if content.get("fisheye_model"):
        return "equidistant"
    return "plumb_bob" if len(coefficients) <= 5 else "rational_polynomial"


def _message_fields(content: Mapping[str, Any]) -> tuple[tuple[Any, Any], Any, Any]:
    region = content.get("roi") or {}
    cut = region.get("width") and (region["width"], region["height"]) != (
        content["width"],
        content["height"],
    )
    if cut or max(content.get("binning_x", 0), content.get("binning_y", 0)) > 1:
        raise CameraError("a region of interest or binning is set: give the full image's camera")
    return (content["width"], content["height"]), content["k"], content.get("d") or ()
