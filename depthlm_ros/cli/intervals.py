# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm intervals: do a checkpoint's 90 % intervals hold? In Markdown, for its page."""

from dataclasses import replace
from pathlib import Path

from depthlm_ros.checkpoints import find_checkpoint
from depthlm_ros.cli.calibrate import add_records_options, asked, styles, uncalibrated
from depthlm_ros.cli.options import add_model_options
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.uncertainty import covered, uncertainty

_REJECTION = (
    "| data | style | delta1 of all | without the widest fifth | without the farthest fifth"
    " | difference (95 %) |"
)


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "intervals", help="do the 90 %% intervals hold? a page in Markdown"
    )
    add_records_options(parser)
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args) -> int:
    """Print the page: for each records file, style, bin and camera; rejection after it."""
    row = find_checkpoint(args.checkpoint or "tiny", args.row)
    names, predictor = styles(args, row), uncalibrated(args, row)
    coverage, rejection = [], []
    for path in args.records:
        title = Path(path).stem
        raw = {style: asked(predictor, style, [path], args.kind) for style in names}
        fit = {style: calibrated(points, row, style) for style, points in raw.items()}
        found = {style: _known(uncertainty(points), path) for style, points in fit.items()}
        coverage += _coverage_rows(title, raw, found)
        rejection += [_rejection_row(title, style, found[style]) for style in names]
    head = f"| data | true distance or camera | points | {' | '.join(names)} |"
    print("\n".join(_preface(row, names)))
    print("\n".join([head, _rule(head), *coverage, ""]))
    print("\n".join([_REJECTION, _rule(_REJECTION), *rejection]))
    return 0


def calibrated(points, row, style):
    """The points with the intervals that the row's calibration gives them."""
    fit = row.calibration.get(style)
    if fit is None:
        return points
    lower, upper = fit.widened(points.lower_m, points.upper_m)
    return replace(points, lower_m=lower, upper_m=upper)


def _known(found, path):
    if found is None:
        raise InputError(f"no answer to {path} has an interval: use the engine local")
    return found


def _preface(row, names):
    """A line for each style on where its calibration comes from, and how to read a cell."""
    for style in names:
        fit = row.calibration.get(style)
        if fit is None:
            yield f"* {style}: not calibrated"
            continue
        data = ", ".join(f"{d['name']} (sha256 {d['sha256'][:12]})" for d in fit.data)
        low, high = fit.interval
        yield (
            f"* {style}: log quantiles {fit.widening:+.3f} wider (95 % {low:+.3f} to"
            f" {high:+.3f}), fitted on {fit.points} points of {fit.pictures} pictures of {data}"
        )
    yield ""
    yield "Share of true values inside the 90 % interval (95 % by bootstrap over pictures);"
    yield "median log(upper / lower). Answers without an interval are left out of both, and their"
    yield "number is told."
    yield ""


def _coverage_rows(title, raw, found):
    before = [covered("", points) for points in raw.values()]
    yield _coverage_row(title, "all, before calibration", before)
    for rows in zip(*(f.coverage for f in found.values()), strict=True):
        yield _coverage_row(title, rows[0].group, rows)


def _coverage_row(title, group, rows) -> str:
    return f"| {title} | {group} | {rows[0].points} | {' | '.join(map(_cell, rows))} |"


def _cell(row) -> str:
    low, high = row.interval
    unknown = f"; {row.points - row.known} without" if row.known < row.points else ""
    return f"{row.inside:.3f} ({low:.2f} to {high:.2f}); {row.log_width:.2f}{unknown}"


def _rejection_row(title, style, found) -> str:
    r = found.rejection
    low, high = r.gain_interval
    return (
        f"| {title} | {style} | {r.all:.3f} | {r.by_width:.3f} | {r.by_distance:.3f}"
        f" | {r.gain:+.3f} ({low:+.3f} to {high:+.3f}) |"
    )


def _rule(head) -> str:
    return "|" + "---|" * (head.count("|") - 1)
