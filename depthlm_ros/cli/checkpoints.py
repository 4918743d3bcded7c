# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm checkpoints: which checkpoints are known by name, how each is asked, and whether a
checkpoint is asked as it was trained."""

import argparse
import sys
from dataclasses import asdict

from depthlm_ros.checkpoints import PUBLISHED, find_checkpoint
from depthlm_ros.data.records import strict_json
from depthlm_ros.demo.scene import demo_frame
from depthlm_ros.errors import CheckpointError, InputError, MissingDependency
from depthlm_ros.viz.progress import loading_bar
from depthlm_ros.viz.tables import text_table


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "checkpoints",
        help="list the checkpoints that are known by name",
        description="List the checkpoints that are known by name, print an entry, or verify a"
        " checkpoint: the first command to run with new weights.",
    )
    parser.add_argument(
        "--verify",
        metavar="CHECKPOINT",
        help="load a checkpoint (tiny, a folder or a name), ask it twenty questions in each style"
        " with the given words and freely, and print whether both agree; 1 where they do not",
    )
    parser.add_argument(
        "--entry",
        "--row",
        metavar="CHECKPOINT",
        help="print the entry of a checkpoint (tiny, a folder or a name) as JSON; with --verify:"
        " the published entry to use for a folder without a depthlm.json",
    )
    parser.add_argument("--device", help="for --verify: auto (the default), cpu, cuda, cuda:1")
    parser.add_argument(
        "--dtype", help="for --verify: auto (the default), float32, bfloat16, float16"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table, one entry, or what a verification found."""
    if args.verify is not None:
        return _verify(args)
    for name in ("device", "dtype"):
        if getattr(args, name) is not None:
            raise InputError(f"--{name} is for --verify CHECKPOINT, which is not given")
    if args.entry is None:
        print(_table())
    else:
        print(strict_json(asdict(find_checkpoint(args.entry))))
    return 0


def _verify(args: argparse.Namespace) -> int:
    """Print one page; 1 where the model does not say what its entry has it say."""
    checkpoint = find_checkpoint(args.verify, args.entry or "")
    try:
        from depthlm_ros.evaluation.verification import verify

        with loading_bar() as progress:
            device, dtype = args.device or "auto", args.dtype or "auto"
            found = verify(checkpoint, demo_frame(), device, dtype, progress=progress)
    except ImportError as error:
        raise MissingDependency(
            f"--verify needs a package that is not installed ({error}): run `make setup` and"
            " activate .venv"
        ) from error
    for name, fact in found.facts.items():
        print(f"{name:<11} {fact}")
    for note in found.notes:
        print(f"note        {note}")
    if not found.agreements:
        print("\nIts entry asks nothing: a dense head tells every pixel.")
        return 0
    print(f"\n{_agreements(found.agreements)}\n")
    for one in found.agreements:
        print(f"{one.style:<11} given {one.given!r}\n            says  {one.said!r}")
    print(f"\n{_verdict(found.agrees)}")
    return 0 if found.agrees else 1


def _agreements(agreements) -> str:
    rows = (
        (
            one.style,
            f"{one.asked}",
            f"{one.same_number}",
            f"{one.same_words}",
            f"{1000 * one.seconds_given:.0f}",
            f"{1000 * one.seconds_said:.0f}",
        )
        for one in agreements
    )
    columns = ("style", "questions", "same number", "same words", "given, ms", "generate, ms")
    return text_table(columns, rows)


def _verdict(agrees: bool) -> str:
    if agrees:
        return "The model says what its entry has it say."
    return (
        "The model does not say what its entry has it say. Words: correct the wording of the entry"
        " (depthlm.json) or the chat template. Numbers: a near tie in half precision, if it is one"
        " or two of many; try --dtype float32."
    )


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
            "/".join(one.styles),
            one.kind,
            ", ".join(part for part in (one.note, one.licence) if part),
        )
        for one in known
    )
    return text_table(
        ("name", "model", "focal px", "styles", "kind", "note"), rows, left=(0, 1, 3, 4, 5)
    )
