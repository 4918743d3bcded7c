# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""An image with its camera: where the focal length comes from, and what contradicts it."""

import numpy as np
import pytest
from PIL import Image

from depthlm_ros.data.frames import read_frame
from depthlm_ros.errors import CameraError, ImageError

CAMERA = """
image_width: 64
image_height: 48
camera_matrix: {data: [40.0, 0.0, 31.5, 0.0, 40.0, 23.5, 0.0, 0.0, 1.0]}
"""


def photo(folder, **inner):
    """A landscape JPEG whose EXIF turns it to portrait, with tags of the inner directory."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8769] = {int(tag[1:]): value for tag, value in inner.items()}
    Image.new("RGB", (64, 48)).save(folder / "a.jpg", exif=exif)
    return str(folder / "a.jpg")


def test_an_image_that_exif_turned_says_so_beside_the_camera_of_the_stored_one(tmp_path):
    (tmp_path / "c.yaml").write_text(CAMERA)
    with pytest.raises(CameraError, match="EXIF"):
        read_frame(photo(tmp_path), str(tmp_path / "c.yaml"))


@pytest.mark.parametrize("image", [Image.new("RGB", (64, 48)), np.zeros((48, 64, 3), np.uint8), 3])
def test_what_is_no_path_is_told_with_what_takes_it(image):
    with pytest.raises(ImageError, match=f"{type(image).__name__}.*Frame"):
        read_frame(image, fx=40)


def test_an_animation_is_told_to_be_one(tmp_path):
    calls, images = [], [Image.new("L", (64, 48), c) for c in (0, 255)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:])
    read_frame(str(tmp_path / "a.gif"), fx=40, warn=calls.append)
    assert len(calls) == 1 and "2 images" in calls[0]


def test_a_digital_zoom_is_told_beside_the_focal_length_from_exif(tmp_path):
    calls = []
    path = photo(tmp_path, t41989=26, t41988=2.0)  # FocalLengthIn35mmFilm, DigitalZoomRatio
    frame = read_frame(path, warn=calls.append)
    assert (frame.camera.width, frame.camera.height) == (48, 64)
    assert frame.camera.fx == pytest.approx(26 * 80 / 43.267, rel=1e-3)
    assert len(calls) == 2
