# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm scan: a grid of pixels of a picture, as overlay, cloud picture and PLY."""

import time
from pathlib import Path

import numpy as np
from PIL import Image

from depthlm_ros.cli.bars import progress_bar
from depthlm_ros.cli.options import (
    add_grid_option,
    add_model_options,
    add_picture_options,
    frame_from,
    predictor_from,
)
from depthlm_ros.errors import InputError
from depthlm_ros.scan import scan
from depthlm_ros.viz.clouds import cloud_picture, write_ply
from depthlm_ros.viz.overlay import overlay


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("scan", help="a grid of pixels: overlay, cloud picture, PLY")
    add_picture_options(parser)
    add_grid_option(parser)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder (default: out)")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args) -> int:
    """Write overlay.png, cloud.png and cloud.ply."""
    frame = frame_from(args)
    out = _folder(args.out)
    predictor = predictor_from(args)
    begin = time.monotonic()
    with progress_bar("asking") as progress:
        found = scan(predictor, frame, *args.grid, progress)
    print(_summary(found, time.monotonic() - begin))
    for path in write_pictures(out, frame, found):
        print(f"wrote {path}")
    return 0 if np.isfinite(found.ranges.distance_m).any() else 1


def write_pictures(folder, frame, found) -> list:
    """Write a Scan of a frame as overlay.png, cloud.png and cloud.ply; returns the paths."""
    picture, cloud, ply = (
        Path(folder) / name for name in ("overlay.png", "cloud.png", "cloud.ply")
    )
    drawn = overlay(frame.image, found.ranges.asked, found.ranges.distance_m)
    Image.fromarray(drawn).save(picture)
    cloud_picture(cloud, found.points, found.colours)
    write_ply(ply, found.points, found.colours)
    return [picture, cloud, ply]


def _folder(path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {path} cannot be made: {error}") from error
    return path


def _summary(found, seconds) -> str:
    known = found.ranges.distance_m[np.isfinite(found.ranges.distance_m)]
    text = f"{len(known)} of {len(found.ranges)} pixels answered in {seconds:.1f} s"
    if not len(known):
        return text
    near, middle, far = np.quantile(known, [0.05, 0.5, 0.95])
    return f"{text}: median {middle:.2f} m, nine in ten between {near:.2f} and {far:.2f} m"
