# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The command line, depthlm: finds the subcommand, and turns errors into one sentence.

Knows nothing about what a subcommand does. Those that talk to ROS 2 are imported when typed.
"""

import argparse
import os
import sys
from importlib import import_module

from depthlm_ros.errors import DepthLMError

# name -> (module with add_arguments(parser) and main(args) -> int, help)
ROS_COMMANDS = {
    "call": (
        "depthlm_ros.ros.tools.call",
        "ask the running node about pixels of its newest picture",
    ),
    "demo": ("depthlm_ros.ros.tools.demo", "run the node on a picture, ask it, show what comes"),
}


def main(argv=None) -> int:
    """Run a command line; 0: done, 1: done without a single answer, 2: could not be done."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        args = _parser(argv).parse_args(argv)
        code = args.run(args)
        sys.stdout.flush()
        return code
    except DepthLMError as error:
        print(f"depthlm: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has seen enough: depthlm ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        print(f"depthlm: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2


def _parser(argv):
    # Inside, since the subcommands import their siblings of this package.
    from depthlm_ros.cli import ask, bag, bench, calibrate, checkpoints, evaluate, intervals, scan

    parser = argparse.ArgumentParser(prog="depthlm", description="How far away is that pixel?")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    commands = ask, scan, bag, evaluate, calibrate, intervals, checkpoints, bench
    for command in commands:
        command.add(subparsers)
    for name, (module, text) in ROS_COMMANDS.items():
        subparser = subparsers.add_parser(name, help=text)
        if argv[:1] == [name]:
            found = import_module(module)  # MissingDependency where there is no ROS 2
            found.add_arguments(subparser)
            subparser.set_defaults(run=found.main)
    return parser
