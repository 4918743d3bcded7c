# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm eval: how good are the answers on a records file?"""

import time
from itertools import islice
from pathlib import Path

from depthlm_ros.commands.bars import progress_bar
from depthlm_ros.commands.options import (
    add_model_options,
    count,
    predictor_from,
)
from depthlm_ros.errors import InputError
from depthlm_ros.evaluate import ConstantAnswers, PredictorAnswers, evaluate
from depthlm_ros.published import DATASETS
from depthlm_ros.records import KINDS, Records
from depthlm_ros.report import report_on


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("eval", help="how good are the answers on a records file?")
    parser.add_argument("records", nargs="+", help="jsonl, see depthlm_ros/records.py")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--constant", type=float, metavar="METRES", help="instead of a model")
    parser.add_argument(
        "--kind", choices=KINDS, default="", help="of records that do not state theirs"
    )
    parser.add_argument("--limit", type=count, metavar="N", help="only the first N pictures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole report")
    parser.add_argument(
        "--dataset", choices=DATASETS, help="print what others have published for it"
    )
    add_model_options(parser, who)
    parser.set_defaults(run=run)


def run(args) -> int:
    """Print the report's table; write it as JSON where asked."""
    records = Records(args.records, args.kind)
    total = min(len(records), args.limit or len(records))
    begin, answerer = time.monotonic(), _answerer(args)
    with progress_bar("pictures") as progress:
        points = evaluate(islice(records, total), answerer, lambda n: progress(n, total))
    report = report_on(points, answerer, time.monotonic() - begin, args.dataset or "")
    print(report.table())
    if args.json:
        _write(args.json, report.to_json() + "\n")
    return 0


def _answerer(args):
    if args.constant is None:
        return PredictorAnswers(predictor_from(args))
    return ConstantAnswers(args.constant)


def _write(path, text) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--json {path} cannot be written: {error}") from error
