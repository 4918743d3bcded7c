# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm demo: the node and a camera as processes, asked over DDS; a table and images."""

import argparse

from depthlm_ros.cli.options import add_camera_options, add_grid_option
from depthlm_ros.cli.values import named, positive


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "demo",
        help="run the node and a camera, ask the node, write images",
        description="Start the node and a camera that shows one image, ask the node about it, and"
        " write overlay and point cloud.",
    )
    parser.add_argument("--image", type=named, help="an image of yours (default: a rendered room)")
    add_camera_options(parser)
    parser.add_argument("--out", default="out/demo", help="output folder (default: out/demo)")
    add_grid_option(parser)
    parser.set_defaults(grid=None)
    parser.epilog = "Without --grid and --stride a checkpoint with a dense head shows its map."
    parser.add_argument(
        "--checkpoint", default="tiny", help="a checkpoint, as for the node (default: tiny)"
    )
    parser.add_argument("--engine", default="local", help="what runs it (default: local)")
    parser.add_argument(
        "--timeout",
        type=positive,
        default=120.0,
        metavar="S",
        help="seconds to wait for each step (default: 120)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; MissingDependency where there is no ROS 2."""
    from depthlm_ros.ros.tools.demo import main

    return main(args)
