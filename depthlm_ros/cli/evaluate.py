# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm eval: how good are the answers to records?"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from depthlm_ros.checkpoints import AVERAGES, DENSE, OVER, Checkpoint, weights_sha256
from depthlm_ros.cli.options import (
    Doubts,
    Labels,
    add_model_options,
    add_records_options,
    predictor_from,
)
from depthlm_ros.cli.values import count, named, positive
from depthlm_ros.data.files import sha256
from depthlm_ros.data.jsonl import found_files
from depthlm_ros.data.pairs import Pairs
from depthlm_ros.data.records import Record, Records, check, need_images, strict_json
from depthlm_ros.data.whole import check_writable, whole_file
from depthlm_ros.errors import InputError
from depthlm_ros.evaluation.compare import Comparison, compared
from depthlm_ros.evaluation.evaluate import (
    Answerer,
    ConstantAnswers,
    PredictorAnswers,
    evaluate,
    need_pixels,
)
from depthlm_ros.evaluation.maps import (
    KEPT_M,
    limits,
    mean_of_images,
    measure_map,
    measure_points,
    scene_of,
)
from depthlm_ros.evaluation.protocol import PROTOCOLS, MapMeasure, MapProtocol
from depthlm_ros.evaluation.published import DATASETS
from depthlm_ros.evaluation.report import report_on
from depthlm_ros.evaluation.resume import SavedAnswers, SavedMaps
from depthlm_ros.evaluation.worst import write_worst
from depthlm_ros.predict import NO_AVERAGE, choose_checkpoint, has_map
from depthlm_ros.tasks import TASKS
from depthlm_ros.tasks.evaluation import evaluate_task
from depthlm_ros.viz.progress import progress_bar
from depthlm_ros.viz.sheets import sheet_path

# Options that do not change what is answered; all others must be the same when a run continues.
_IDLE = (
    *("run", "records", "checkpoint", "limit", "json", "dataset", "worst", "against"),
    *("threads", "graphs"),
)


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "eval",
        help="how good are the answers to records?",
        description="Ask about the pixels of records and print delta1, AbsRel, RMSE and what the"
        " intervals are worth.",
    )
    add_records_options(parser)
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--constant", type=positive, metavar="METRES", help="this answer instead of a model's"
    )
    parser.add_argument(
        "--limit",
        type=count,
        metavar="N",
        help="only the first N images; with --protocol N samples or images of each set",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the whole report; a run that is interrupted continues from the answers in"
        " FILE.answers.jsonl (FILE.SET.answers.jsonl) when it is repeated",
    )
    parser.add_argument(
        "--dataset",
        choices=DATASETS,
        help="print what others have published for this data set; with --protocol depthvlm and"
        " files count the labels that the protocol counts of it",
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        help="a published protocol over several data sets: RECORDS is the folder that holds them,"
        " curated as FOLDER/SET/SPLIT by python -m training.curate. depthlm: points of eight sets."
        " depthvlm: whole maps of nine sets, every known pixel, and ten points per image as"
        " DepthVLM draws them, means over images; the points alone of a checkpoint without maps,"
        " --style or --constant; RECORDS may be files with depth images",
    )
    parser.add_argument(
        "--worst",
        nargs=2,
        action=_Worst,
        metavar=("N", "PNG"),
        help="draw the worst answers of the N worst images",
    )
    parser.add_argument(
        "--task",
        choices=TASKS,
        help="ask something other than the distance of every pixel: one question per record (of"
        " two images, see depthlm_ros/data/pairs.py, for poses and correspondences)",
    )
    parser.add_argument(
        "--each", type=count, default=1, metavar="N", help="questions per record, with --task"
    )
    parser.add_argument(
        "--against",
        type=named,
        metavar="STYLE[+mirror]",
        help="ask the same checkpoint this way too, and print what the difference is, image by"
        " image: position, dense+mirror",
    )
    add_model_options(parser, who)
    parser.set_defaults(run=run)


class _Worst(argparse.Action):
    """(count, path) of --worst, checked before the model is asked for hours."""

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            found = count(values[0]), sheet_path(values[1])
        except (argparse.ArgumentTypeError, InputError) as error:
            raise argparse.ArgumentError(self, str(error)) from error
        setattr(namespace, self.dest, found)


def run(args: argparse.Namespace) -> int:
    """Print the report's table; write it as JSON, and the worst answers, where asked."""
    if args.against and (args.protocol or args.task):
        raise InputError("--against compares distances of pixels: leave --protocol and --task out")
    if args.constant is not None and (given := _of_model(args)):
        raise InputError(
            f"--constant answers in a model's place: leave it or --{' --'.join(given)} out"
        )
    if args.average in AVERAGES and args.task:
        raise InputError("--average is of distances of pixels: leave it or --task out")
    if args.each > 1 and not args.task:
        raise InputError("--each is how often a --task is asked: give one, or leave it out")
    if args.dataset and args.task:
        raise InputError("--dataset is of distances of pixels: leave it or --task out")
    for path in filter(None, (args.json, args.worst and args.worst[1])):
        check_writable(path, found_files(args.records))
    if args.protocol:
        return _run_protocol(args)
    return _run_task(args) if args.task else _run_distances(args)


