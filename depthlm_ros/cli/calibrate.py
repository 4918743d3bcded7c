# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm calibrate: fit the intervals of a checkpoint so that they hold what they promise."""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from depthlm_ros.calibration import Calibration
from depthlm_ros.checkpoints import DENSE, ROW_FILE, Checkpoint, find_checkpoint
from depthlm_ros.cli.options import (
    RECORDS,
    Labels,
    add_model_options,
    add_records_options,
    predictor_from,
)
from depthlm_ros.data.files import sha256
from depthlm_ros.data.frames import print_warning
from depthlm_ros.data.records import Record, Records, check, need_images
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.evaluate import Points, PredictorAnswers, evaluate, need_pixels
from depthlm_ros.evaluation.fit import fitted, unknown_ratio
from depthlm_ros.evaluation.uncertainty import Coverage, covered
from depthlm_ros.predict import Predictor
from depthlm_ros.viz.progress import progress_bar
from depthlm_ros.viz.tables import text_table

UNSEEN = (
    f"{RECORDS}, of scenes that the model has not seen; records that calibrate a model must not"
    " test it afterwards"
)


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "calibrate",
        help="fit the 90 %% intervals of a checkpoint",
        description="Ask a checkpoint about records and write into its depthlm.json how much wider"
        " its intervals must be to hold 90 % of the true values; with --strange also from which"
        " width on they say that nothing is known.",
    )
    add_records_options(parser, UNSEEN)
    parser.add_argument(
        "--strange",
        nargs="+",
        default=[],
        metavar="RECORDS",
        help="records of kinds of images that the model has not learnt (blurred, dark, turned, see"
        " python -m training.tools.estrange): among them and the others the width of an interval"
        " is found from which on a constant is right more often",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="a new copy of the checkpoint (default: its own depthlm.json is changed)",
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit each style on the records and write the result."""
    if not (args.checkpoint or args.out):
        raise InputError(
            "a calibration is written into the checkpoint: name yours with --checkpoint, or give"
            " --out FOLDER for a calibrated copy of the embedded one"
        )
    entry = find_checkpoint(args.checkpoint or "tiny", args.entry)
    folder = _target(entry, args.out)
    data, strange = _named(args.records), _named(args.strange)
    images = len(Records(args.records, args.kind))
    check_all([*args.records, *args.strange], args.kind)
    predictor, found, rows = uncalibrated(args, entry), {}, []
    for style in styles(args, entry):
        every = asked(predictor, style, [*args.records, *args.strange], args.kind)
        points = every.where(every.image < images)
        fit = fitted(points, data, entry.kind_of(style))
        if args.strange:
            ratio = unknown_ratio(with_calibration(every, fit))
            fit = replace(fit, unknown_ratio=ratio, unknown_data=strange)
        key = predictor.checkpoint.calibration_key(style)
        found[key] = fit
        before = entry.calibration.get(key)
        if before and before.unknown_ratio and not fit.unknown_ratio:
            print_warning(
                f"no answer in {key} will be called uncertain any more: from which width on that"
                " was so belonged to the old intervals, and --strange records find it anew"
            )
        rows.append(_cells(key, fit, covered("", points)))
    print(text_table(_COLUMNS, rows))
    if args.out:
        shutil.copytree(entry.model, folder)
    _write(replace(entry, calibration={**entry.calibration, **found}), folder)
    print(f"wrote {folder / ROW_FILE}")
    return 0


def _named(paths: Sequence[str]) -> list[dict[str, str]]:
    """[{"name", "sha256"}] of records files."""
    return [{"name": Path(path).name, "sha256": sha256(path)} for path in paths]


def with_calibration(points: Points, fit: Calibration | None) -> Points:
    """The points with the intervals that a calibration gives them."""
    if fit is None:
        return points
    lower, upper = fit.widened(points.lower_m, points.upper_m)
    return replace(points, lower_m=lower, upper_m=upper)


def uncalibrated(args: argparse.Namespace, entry: Checkpoint) -> Predictor:
    """The predictor of the options, whose intervals are the model's own."""
    return predictor_from(args, style="", checkpoint=replace(entry, calibration={}))


def styles(args: argparse.Namespace, entry: Checkpoint) -> list[str]:
    """The style of the options; every one in which the checkpoint tells intervals for "" and
    "all"."""
    if args.style in ("", "all"):
        head = entry.head if args.engine == "local" else None
        has_intervals = head is not None and head.uncertainty
        return [style for style in entry.styles if style != DENSE or has_intervals]
    return [args.style if args.style in entry.styles else entry.asker(args.style).name]


def check_all(paths: Sequence[str], kind: str) -> None:
    """RecordError where a record of these files cannot be asked about; tells doubtful labels."""
    records, labels = Records(paths, kind), Labels()
    check(records, len(records), need_images, Record.stated_kind, need_pixels, labels)
    labels.tell()


def asked(predictor: Predictor, style: str, paths: Sequence[str], kind: str) -> Points:
    """The evaluated Points of records files."""
    records = Records(paths, kind)
    with progress_bar(f"images, {style}") as progress:
        return evaluate(
            records, PredictorAnswers(predictor, style), lambda n: progress(n, len(records))
        )


_COLUMNS = (
    "style",
    "log lower and upper wider by",
    "(95 %)",
    "points",
    "images",
    "inside before",
    "without interval",
    "unknown from upper / lower",
)


def _cells(style: str, fit: Calibration, before: Coverage):
    low, high = fit.interval
    return (
        style,
        f"{fit.widening:+.3f}",
        f"{low:+.3f} to {high:+.3f}",
        str(fit.points),
        str(fit.images),
        f"{before.inside:.3f}",
        f"{before.points - before.known} left out",
        f"{fit.unknown_ratio:.2f}" if fit.unknown_ratio else "-",
    )


def _target(entry: Checkpoint, out: Path | None) -> Path:
    """The folder that will hold the calibrated entry."""
    if not Path(entry.model).is_dir():
        raise InputError(
            f"'{entry.name}' is not a folder on this machine: download it and give the folder"
        )
    if out is not None and out.exists():
        raise InputError(f"--out {out} exists: give the name of a new folder")
    return out or Path(entry.model)


def _write(entry: Checkpoint, folder: Path) -> None:
    try:
        entry.write(folder)
    except OSError as error:
        raise InputError(f"{folder / ROW_FILE} cannot be written: {error}; give --out") from error
