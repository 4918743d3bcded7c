# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Panoramas -> photographs to learn from, told by a checkpoint: records with depth images.

    python -m training.tools.panoramas panoramas/*.hdr --out photographs

A panorama of all directions (2 : 1, Radiance .hdr or any photograph) has no depth, but a view cut
out of it is a photograph of a known camera, and there are many under CC0. The labels are what the
dense head of the checkpoint makes of the image alone, without the states of its language model.
They are no measurements, and nothing is evaluated on them: a head learns on them that photographs
of all kinds are photographs, and to trust those states no further than they deserve.

Writes photographs/train.jsonl, and images and depth images (z in millimetres, 0: beyond 60 m)
beside it. One panorama is one scene.
"""

from collections import Counter
from collections.abc import Iterator
from math import inf, radians
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from depthlm_ros.cli.values import count
from depthlm_ros.data.records import Record, map_pixels, write_records
from depthlm_ros.dense.predictor import DensePredictor
from depthlm_ros.errors import InputError
from depthlm_ros.predict import load_predictor
from depthlm_ros.view import Frame
from training.run.commands import errors_told, parser_of
from training.scenes.lens import camera_across
from training.tools.trust import head_of

SIZE = 320, 240  # of a view, (width, height)
FIELD = 55.0, 85.0  # least and most degrees across a view
PITCH = -30.0, 15.0  # degrees, least and most, above the horizon
ROLL = 2.0  # standard deviation, degrees
FARTHEST_M = 60.0
RATIO = 0.01  # by which width / height of a panorama may differ from 2


def read_panorama(path: Path) -> np.ndarray:
    """(H, 2H, 3) float32 linear light, RGB; InputError for what is no such image."""
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if read is None:
        raise InputError(f"{path} is no image that can be read; give .hdr, .jpg or .png files")
    height, width = read.shape[:2]
    if read.ndim != 3 or abs(width / height - 2) > 2 * RATIO:
        raise InputError(
            f"{path} is {width} x {height}: a panorama of all directions in colour is twice as"
            " wide as high"
        )
    light = read[..., 2::-1].astype(np.float32)
    return light if read.dtype == np.float32 else (light / np.iinfo(read.dtype).max) ** 2.2


def cut(panorama: np.ndarray, rng: np.random.Generator) -> Frame:
    """A view of SIZE in a random direction, as a camera exposes it."""
    width, height = SIZE
    camera = camera_across(width, height, rng.uniform(*FIELD))
    yaw, pitch, roll = rng.uniform(0, 360), rng.uniform(*PITCH), rng.normal(0, ROLL)
    rays = camera.rays(map_pixels((height, width), camera))
    turn = _turn(1, yaw) @ _turn(0, pitch) @ _turn(2, roll)  # camera to world: x right, y down
    x, y, z = turn @ (rays / np.linalg.norm(rays, axis=1, keepdims=True)).T
    rows, columns = panorama.shape[:2]
    at_x = (np.arctan2(x, z) / (2 * np.pi) + 0.5) * columns - 0.5
    at_y = (np.arcsin(np.clip(y, -1, 1)) / np.pi + 0.5) * rows - 0.5
    light = cv2.remap(
        panorama,
        at_x.reshape(height, width).astype(np.float32),
        at_y.clip(0, rows - 1).reshape(height, width).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    return Frame(_exposed(light, rng), camera)


def _turn(axis: int, degrees: float) -> np.ndarray:
    vector = np.zeros(3)
    vector[axis] = radians(degrees)
    return cv2.Rodrigues(vector)[0]


def _exposed(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 of linear light: its middle at a grey, its highlights compressed."""
    middle = np.exp(np.log(light.mean(axis=2) + 1e-4).mean())
    light = light * rng.uniform(0.15, 0.25) / middle
    light = light / (1 + 0.25 * light)
    return (255 * np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def teacher_of(checkpoint: str) -> DensePredictor:
    """A checkpoint whose maps come from the image alone; InputError where its head has no
    image encoder."""
    predictor = load_predictor(checkpoint)
    with torch.no_grad():
        head_of(predictor).trust.bias.fill_(-inf)
    return predictor


def told(path: Path, views: int, teacher: DensePredictor, out: Path) -> Iterator[Record]:
    """The records of `views` views of one panorama, whose files are written."""
    panorama = read_panorama(path)
    for number in range(views):
        frame = cut(panorama, np.random.default_rng([*path.stem.encode(), number]))
        camera = frame.camera
        pixels = map_pixels((camera.height, camera.width), camera)
        z_m = camera.z_from_distance(pixels, teacher.map(frame).distance_m.ravel())
        z_m = np.where(z_m < FARTHEST_M, z_m, 0).reshape(camera.height, camera.width)
        name = f"{path.stem}_{number:03d}"
        image, depth = out / "images" / f"{name}.png", out / "depth" / f"{name}.png"
        Image.fromarray(frame.image).save(image)
        Image.fromarray((1000 * z_m).round().astype(np.uint16)).save(depth)
        yield Record(
            image,
            camera,
            np.empty((0, 2)),
            np.empty(0),
            "z",
            str(path),
            source="panoramas",
            depth_path=depth,
            scene=path.stem,
        )


def main(arguments=None) -> None:
    """The command line."""
    parser = parser_of("training.tools.panoramas", __doc__)
    parser.add_argument("panoramas", type=Path, nargs="+", help="2 : 1, .hdr, .jpg or .png")
    parser.add_argument("--out", required=True, type=Path, help="folder")
    parser.add_argument("--views", type=count, default=30, help="of each panorama (30)")
    parser.add_argument("--checkpoint", default="tiny", help="whose dense head tells them (tiny)")
    given = parser.parse_args(arguments)
    with errors_told("training.tools.panoramas"):
        if repeated := [s for s, n in Counter(p.stem for p in given.panoramas).items() if n > 1]:
            raise InputError(
                f"several panoramas are named {repeated[0]}, after which their views are named:"
                " rename all but one"
            )
        teacher = teacher_of(given.checkpoint)
        for folder in ("images", "depth"):
            (given.out / folder).mkdir(parents=True, exist_ok=True)
        path = given.out / "train.jsonl"
        records = (
            record
            for panorama in given.panoramas
            for record in told(panorama, given.views, teacher, given.out)
        )
        print(f"wrote {write_records(path, records)} records to {path}")


if __name__ == "__main__":
    main()
