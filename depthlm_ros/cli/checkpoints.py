# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm checkpoints: which checkpoints are known by name, and how each is asked."""

import argparse
import sys
from dataclasses import asdict

from depthlm_ros.checkpoints import PUBLISHED, find_checkpoint
from depthlm_ros.data.records import strict_json
from depthlm_ros.errors import CheckpointError
from depthlm_ros.viz.tables import text_table


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "checkpoints",
        help="list the checkpoints that are known by name",
        description="List the checkpoints that are known by name, or print an entry.",
    )
    parser.add_argument(
        "--entry",
        "--row",
        metavar="CHECKPOINT",
        help="print the entry of a checkpoint (tiny, a folder or a name) as JSON",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table, or one entry."""
    if args.entry is None:
        print(_table())
    else:
        print(strict_json(asdict(find_checkpoint(args.entry))))
    return 0


def _table() -> str:
    try:
        known = [find_checkpoint("tiny"), *PUBLISHED.values()]
    except CheckpointError as error:
        print(f"depthlm: tiny: {error}", file=sys.stderr)
        known = list(PUBLISHED.values())
    rows = (
        (
            one.name,
            one.architecture,
            f"{one.focal_px:g}",
            "/".join(one.wording),
            one.kind,
            ", ".join(part for part in (one.note, one.licence) if part),
        )
        for one in known
    )
    return text_table(
        ("name", "model", "focal px", "styles", "kind", "note"), rows, left=(0, 1, 3, 4, 5)
    )
