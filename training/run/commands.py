# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the commands of training have in common: a config with changes, and errors in a line."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from contextlib import contextmanager

from depthlm_ros.errors import DepthLMError

CHANGES = {
    "data": "folder of shards, instead of the config's",
    "base": "what to start from, instead of the config's",
    "out": "output folder, instead of the config's",
}


def parser_of(command, doc) -> ArgumentParser:
    """An empty parser of `python -m COMMAND`; doc: of its module, printed as it stands."""
    return ArgumentParser(
        prog=f"python -m {command}", description=doc, formatter_class=RawDescriptionHelpFormatter
    )


def add_config(parser, *names) -> None:
    """The argument `config` and an option for each of these entries of it."""
    parser.add_argument("config", help="a YAML file such as training/configs/tiny.yaml")
    for name in names:
        parser.add_argument(f"--{name}", help=CHANGES[name])


def changes(given, *names) -> dict:
    """Those of these options that were given, for read_config."""
    return {name: getattr(given, name) for name in names if getattr(given, name)}


@contextmanager
def errors_told(command):
    """Ends the process with a DepthLMError's message instead of its traceback."""
    try:
        yield
    except DepthLMError as error:
        raise SystemExit(f"{command}: {error}") from error
