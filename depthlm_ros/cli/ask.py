# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm ask: how far are these pixels of a picture?"""

import numpy as np

from depthlm_ros.cli.options import (
    add_model_options,
    add_picture_options,
    frame_from,
    pixel,
    predictor_from,
)
from depthlm_ros.data.records import strict_json
from depthlm_ros.ranges import Status


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("ask", help="how far are these pixels of a picture?")
    add_picture_options(parser)
    parser.add_argument(
        "--at", type=pixel, action="append", required=True, metavar="U,V", help="may be repeated"
    )
    add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(args) -> int:
    """Print an answer for each pixel."""
    frame = frame_from(args)
    predictor = predictor_from(args)
    ranges = predictor.ranges(frame, args.at)
    rows = list(answers(args.at, ranges))
    row, stats = predictor.checkpoint, predictor.stats()
    if args.json:
        about = {"checkpoint": row.name, "calibrated": row.is_calibrated()}
        about |= {"checked": stats.checked, "fell_back": stats.fell_back}
        print(strict_json({**about, "answers": rows}))
    else:
        print("\n".join(table(rows)))
        if not row.is_calibrated():
            print("The intervals are the model's own; this checkpoint is not calibrated.")
        if stats.fell_back:
            print(f"Decoded freely, without the known words: {told(stats)}.")
    return 0 if np.isfinite(ranges.distance_m).any() else 1


def told(stats) -> str:
    """How many checked answers a predictor decoded freely, in words."""
    return f"{stats.fell_back} of {stats.checked} checked answers"


def answers(pixels, ranges):
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


def table(rows):
    """Lines of a table of answers()."""
    form = "{:>14}{:>12}{:>16}{:>9}{:>24}  {}"
    yield form.format(
        "pixel u, v", "distance m", "5 to 95 % m", "z m", "point x, y, z m", "status"
    )
    for row in rows:
        yield form.format(
            _list(row["pixel"], "{:g}"),
            _list([row["distance_m"]]),
            _list([row["lower_m"], row["upper_m"]], between=" to "),
            _list([row["z_m"]]),
            _list(row["point"]),
            _status(row),
        )


def _list(values, form="{:.2f}", between=", ") -> str:
    return between.join(form.format(v) for v in values) if np.isfinite(values).all() else "-"


def _status(row) -> str:
    if row["status"] == Status.SNAPPED.name:
        return f"SNAPPED to {_list(row['asked'], '{:.1f}')}"
    return row["status"]
