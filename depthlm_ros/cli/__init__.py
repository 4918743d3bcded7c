# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The command line, depthlm: finds the subcommand, and turns errors into one sentence."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from depthlm_ros.data.whole import NO_SPACE
from depthlm_ros.errors import DepthLMError

# argparse takes "-5,10" for an option, since only a single number may begin with a minus sign.
_NEGATIVE = re.compile(r"-[\d.]\S*,\S*")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; 0: done, 1: done without a single answer, 2: could not be done."""
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a file's name may not fit into its encoding
            stream.reconfigure(errors="backslashreplace")
    # Whatever holds a space is a value for argparse.
    words = [f" {word}" if _NEGATIVE.fullmatch(word) else word for word in argv]
    try:
        args = parser().parse_args(words)
        code = args.run(args)
        print(end="", flush=True)
        return code
    except DepthLMError as error:
        print(f"depthlm: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads has enough: depthlm ... | head
        _drop_output()
        return 0
    except OSError as error:
        if error.filename is None and error.errno not in NO_SPACE:
            raise
        name = error.filename
        if name is None:  # files that we write are named (data/whole.py)
            name = "what is printed cannot be written"
            _drop_output()
        print(f"depthlm: {name}: {error.strerror}", file=sys.stderr)
        return 2


def _drop_output() -> None:
    """Let the interpreter find nothing wrong when it flushes what is left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    # Inside, since the subcommands import their siblings of this package.
    from depthlm_ros.cli import (
        ask,
        bag,
        bench,
        calibrate,
        call,
        checkpoints,
        demo,
        evaluate,
        intervals,
        scan,
        serve,
    )

    whole = argparse.ArgumentParser(prog="depthlm", description="How far away is that pixel?")
    subparsers = whole.add_subparsers(metavar="COMMAND", required=True)
    commands = (
        *(ask, scan, bag, evaluate, calibrate, intervals, checkpoints, bench, serve),
        *(call, demo),  # these need ROS 2
    )
    for command in commands:
        command.add(subparsers)
    return whole
