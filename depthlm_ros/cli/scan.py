# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm scan: a grid of pixels of an image, as overlay, image of the cloud and PLY."""

import argparse
import time
from pathlib import Path

import numpy as np

from depthlm_ros.cli.options import (
    Doubts,
    add_grid_option,
    add_image_options,
    add_model_options,
    exit_code,
    frame_from,
    grid_of,
    grid_style_of,
    predictor_from,
)
from depthlm_ros.scan import Scan, scan
from depthlm_ros.viz.files import CLOUD, OVERLAY, output_folder, write_cloud, write_overlay
from depthlm_ros.viz.progress import progress_bar


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "scan",
        help="a grid of pixels of an image as overlay and point cloud",
        description="Ask about a grid of pixels of an image and write overlay.png, cloud.png and"
        " cloud.ply.",
    )
    add_image_options(parser)
    add_grid_option(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("out"), help="output folder (default: out)"
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write overlay.png, cloud.png and cloud.ply."""
    frame = frame_from(args)
    out = output_folder(args.out, (OVERLAY, *CLOUD), args.image)
    predictor = predictor_from(args, grid_style_of(args))
    Doubts(predictor.checkpoint).look(frame.camera)
    begin = time.monotonic()
    with progress_bar("asking") as progress:
        found = scan(predictor, frame, *grid_of(args, frame.camera), progress)
    print(_summary(found, time.monotonic() - begin))
    ranges = found.ranges
    overlay = write_overlay(
        out / OVERLAY, frame.image, ranges.asked, ranges.distance_m, ranges.uncertain
    )
    for path in (overlay, *write_cloud(out, found.points, found.colours)):
        print(f"wrote {path}")
    return exit_code(ranges)


def _summary(found: Scan, seconds: float) -> str:
    known = found.ranges.distance_m[np.isfinite(found.ranges.distance_m)]
    text = f"{len(known)} of {len(found.ranges)} pixels answered in {seconds:.1f} s"
    if unsure := int(found.ranges.uncertain.sum()):
        text += f", {unsure} of them uncertain (grey rings or stripes on the overlay)"
    if not len(known):
        return text
    near, middle, far = np.quantile(known, [0.05, 0.5, 0.95])
    return f"{text}: median {middle:.2f} m, 90 % between {near:.2f} and {far:.2f} m"
