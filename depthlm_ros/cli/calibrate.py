# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm calibrate: make the intervals of a checkpoint hold what they promise."""

import shutil
from dataclasses import replace
from pathlib import Path

from depthlm_ros.calibration import fitted
from depthlm_ros.checkpoints import ROW_FILE, find_checkpoint
from depthlm_ros.cli.bars import progress_bar
from depthlm_ros.cli.options import add_model_options, predictor_from
from depthlm_ros.data.files import sha256
from depthlm_ros.data.records import KINDS, Records
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.evaluate import PredictorAnswers, evaluate
from depthlm_ros.evaluation.uncertainty import covered
from depthlm_ros.predict import Predictor


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("calibrate", help="fit a checkpoint's 90 %% intervals")
    add_records_options(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="a new copy of the checkpoint (default: its own depthlm.json is changed)",
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def add_records_options(parser) -> None:
    """Records files whose pictures neither trained nor calibrated what is asked."""
    parser.add_argument(
        "records",
        nargs="+",
        help="jsonl files (a picture a line, as for eval) of scenes that the model has not seen:"
        " those that calibrate it must not test it afterwards",
    )
    parser.add_argument(
        "--kind", choices=KINDS, default="", help="of records that do not state theirs"
    )


def run(args) -> int:
    """Fit each style on the records and write what was found."""
    row = find_checkpoint(args.checkpoint or "tiny", args.row)
    folder = _target(row, args.out)
    data = [{"name": Path(path).name, "sha256": sha256(path)} for path in args.records]
    predictor, found = uncalibrated(args, row), {}
    for style in styles(args, row):
        points = asked(predictor, style, args.records, args.kind)
        found[style] = fitted(points, data, row.kind)
        print(_line(style, found[style], covered("", points)))
    if args.out:
        shutil.copytree(row.model, folder)
    _write(replace(row, calibration={**row.calibration, **found}), folder)
    print(f"wrote {folder / ROW_FILE}")
    return 0


def uncalibrated(args, row) -> Predictor:
    """The predictor of the options, whose intervals are the model's own."""
    return predictor_from(args, style="", checkpoint=replace(row, calibration={}))


def styles(args, row) -> list:
    """The style of the options; every one that the checkpoint speaks for "" and "all"."""
    if args.style in ("", "all"):
        return list(row.wording)
    return [row.asker(args.style).name]


def asked(predictor, style, paths, kind):
    """The evaluated Points of records files."""
    records = Records(paths, kind)
    with progress_bar(f"pictures, {style}") as progress:
        return evaluate(
            records, PredictorAnswers(predictor, style), lambda n: progress(n, len(records))
        )


def _line(style, fit, before) -> str:
    low, high = fit.interval
    unknown = before.points - before.known
    left_out = f"; {unknown} points without an interval are left out" if unknown else ""
    return (
        f"{style}: log lower and log upper {fit.widening:+.3f} wider (95 % {low:+.3f} to"
        f" {high:+.3f}), from {fit.points} points of {fit.pictures} pictures;"
        f" {before.inside:.3f} were inside before{left_out}"
    )


def _target(row, out) -> Path:
    """The folder that will hold the calibrated row."""
    if not Path(row.model).is_dir():
        raise InputError(f"'{row.name}' is no folder here: download it and name the folder")
    if out is not None and out.exists():
        raise InputError(f"--out {out} exists: name a new folder")
    return out or Path(row.model)


def _write(row, folder) -> None:
    try:
        row.write(folder)
    except OSError as error:
        raise InputError(f"{folder / ROW_FILE} cannot be written: {error}; give --out") from error
