# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Panoramas -> photographs to learn from: records with depth images.

    python -m training.tools.panoramas panoramas/*.hdr --out photographs \\
        --grounds training/tools/panoramas/grounds.json

A panorama of all directions (2 : 1, Radiance .hdr or any photograph) has no depth, but a view cut
out of it is a photograph of a known camera, and there are many under CC0. The labels are what the
dense head of the checkpoint makes of the image alone, without the states of its language model.
They are no measurements, and nothing is evaluated on them: a head learns on them that photographs
of all kinds are photographs, and to trust those states no further than they deserve.

Of the panoramas that --grounds names they follow from the height of the camera above level ground
instead, whose ends that file marks (see grounds.py beside this one): a head that has seen
photographs of rooms alone takes every photograph for a room.

Writes photographs/train.jsonl, and images and depth images (z in millimetres, 0: not known or
beyond 60 m) beside it. One panorama is one scene.
"""

import re
from collections import Counter
from collections.abc import Iterator
from math import inf
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
from training.run.commands import errors_told, parser_of
from training.tools.panoramas.grounds import Ground, read_grounds
from training.tools.panoramas.views import cut, read_panorama
from training.tools.trust import head_of

FARTHEST_M = 60.0
RESOLUTION = re.compile(r"_\d+k$")  # of a file's name: square_1k.hdr is the panorama square


def teacher_of(checkpoint: str) -> DensePredictor:
    """A checkpoint whose maps come from the image alone; InputError where its head has no
    image encoder."""
    predictor = load_predictor(checkpoint)
    with torch.no_grad():
        head_of(predictor).trust.bias.fill_(-inf)
    return predictor


def told(
    path: Path, views: int, teacher: DensePredictor, ground: Ground | None, out: Path
) -> Iterator[Record]:
    """The records of `views` views of one panorama, whose files are written; without a ground
    the teacher tells their distances."""
    panorama = read_panorama(path)
    around = None if ground is None else ground.distances()
    for number in range(views):
        frame, look = cut(panorama, np.random.default_rng([*path.stem.encode(), number]))
        camera = frame.camera
        pixels = map_pixels((camera.height, camera.width), camera)
        if around is None:
            distance_m = teacher.map(frame).distance_m
        else:
            distance_m = look.at(around, cv2.INTER_NEAREST)
        z_m = camera.z_from_distance(pixels, distance_m.ravel())
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
    parser.add_argument("--grounds", type=Path, help="JSON file of where the ground of some ends")
    given = parser.parse_args(arguments)
    with errors_told("training.tools.panoramas"):
        if repeated := [s for s, n in Counter(p.stem for p in given.panoramas).items() if n > 1]:
            raise InputError(
                f"several panoramas are named {repeated[0]}, after which their views are named:"
                " rename all but one"
            )
        grounds = read_grounds(given.grounds) if given.grounds else {}
        teacher = teacher_of(given.checkpoint)
        for folder in ("images", "depth"):
            (given.out / folder).mkdir(parents=True, exist_ok=True)
        path = given.out / "train.jsonl"
        records = (
            record
            for panorama in given.panoramas
            for record in told(
                panorama,
                given.views,
                teacher,
                grounds.get(RESOLUTION.sub("", panorama.stem)),
                given.out,
            )
        )
        print(f"wrote {write_records(path, records)} records to {path}")


if __name__ == "__main__":
    main()
