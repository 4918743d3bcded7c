# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Matterport3D: indoor panoramas of three RGB-D cameras, 18 images at each place.

Download: "Matterport3D" (niessner.github.io/Matterport), undistorted_color_images,
undistorted_depth_images, undistorted_camera_parameters; the lists of splits are in its repository,
tasks/benchmark. Layout (also below v1/scans, as the download script leaves
it, and with <scene>/<scene>/, as its archives unpack):

    <scene>/undistorted_color_images/<place>_i<camera>_<turn>.jpg   1280 x 1024
    <scene>/undistorted_depth_images/<place>_d<camera>_<turn>.png   z, 16 bits, 0.25 mm, 0 none
    <scene>/undistorted_camera_parameters/<scene>.conf
    scenes_train.txt scenes_val.txt scenes_test.txt

Traps: the .conf is a stream of commands, and an intrinsics_matrix holds for the scans that follow
until the next one: three cameras, three matrices. It counts rows from the bottom, in centres: cy
from the top is H - 1 - cy (camera 0 of one place has cy 509.202 there and 513.798 in Matterport's
own file, which counts from the top). Its poses look along -z; no pose is needed here. Published
labels: both count rows from the top and leave cy as it is; DepthLM's are distances through that
point, DepthVLM takes the last matrix of a scene for all images.
Licence: Matterport's terms allow academic research, and no passing on of the images.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from depthlm_ros.errors import InputError
from training.curate.formats.files import (
    check_split,
    check_there,
    distances,
    image_size,
    in_metres,
    pinhole,
    raw_depth,
    text_of,
)
from training.curate.sample import Sample, Skip

_UNITS = 4000  # per metre

Intrinsics = tuple[float, ...]  # fx, fy, cx, cy with cy from the bottom; empty where unknown
Scan = tuple[str, str, str, Intrinsics]  # scene, colour file, depth file, intrinsics


class Matterport:
    """See training.curate.sample.DataSet. range_m: DepthVLM's; DepthLM's is 0.05 to 50 m."""

    name = "matterport"
    licence = "Matterport3D: its terms allow academic research, and no redistribution."
    splits: tuple[str, ...] = ("train", "val", "test")

    def __init__(self, root: Path, split: str, as_published: str = ""):
        check_split(self, split)
        listed = check_there(root / f"scenes_{split}.txt", f"<root>/scenes_{split}.txt")
        self._scans = root / "v1" / "scans" if (root / "v1" / "scans").is_dir() else root
        self._as_published = as_published
        self.range_m = (0.05, 50.0) if as_published == "depthlm" else (0.01, 10.0)
        names = set(text_of(listed).split())
        self._scenes = tuple(sorted(name for name in names if (self._scans / name).is_dir()))
        if not self._scenes:
            raise InputError(
                f"{self._scans} has none of the scenes of {listed.name}; the official layout is"
                " <root>/<scene>/undistorted_{color_images,depth_images,camera_parameters}/"
            )

    def keys(self) -> Sequence[Scan]:
        """A key for each scan of the scenes that are there, as the .conf files list them."""
        return [key for scene in self._scenes for key in self._of_scene(scene)]

    def _of_scene(self, scene: str) -> list[Scan]:
        folder, conf = self._paths(scene)
        if not conf.is_file():  # the images are skipped and counted
            images = sorted((folder / "undistorted_color_images").glob("*.jpg"))
            names = [image.name for image in images] or ["any image"]  # archives as they came
            return [(scene, name, "", ()) for name in names]
        scans: list[Scan] = [(scene, *scan) for scan in _scans(conf)]
        if self._as_published == "depthvlm" and scans:
            return [(*scan[:3], scans[-1][3]) for scan in scans]
        return scans

    def _paths(self, scene: str) -> tuple[Path, Path]:
        """The folder of a scene, and its .conf file."""
        folder = self._scans / scene
        if (folder / scene).is_dir():  # where the archives were unpacked beside themselves
            folder = folder / scene
        return folder, folder / "undistorted_camera_parameters" / f"{scene}.conf"

    def read(self, key: Scan) -> Sample:
        """The image with its z, NaN where the sensor measured nothing."""
        scene, colour, depth, intrinsics = key
        folder, conf = self._paths(scene)
        if not intrinsics:
            raise Skip("no calibration", f"{conf}: no scan with an intrinsics_matrix for {colour}")
        image = folder / "undistorted_color_images" / colour
        size = image_size(image)
        raw = raw_depth(folder / "undistorted_depth_images" / depth, size)
        fx, fy, cx, cy = intrinsics
        from_top = cy if self._as_published else size[1] - 1 - cy
        camera = pinhole(size, (fx, fy, cx, from_top), conf)
        z_m = in_metres(raw, _UNITS)
        is_distance = self._as_published == "depthlm"
        return Sample(
            f"{scene}/{Path(colour).stem}",
            scene,
            image,
            camera,
            depth=distances(camera, z_m) if is_distance else z_m,
            kind="distance" if is_distance else "z",
        )


def _scans(conf: Path) -> Iterator[tuple[str, str, Intrinsics]]:
    """(colour file, depth file, intrinsics) of each scan command of a .conf file."""
    intrinsics: Intrinsics = ()
    promised = found = 0
    for line in conf.read_text(encoding="utf-8", errors="replace").splitlines():
        command, *words = line.split() or [""]
        if command == "n_images" and words and words[0].isdigit():
            promised = int(words[0])
        elif command == "intrinsics_matrix":
            intrinsics = _intrinsics(words)
        elif command == "scan" and len(words) >= 2:
            found += 1
            yield words[1], words[0], intrinsics
    for number in range(found, promised):  # the file was cut off: skipped and counted
        yield f"scan {number}", "", ()


def _intrinsics(words: list[str]) -> Intrinsics:
    """(fx, fy, cx, cy) of a 3 x 3 matrix, row by row; empty if it is none."""
    try:
        fx, _, cx, _, fy, cy, *last = map(float, words)
    except ValueError:
        return ()
    return (fx, fy, cx, cy) if last == [0, 0, 1] else ()
