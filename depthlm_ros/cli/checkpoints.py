# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm checkpoints: what is known by name, and how each is asked."""

from dataclasses import asdict

from depthlm_ros.checkpoints import PUBLISHED, find_checkpoint
from depthlm_ros.data.records import strict_json
from depthlm_ros.errors import CheckpointError


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("checkpoints", help="models known by name")
    parser.add_argument(
        "--row", metavar="NAME", help="print one row (of tiny, a folder or a name) as JSON"
    )
    parser.set_defaults(run=run)


def run(args) -> int:
    """Print the table, or one row."""
    if args.row is None:
        print("\n".join(_table()))
    else:
        print(strict_json(asdict(find_checkpoint(args.row))))
    return 0


def _table():
    form = "{:<21}{:<11}{:>8}  {:<29}{:<9}{}"
    yield form.format("name", "model", "focal px", "styles", "kind", "note")
    try:
        known = [find_checkpoint("tiny"), *PUBLISHED.values()]
    except CheckpointError as error:
        yield f"tiny: {error}"
        known = PUBLISHED.values()
    for row in known:
        note = ", ".join(part for part in (row.note, row.licence) if part)
        styles = "/".join(row.wording)
        yield form.format(row.name, row.architecture, f"{row.focal_px:g}", styles, row.kind, note)
