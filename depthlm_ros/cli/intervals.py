# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm intervals: do the 90 % intervals of a checkpoint hold? In Markdown, for its page."""

import argparse
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.cli.calibrate import (
    UNSEEN,
    asked,
    check_all,
    styles,
    uncalibrated,
    with_calibration,
)
from depthlm_ros.cli.options import add_model_options, add_records_options
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.evaluate import Points
from depthlm_ros.evaluation.uncertainty import (
    Coverage,
    Flagged,
    Uncertainty,
    covered,
    flagged,
    uncertainty,
)
from depthlm_ros.predict import choose_checkpoint
from depthlm_ros.viz.tables import text_table

_REJECTION = (
    "data",
    "style",
    "delta1 of all",
    "without the widest fifth",
    "without the farthest fifth",
    "difference (95 %)",
)


_FLAGGED = (
    "data",
    "style",
    "uncertain",
    "delta1 of them (95 %)",
    "a constant's",
    "delta1 of the others (95 %)",
)


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "intervals",
        help="do the 90 %% intervals of a checkpoint hold?",
        description="Ask a checkpoint about records and print, in Markdown, how many true values"
        " its 90 % intervals hold, by distance and by camera, and what the answers are worth that"
        " it calls uncertain.",
    )
    add_records_options(parser, UNSEEN)
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print coverage of each records file, style, bin and camera, then rejection, then what is
    uncertain."""
    entry = choose_checkpoint(args.checkpoint or "tiny", args.entry, average=args.average)
    check_all(args.records, args.kind)
    names, predictor = styles(args, entry), uncalibrated(args, entry)
    coverage, rejection, unsure = [], [], []
    for path in args.records:
        title = Path(path).stem
        raw = {style: asked(predictor, style, [path], args.kind) for style in names}
        fit = {
            style: with_calibration(points, entry.calibration_of(style))
            for style, points in raw.items()
        }
        found = {style: _known(uncertainty(points), path) for style, points in fit.items()}
        coverage += _coverage_rows(title, raw, found)
        rejection += [_rejection_row(title, style, found[style]) for style in names]
        unsure += [
            _flagged_row(title, style, flagged(fit[style], ratio))
            for style in names
            if isfinite(ratio := entry.unknown_ratio(style))
        ]
    columns = ("data", "true distance or camera", "points", *names)
    print("\n".join(_preface(entry, names)))
    print(text_table(columns, coverage, left=(0, 1), markdown=True), end="\n\n")
    print(text_table(_REJECTION, rejection, left=(0, 1), markdown=True))
    if unsure:
        print(f"\n{text_table(_FLAGGED, unsure, left=(0, 1), markdown=True)}")
    return 0


def _known(found: Uncertainty | None, path: str) -> Uncertainty:
    if found is None:
        raise InputError(f"no answer to {path} has an interval: use --engine local")
    return found


def _preface(entry: Checkpoint, names: list[str]) -> Iterator[str]:
    """A line for each style on where its calibration comes from, and how to read a cell."""
    for style in names:
        fit, name = entry.calibration_of(style), entry.calibration_key(style)
        if fit is None:
            yield f"* {name}: not calibrated"
            continue
        data = ", ".join(f"{d['name']} (sha256 {d['sha256'][:12]})" for d in fit.data)
        low, high = fit.interval
        yield (
            f"* {name}: log quantiles {fit.widening:+.3f} wider (95 % {low:+.3f} to"
            f" {high:+.3f}), fitted on {fit.points} points of {fit.images} images of {data}"
        )
        if fit.unknown_ratio:
            others = ", ".join(d["name"] for d in fit.unknown_data)
            yield f"  uncertain from upper / lower = {fit.unknown_ratio:.2f} on, with {others}"
    yield ""
    yield "Share of true values inside the 90 % interval (95 % by bootstrap over scenes);"
    yield "median log(upper / lower). Answers without an interval are left out of both, and their"
    yield "number is given."
    yield ""


def _coverage_rows(title: str, raw: dict[str, Points], found: dict[str, Uncertainty]):
    before = [covered("", points) for points in raw.values()]
    yield _coverage_row(title, "all, before calibration", before)
    for groups in zip(*(f.coverage for f in found.values()), strict=True):
        yield _coverage_row(title, groups[0].group, groups)


def _coverage_row(title: str, name: str, groups) -> tuple[str, ...]:
    return (title, name, str(groups[0].points), *map(_cell, groups))


def _cell(group: Coverage) -> str:
    low, high = group.interval
    without = f"; {group.points - group.known} without" if group.known < group.points else ""
    return f"{group.inside:.3f} ({low:.2f} to {high:.2f}); {group.log_width:.2f}{without}"


def _rejection_row(title: str, style: str, found: Uncertainty) -> tuple[str, ...]:
    r = found.rejection
    low, high = r.gain_interval
    return (
        title,
        style,
        f"{r.all:.3f}",
        f"{r.by_width:.3f}",
        f"{r.by_distance:.3f}",
        f"{r.gain:+.3f} ({low:+.3f} to {high:+.3f})",
    )


def _flagged_row(title: str, style: str, found: Flagged) -> tuple[str, ...]:
    return (
        title,
        style,
        f"{found.share:.1%}",
        _share(found.uncertain, found.uncertain_interval),
        f"{found.constant:.3f}",
        _share(found.others, found.others_interval),
    )


def _share(value: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{value:.3f} ({low:.2f} to {high:.2f})" if isfinite(value) else "-"
