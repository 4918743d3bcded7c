# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm ask: how far away are pixels of an image?"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from depthlm_ros.cli.options import (
    Doubts,
    add_image_options,
    add_model_options,
    exit_code,
    frame_from,
    predictor_from,
)
from depthlm_ros.cli.values import pixel
from depthlm_ros.data.frames import print_warning
from depthlm_ros.data.records import strict_json
from depthlm_ros.errors import InputError
from depthlm_ros.predict import Predictor, PredictorStats
from depthlm_ros.ranges import Ranges, Status
from depthlm_ros.view import Frame
from depthlm_ros.viz.files import check_map_path, write_map
from depthlm_ros.viz.tables import answers_table


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "ask",
        help="how far away are pixels of an image?",
        description="Print the distance of pixels of an image, with its 5 to 95 % interval, or"
        " write that of all pixels.",
    )
    add_image_options(parser)
    parser.add_argument(
        "--at",
        type=pixel,
        action="append",
        default=[],
        metavar="U,V",
        help="a pixel; may be repeated",
    )
    parser.add_argument(
        "--map",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="write the depth of every pixel, of a checkpoint with a dense head: .png (16 bit, z"
        " in millimetres, 0 unknown), .npy (float32, z in metres) or .ply (points); may be"
        " repeated",
    )
    add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print an answer for each pixel, write the map of all."""
    if not args.at and not args.map:
        raise InputError(
            "nothing is asked: give a pixel (--at U,V) or a file for all (--map FILE)"
        )
    for path in args.map:
        check_map_path(path, args.image)
    frame = frame_from(args)
    predictor = predictor_from(args)
    Doubts(predictor.checkpoint).look(frame.camera)
    code = 0
    if args.map:
        found = predictor.map(frame)
        code = exit_code(found)
        for path in args.map:
            print(write_map(path, found, frame.image), file=sys.stderr)
    if args.at or args.json:
        ranges = predictor.ranges(frame, args.at)
        _print(args, frame, predictor, ranges)
        code = exit_code(ranges) if args.at else code
    return code


def _print(args: argparse.Namespace, frame: Frame, predictor: Predictor, ranges: Ranges) -> None:
    checkpoint, stats = predictor.checkpoint, predictor.stats()
    if args.json:
        about = {"checkpoint": checkpoint.name, "calibrated": checkpoint.is_calibrated()}
        about |= {"checked": stats.checked, "fell_back": stats.fell_back}
        print(strict_json({**about, "answers": list(answers(args.at, ranges))}))
    else:
        print(answers_table([f"{u:g}, {v:g}" for u, v in args.at], ranges))
        if not checkpoint.is_calibrated():
            key = checkpoint.calibration_key()
            print(
                f"The intervals are the model's own: the checkpoint has no calibration of {key}."
            )
        if stats.fell_back:
            print(f"Decoded freely, without the known words: {told(stats)}.")
    outside = int((ranges.status == Status.OUTSIDE).sum())
    if outside:
        width, height = frame.camera.width, frame.camera.height
        print_warning(
            f"{outside} of {len(ranges)} pixels lie outside the image of {width} x {height}: u"
            f" (to the right) is 0 to {width - 1}, v (down) 0 to {height - 1}"
        )


def told(stats: PredictorStats) -> str:
    """How many checked answers a predictor decoded freely, in words."""
    return f"{stats.fell_back} of {stats.checked} checked answers"


def answers(pixels, ranges: Ranges) -> Iterator[dict]:
    """A dict for each of the pixels: metres, pixel, status by name."""
    for i, place in enumerate(pixels):
        yield {
            "pixel": list(place),
            "distance_m": ranges.distance_m[i],
            "lower_m": ranges.lower_m[i],
            "upper_m": ranges.upper_m[i],
            "stddev_m": ranges.stddev_m[i],
            "z_m": ranges.z_m[i],
            "point": ranges.points[i],
            "asked": ranges.asked[i],
            "status": Status(ranges.status[i]).name,
            "uncertain": bool(ranges.uncertain[i]),
        }