def _of_model(args: argparse.Namespace) -> list[str]:
    """The options that were given and say how a model is asked."""
    given = [n for n in ("entry", "style", "axes", "average", "against") if getattr(args, n)]
    return given if args.engine == "local" else ["engine", *given]


def _run_protocol(args) -> int:
    """One table of several sets; with --json an interrupted run continues, set by set."""
    protocol, root = PROTOCOLS[args.protocol], Path(args.records[0])
    of_maps = isinstance(protocol, MapProtocol)
    if args.task or args.worst:
        raise InputError("--protocol says itself what is asked: leave --task and --worst out")
    if of_maps and not root.is_dir() and (root.exists() or root.suffix):
        return _run_maps(args)  # of files; what is neither is a folder that is still to come
    if args.dataset or len(args.records) > 1:
        raise InputError("--protocol goes with one folder of curated sets: leave the others out")
    there, count = protocol.there(root), args.limit or protocol.samples
    chosen = {part: protocol.chosen(records, part, count) for part, records in there.items()}
    if args.constant is None:
        for some in chosen.values():
            check(some, len(some), need_images)
    who, name = _map_asker(args) if of_maps else _point_asker(args)
    settings = _settings(args) if args.json else {}
    measured, files = {}, []
    for part, records in there.items():
        with ExitStack() as stack:
            ask = protocol.asker(part, who)
            if args.json:
                path = _answers_of(args.json, part.dataset)
                of_part = {"samples": count, "records": _contents(records.files)}
                ask = stack.enter_context(protocol.saved(ask, path, settings | of_part))
                files.append(ask)
            progress = stack.enter_context(progress_bar(part.title))
            told = partial(_told, progress, len(chosen[part]))
            measured[part.dataset] = protocol.measured(part, chosen[part], ask, name, told)
    print(protocol.table(measured, root))
    if args.json:
        content = {"protocol": args.protocol, "sets": {n: m.content for n, m in measured.items()}}
        _write(args.json, strict_json(content) + "\n")
        for one in files:
            one.remove()
    return 0


def _point_asker(args) -> tuple[Answerer, str]:
    asked = _asked(args)
    return asked, asked.name


def _map_asker(args) -> tuple[MapMeasure, str]:
    """Who is asked: a map where there is one and no style of questions is named, else points."""
    if args.constant is None and args.style in ("", DENSE) and has_map(_entry(args), args.engine):
        predictor = predictor_from(args)
        checkpoint = predictor.checkpoint

        def of_map(record, number, kept_m):
            return measure_map(scene_of(record, kept_m), predictor, number)

        return of_map, f"{checkpoint.name} ({checkpoint.calibration_key(DENSE)})"
    answerer = _asked(args)

    def of_points(record, number, kept_m):
        return measure_points(record, answerer, number, kept_m)

    return of_points, answerer.name


def _told(progress, total, done) -> None:
    progress(done, total)


def _run_maps(args) -> int:
    """The maps of records, whatever set they are of."""
    if args.constant is not None:
        raise InputError("--protocol depthvlm measures maps of files: leave --constant out")
    records = Records(args.records, args.kind)
    total = _total(records, args)
    check(records, total, need_images, Record.stated_kind)
    predictor = predictor_from(args)
    kept_m = KEPT_M[args.dataset] if args.dataset else None

    def measured(record, number):
        return measure_map(scene_of(record, kept_m), predictor, number)

    with ExitStack() as stack:
        ask = measured
        if args.json:
            settings = _settings(args) | {"dataset": args.dataset}
            settings["records"] = _contents(records.files)
            ask = stack.enter_context(SavedMaps(measured, _answers_of(args.json), settings))
        progress = stack.enter_context(progress_bar("images"))
        some = _watched(islice(records, total), predictor.checkpoint)
        each = ((record.scene, ask(record, number)) for number, record in enumerate(some))
        of = limits(records[0], kept_m)
        found = mean_of_images(each, partial(_told, progress, total), of)
    print(found.table())
    if args.json:
        _write(args.json, strict_json(asdict(found)) + "\n")
        ask.remove()
    return 0


