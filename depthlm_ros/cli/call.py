# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm call: ask the running node about pixels, boxes or a grid of its newest image."""

import argparse

from depthlm_ros.cli.values import box, grid, node, pixel, positive, seconds


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "call",
        help="ask the running node about its newest image",
        description="Ask the running node about pixels, boxes or a grid of its newest image, as"
        " `ros2 service call` and `ros2 action send_goal` do.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--at", type=pixel, action="append", metavar="U,V", help="a pixel; may be repeated"
    )
    what.add_argument(
        "--between", type=pixel, nargs=2, metavar="U,V", help="the distance between two points"
    )
    what.add_argument(
        "--box",
        type=box,
        action="append",
        metavar="X,Y,W,H",
        help="a box around an object; may be repeated",
    )
    what.add_argument(
        "--grid",
        type=grid,
        metavar="COLUMNSxROWS",
        help="a grid over the image; Ctrl+C keeps what is answered",
    )
    parser.add_argument("--ply", metavar="FILE", help="write the point cloud of the grid")
    parser.add_argument(
        "--node", type=node, default="/depthlm", help="full name of the node (default: /depthlm)"
    )
    parser.add_argument("--camera", default="", help="name of the camera (default: the only one)")
    parser.add_argument(
        "--max-age",
        type=seconds,
        default=0.0,
        metavar="S",
        help="age in seconds of the oldest image to use (default: any)",
    )
    parser.add_argument(
        "--frame",
        default="",
        help="TF frame of the points (default: the node's, else the optical frame)",
    )
    parser.add_argument(
        "--timeout",
        type=positive,
        default=10.0,
        metavar="S",
        help="seconds to wait for an answer (default: 10)",
    )
    parser.add_argument(
        "--wait",
        type=seconds,
        default=60.0,
        metavar="S",
        help="seconds to wait while the model is loading or no image has come (default: 60; 0: do"
        " not wait)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask the node; MissingDependency where there is no ROS 2."""
    from depthlm_ros.ros.tools.call import main

    return main(args)
