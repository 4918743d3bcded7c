# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm call: ask the running node about pixels, boxes or a grid of its newest image.

What `ros2 service call` and `ros2 action send_goal` do, where there is no `ros2`, with a table.
"""

import contextlib
import shutil
import sys
from math import isfinite

import numpy as np

from depthlm_ros.errors import InputError
from depthlm_ros.msgs.fields import cloud_points
from depthlm_ros.ranges import Ranges
from depthlm_ros.ros.convert import duration_message
from depthlm_ros.ros.tools.client import Client
from depthlm_ros.viz.clouds import write_ply
from depthlm_ros.viz.progress import progress_bar
from depthlm_ros.viz.tables import answers_table, points_column


def main(args) -> int:
    """Print what was answered; 0 if the node carried the question out, else 1."""
    if args.ply and not args.grid:
        raise InputError("--ply writes the cloud of a grid: give --grid COLUMNSxROWS with it")
    ask = _scan if args.grid else _boxes if args.box else _pixels
    with _waiting(args.node) as waiting, Client(args.node, args.wait, waiting) as client:
        response, show = ask(client, args)
    if not response.success:
        print(f"depthlm: {args.node} says: {response.message}", file=sys.stderr)
        return 1
    if response.message:
        print(response.message)
    print_source(response)
    show()
    return 0


@contextlib.contextmanager
def _waiting(node):
    """A function (response) that says on stderr what is waited for: in a line that is rewritten
    where a terminal shows it, else in one line for each new reason."""
    codes, terminal = [], sys.stderr.isatty()

    def waiting(response):
        line = f"depthlm: waiting, {node} says: {response.message}"
        if terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\033[K{line[:width]}")
        elif codes[-1:] != [response.code]:
            print(line, file=sys.stderr, flush=True)
        codes.append(response.code)

    try:
        yield waiting
    finally:
        if codes and terminal:
            sys.stderr.write("\r\033[K")


def _pixels(client, args):
    pixels = args.at or args.between
    response = client.ask(pixels, args.timeout, args.camera, args.max_age, args.frame)

    def show():
        print_answers([f"{u:g}, {v:g}" for u, v in pixels], response.answers)
        if args.between:
            print(f"from one point to the other: {_metres(between(response.answers))} m")

    return response, show


def _boxes(client, args):
    response = client.ask_boxes(args.box, args.timeout, args.camera, args.max_age, args.frame)
    names = [",".join(map(str, box)) for box in args.box]
    counts = [f"{i} of {a}" for i, a in zip(response.inliers, response.answered, strict=True)]
    more = {"spread m": [_metres(s) for s in response.spread], "pixels": counts}
    return response, lambda: print_answers(names, response.answers, more, title="box x, y, w, h")


def _scan(client, args):
    goal = client.action.ScanGrid.Goal(
        camera=args.camera,
        frame=args.frame,
        max_age=duration_message(args.max_age),
        columns=args.grid[0],
        rows=args.grid[1],
    )
    with progress_bar("pixels") as progress:
        result = client.scan(goal, progress, args.timeout)

    def show():
        print_scan(result)
        if args.ply:
            count = write_ply(args.ply, *cloud_points(result.cloud))
            print(f"wrote {count} points to {args.ply}")

    return result, show


def between(answers) -> float:
    """Metres between the points of the first two of PixelDistances; NaN if one is unknown."""
    points = np.stack([answers.x, answers.y, answers.z], axis=1)
    return float(np.linalg.norm(points[1] - points[0]))


def print_source(response) -> None:
    """Which image was answered, and how long that took."""
    stamp, frame = response.header.stamp, response.header.frame_id
    points = response.answers.frame_id
    latency = response.latency.sec + response.latency.nanosec / 1e9
    print(
        f"image of {stamp.sec}.{stamp.nanosec:09d} in {frame or '-'},"
        + (f" points in {points}," if points != frame else "")
        + f" answered in {latency:.2f} s"
    )


def print_scan(result) -> None:
    """The statistics of a scan."""
    print(
        f"{result.answered} of {len(result.answers.status)} pixels have a distance: nearest"
        f" {_metres(result.nearest)} m, median {_metres(result.median)} m, farthest"
        f" {_metres(result.farthest)} m"
    )


def print_answers(names, answers, more=None, title="pixel u, v") -> None:
    """A table of PixelDistances, one line per name; more: columns instead of the point."""
    points = np.stack([answers.x, answers.y, answers.z], axis=1)
    found = Ranges(
        distance_m=np.asarray(answers.distance),
        z_m=np.full(len(points), np.nan),  # along the optical axis, which only that frame tells
        lower_m=np.asarray(answers.lower),
        upper_m=np.asarray(answers.upper),
        stddev_m=np.asarray(answers.stddev),
        points=points,
        status=np.asarray(answers.status, np.uint8),
        asked=np.stack([answers.asked_u, answers.asked_v], axis=1),
        uncertain=np.asarray(answers.uncertain, bool),
    )
    print(answers_table(names, found, more or points_column(points), title))


def truth_columns(answers, truth) -> dict:
    """What print_answers shows instead of the point where true metres (N,) are known."""
    errors = [(answer - true) / true for answer, true in zip(answers.distance, truth, strict=True)]
    return {
        "truth m": [_metres(true) for true in truth],
        "error": [f"{error:+.0%}" if isfinite(error) else "-" for error in errors],
    }


def _metres(value) -> str:
    return f"{value:.2f}" if isfinite(value) else "-"