def _run_task(args) -> int:
    if args.constant is not None or args.worst:
        raise InputError("--constant and --worst are about distances: leave --task out")
    task = TASKS[args.task]
    records = Pairs(args.records) if task.pair else Records(args.records, args.kind)
    total = _total(records, args)
    check(records, total, need_images)
    predictor = predictor_from(args)
    with progress_bar("records") as progress:

        def on_record(done):
            progress(done, total)

        some = _watched(islice(records, total), predictor.checkpoint)
        report = evaluate_task(task, some, predictor, args.style, args.each, on_record)
    print(report.table())
    if args.json:
        _write(args.json, report.to_json() + "\n")
    return 0


def _total(records, args) -> int:
    """How many records are asked about."""
    if not len(records):
        raise InputError(f"there are no records in {', '.join(args.records)}")
    return min(len(records), args.limit or len(records))


def _run_distances(args) -> int:
    other = _other_way(args) if args.against else None
    records = Records(args.records, args.kind)
    total = _total(records, args)
    _check_points(records, total, args)
    begin = time.monotonic()
    with _answerer(args) as answerer, progress_bar("images") as progress:
        some = islice(records, total)
        if args.constant is None:
            some = _watched(some, _entry(args))
        points = evaluate(some, answerer, lambda n: progress(n, total))
    report = report_on(points, answerer, time.monotonic() - begin, args.dataset or "")
    print(report.table())
    if other:
        print(f"\n{_comparison(points, answerer.name, records, total, other).table()}")
    if args.worst:
        write_worst(points, records, *args.worst)
    if args.json:
        _write(args.json, report.to_json() + "\n")
        answerer.remove()
    return 0


def _check_points(records, total, args) -> None:
    labels = Labels()
    by_model = () if args.constant else (need_images, Record.stated_kind)
    looks = (*by_model, partial(_apart, args.worst[1])) if args.worst else by_model
    check(records, total, need_pixels, *looks, labels)
    if not labels.count:
        raise InputError(f"the records in {', '.join(args.records)} have no pixels to ask about")
    labels.tell()


def _apart(path: Path, record: Record) -> None:
    """InputError where the sheet of worst answers would be written over an image."""
    check_writable(path, [record.image])


def _other_way(args) -> argparse.Namespace:
    """The options that ask in the way --against, checked before the model is asked for hours."""
    style, _, average = args.against.partition(OVER)
    way = {"style": style, "average": average or NO_AVERAGE}
    choose_checkpoint(args.checkpoint or "tiny", args.entry, **way, engine=args.engine)
    return argparse.Namespace(**{**vars(args), **way})


def _comparison(points, name, records, total, way) -> Comparison:
    """The points beside those of the same records, asked another way."""
    other = PredictorAnswers(predictor_from(way))
    with progress_bar(f"images, {way.against}") as progress:
        asked = evaluate(islice(records, total), other, lambda n: progress(n, total))
    return compared((name, other.name), points, asked)


def _watched(records: Iterable[Any], checkpoint: Checkpoint) -> Iterator[Any]:
    """The records, while it is told what is doubtful about their cameras."""
    with Doubts(checkpoint) as doubts:
        for record in records:
            for camera in getattr(record, "cameras", None) or (record.camera,):
                doubts.look(camera)
            yield record


def _entry(args: argparse.Namespace) -> Checkpoint:
    given = {"axes": args.axes, "average": args.average, "engine": args.engine}
    return choose_checkpoint(args.checkpoint or "tiny", args.entry, **given)


@contextmanager
def _answerer(args: argparse.Namespace) -> Iterator[Answerer]:
    """The model or the constant; with --json answers are saved until the report is written."""
    asked = _asked(args)
    if not args.json:
        yield asked
        return
    path = _answers_of(args.json)
    settings = _settings(args) | {"records": _contents(Records(args.records).files)}
    with SavedAnswers(asked, path, settings) as saved:
        yield saved
    if saved.reused:
        print(f"depthlm: {saved.reused} images were answered before, in {path}", file=sys.stderr)


def _asked(args: argparse.Namespace) -> Answerer:
    if args.constant is None:
        return PredictorAnswers(predictor_from(args))
    return ConstantAnswers(args.constant)


def _answers_of(report: Path, *more: str) -> Path:
    """Where answers are saved until the report is written."""
    return report.with_name(".".join([report.name, *more, "answers.jsonl"]))


def _contents(files: Iterable[Path]) -> list[list[str]]:
    """[name, hash] of each file of records."""
    return [[path.name, sha256(path)] for path in files]


def _settings(args) -> dict:
    """Everything that the answers depend on but the records; reads all weights."""
    found = {name: value for name, value in vars(args).items() if name not in _IDLE}
    if args.constant is None:
        entry = _entry(args)
        found["checkpoint"] = {k: v for k, v in asdict(entry).items() if k != "model"}
        found["weights"] = weights_sha256(entry.model)
    return found


def _write(path, text) -> None:
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
