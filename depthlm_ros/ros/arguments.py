# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The command line of a program that has parameters of ROS instead of options of its own.

Knows nothing about what the parameters are.
"""

import argparse
import sys

from rclpy.utilities import remove_ros_args


def check_arguments(program, about, args=None) -> None:
    """Nothing for ROS's own arguments; exits with the help for --help, with 2 for any other.

    args: without the program's name; None: those of this process.
    """
    parser = argparse.ArgumentParser(
        program,
        usage=f"{program} [--help] [--ros-args -p NAME:=VALUE ... -r FROM:=TO ...]",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    try:
        given = remove_ros_args(sys.argv[1:] if args is None else args)
    except RuntimeError as error:  # what rcl raises has no public name
        parser.error(str(error))
    _, unknown = parser.parse_known_args(given)
    if unknown:
        parser.error(
            f"unknown: {' '.join(unknown)}. Parameters and remappings stand behind --ros-args"
        )
