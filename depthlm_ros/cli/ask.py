# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm ask: how far away are pixels of an image?"""

import argparse
from collections.abc import Iterator

from depthlm_ros.cli.options import (
    Doubts,
    add_image_options,
    add_model_options,
    exit_code,
    frame_from,
    pixel,
    predictor_from,
)
from depthlm_ros.data.records import strict_json
from depthlm_ros.predict import PredictorStats
from depthlm_ros.ranges import Ranges, Status
from depthlm_ros.viz.tables import answers_table


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "ask",
        help="how far away are pixels of an image?",
        description="Print the distance of pixels of an image, with its 5 to 95 %% interval.",
    )
    add_image_options(parser)
    parser.add_argument(
        "--at",
        type=pixel,
        action="append",
        required=True,
        metavar="U,V",
        help="a pixel; may be repeated",
    )
    add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print an answer for each pixel."""
    frame = frame_from(args)
    predictor = predictor_from(args)
    Doubts(predictor.checkpoint).look(frame.camera)
    ranges = predictor.ranges(frame, args.at)
    checkpoint, stats = predictor.checkpoint, predictor.stats()
    if args.json:
        about = {"checkpoint": checkpoint.name, "calibrated": checkpoint.is_calibrated()}
        about |= {"checked": stats.checked, "fell_back": stats.fell_back}
        print(strict_json({**about, "answers": list(answers(args.at, ranges))}))
    else:
        print(answers_table([f"{u:g}, {v:g}" for u, v in args.at], ranges))
        if not checkpoint.is_calibrated():
            print("The intervals are the model's own; this checkpoint is not calibrated.")
        if stats.fell_back:
            print(f"Decoded freely, without the known words: {told(stats)}.")
    return exit_code(ranges)


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
        }
