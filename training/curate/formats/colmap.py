# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Cameras of COLMAP's text format, in which ETH3D and ScanNet++ come.

COLMAP counts pixels from the corner of the top-left one, so half a pixel is taken off cx and cy.
"""

from pathlib import Path
from typing import NamedTuple

from depthlm_ros.camera import Camera
from depthlm_ros.errors import InputError
from training.curate.formats.files import text_of
from training.curate.formats.thin_prism import ThinPrismFisheye
from training.curate.sample import Lens


class Model(NamedTuple):
    """A line of cameras.txt.

    name: of the lens model.
    width, height: of the image [px].
    parameters: fx, fy, cx, cy and the lens, as they stand in the file.
    """

    name: str
    width: int
    height: int
    parameters: tuple[float, ...]

    @property
    def intrinsics(self) -> tuple[float, float, float, float]:
        """fx, fy, cx, cy [px], from the centre of the top-left pixel."""
        fx, fy, cx, cy = self.parameters[:4]
        return fx, fy, cx - 0.5, cy - 0.5

    def lens(self) -> Lens:
        """As camera(), also for ETH3D's fisheye. Raises InputError."""
        if self.name != "THIN_PRISM_FISHEYE":
            return self.camera()
        if len(self.parameters) != 12:
            raise InputError(f"a THIN_PRISM_FISHEYE has 12 parameters, got {len(self.parameters)}")
        return ThinPrismFisheye(self.width, self.height, *self.intrinsics, *self.parameters[4:])

    def camera(self) -> Camera:
        """Raises InputError for a model that Camera lacks."""
        lenses = {"PINHOLE": "none", "OPENCV": "plumb_bob", "OPENCV_FISHEYE": "equidistant"}
        if self.name not in lenses:
            known = ", ".join(lenses)
            raise InputError(f"camera model {self.name} is not understood, allowed: {known}")
        lens = lenses[self.name], self.parameters[4:]
        return Camera(self.width, self.height, *self.intrinsics, *lens)


def read_models(path: Path) -> dict[str, Model]:
    """The cameras of a cameras.txt by their id, in the order of the file. Raises InputError."""
    found = {}
    for line in _lines(path):
        if not line.strip():
            continue
        try:
            number, name, width, height, *parameters = line.split()
            model = Model(name, int(width), int(height), tuple(map(float, parameters)))
            assert len(parameters) >= 4
        except (ValueError, AssertionError) as error:
            form = "CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy ..."
            raise InputError(
                f"{path}: the line '{line[:60]}' is no camera, needed is {form} (models with one"
                " focal length are not understood)"
            ) from error
        found[number] = model
    return found


def read_images(path: Path) -> dict[str, str]:
    """The camera id of each image of an images.txt, by the image's name. Raises InputError."""
    found = {}
    lines = iter(_lines(path))
    for line in lines:
        if not line.strip():
            continue
        words = line.split(maxsplit=9)
        if len(words) != 10:
            form = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"
            raise InputError(f"{path}: the line '{line[:60]}' is no image, needed is {form}")
        found[words[9].strip()] = words[8]
        next(lines, None)  # its points, which may be an empty line
    return found


def _lines(path: Path) -> list[str]:
    return [line for line in text_of(path).splitlines() if not line.startswith("#")]
