# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm call: ask the running node about pixels of its newest picture.

What `ros2 service call` does, where there is no `ros2`, and with a table.
"""

import sys
from math import isfinite

from depthlm_ros.commands.options import pixel
from depthlm_ros.predict import Status
from depthlm_ros.ros.client import Client


def add_arguments(parser) -> None:
    """The options of the subcommand."""
    parser.add_argument(
        "--at", type=pixel, action="append", required=True, metavar="U,V", help="may be repeated"
    )
    parser.add_argument("--node", default="/depthlm", help="full name (default: /depthlm)")
    parser.add_argument("--camera", default="", help="its name (default: the only one)")
    parser.add_argument(
        "--max-age", type=float, default=0.0, metavar="S", help="oldest picture (default: any)"
    )
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="patience (default: 10)"
    )


def main(args) -> int:
    """Print an answer for each pixel; 0 if the node carried the question out, else 1."""
    with Client(args.node) as client:
        response = client.ask(args.at, args.timeout, args.camera, args.max_age)
    if not response.success:
        print(f"depthlm: {args.node} says: {response.message}", file=sys.stderr)
        return 1
    print_answers(args.at, response)
    return 0


def print_answers(pixels, response, truth=None) -> None:
    """A table of what was answered; truth (N,): true metres, NaN where unknown."""
    from rich.console import Console
    from rich.table import Table

    stamp = response.header.stamp
    latency = response.latency.sec + response.latency.nanosec / 1e9
    print(
        f"picture of {stamp.sec}.{stamp.nanosec:09d} in {response.header.frame_id or '-'},"
        f" answered in {latency:.2f} s"
    )
    table = Table()
    extra = ("point x, y, z m",) if truth is None else ("truth m", "error")
    for name in ("pixel u, v", "distance m", "std m", *extra, "status"):
        table.add_column(name, justify="right", no_wrap=True)
    for i, place in enumerate(pixels):
        table.add_row(*_row(place, response.answers, truth, i))
    Console().print(table)


def _row(place, answers, truth, i):
    yield f"{place[0]:g}, {place[1]:g}"
    yield _metres(answers.distance[i])
    yield _metres(answers.stddev[i])
    if truth is None:
        yield ", ".join(_metres(values[i]) for values in (answers.x, answers.y, answers.z))
    else:
        error = (answers.distance[i] - truth[i]) / truth[i]
        yield _metres(truth[i])
        yield f"{error:+.0%}" if isfinite(error) else "-"
    status = Status(answers.status[i])
    where = f" {answers.asked_u[i]:.1f}, {answers.asked_v[i]:.1f}"
    yield status.name + (where if status == Status.SNAPPED else "")


def _metres(value) -> str:
    return f"{value:.2f}" if isfinite(value) else "-"
