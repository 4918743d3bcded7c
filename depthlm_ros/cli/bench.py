# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm bench: how long conversions and answers take on this machine; with --size, engines
side by side on a model of random weights; with --gpu, all that only a GPU can tell; with --host,
what a GPU would wait for; with --ros, what the node costs by itself; with --clouds, what its
clouds cost with a model; with --remote, servers beside this process."""

import argparse
import time
from pathlib import Path

import numpy as np

from depthlm_ros.bench import answers, host, latency, predictors, remote, report
from depthlm_ros.bench.compare import compare
from depthlm_ros.bench.gpu import run as gpu
from depthlm_ros.bench.shapes import SIZES
from depthlm_ros.bench.timing import memory_of
from depthlm_ros.cli.ask import told
from depthlm_ros.cli.options import (
    add_model_options,
    predictor_from,
    remote_options,
)
from depthlm_ros.cli.values import count, positive, words
from depthlm_ros.data.whole import check_writable
from depthlm_ros.demo.scene import demo_frame
from depthlm_ros.engines.remote.addresses import clean_urls
from depthlm_ros.errors import InputError, MissingDependency
from depthlm_ros.predict import choose_checkpoint
from depthlm_ros.ranges import Ranges
from depthlm_ros.scan import Scan

# What belongs to some of the measurements, and what it is where it is not given.
OPTIONS = {
    "json": (("size", "host", "ros", "clouds"), None),
    "plot": (("size",), None),
    "n": (("size", "remote"), (1, 16, 100, 1000)),
    "styles": (("size", "remote"), ()),
    "limit": (("size",), 60.0),
    "times": (("ros", "clouds"), 200),
    "out": (("gpu",), Path("bench_gpu")),
    "minutes": (("gpu",), 9.0),
    "parts": (("gpu",), ""),
}


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "bench",
        help="how long answers take on this machine",
        description="Time one question in each style, a map and a grid on this machine; an option"
        " that says `instead` measures something else.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--size", choices=SIZES, help="compare engines on random weights at this size instead"
    )
    add_model_options(parser, which)
    parser.add_argument(
        "--growth", action="store_true", help="time and memory of 100 to 10,000 questions instead"
    )
    parser.add_argument(
        "--drift", action="store_true", help="answers in 16 bit against those in float32 instead"
    )
    parser.add_argument(
        "--ros", action="store_true", help="queries, clouds and services of the node instead"
    )
    parser.add_argument(
        "--host",
        action="store_true",
        help="what a GPU would wait for instead: the time of the host, on a thin model",
    )
    parser.add_argument(
        "--clouds",
        action="store_true",
        help="clouds a second of the node with --checkpoint, and what each costs the processor",
    )
    parser.add_argument(
        "--remote",
        action="store_true",
        help="the servers of --remote-urls beside this process instead (--n, --styles)",
    )
    parser.add_argument("--times", type=count, help="repetitions with --ros or --clouds (200)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="figures of --size, --host, --ros or --clouds"
    )
    _add_comparison_options(parser)
    _add_gpu_options(parser)
    parser.set_defaults(run=run)


def _add_gpu_options(parser):
    sized = parser.add_argument_group("with --gpu")
    sized.add_argument(
        "--gpu", action="store_true", help="is it right and fast on a GPU: one JSON file instead"
    )
    sized.add_argument("--out", type=Path, help="folder of it (default: bench_gpu)")
    sized.add_argument("--minutes", type=positive, help="parts that end later are skipped (9)")
    sized.add_argument(
        "--parts", help=f"such as machine,main (default: all; {', '.join(gpu.NAMES)})"
    )


def _add_comparison_options(parser):
    sized = parser.add_argument_group("with --size or --remote")
    sized.add_argument("--n", type=counts, help="numbers of questions (default: 1,16,100,1000)")
    sized.add_argument("--styles", type=words, help="such as marker,position (default: all)")
    sized.add_argument(
        "--limit",
        type=positive,
        help="seconds per figure, the rest is extrapolated (default: 60)",
    )
    sized.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the time against the number of questions"
    )


def counts(text) -> tuple:
    """(1, 16) of "1,16", in ascending order."""
    return tuple(sorted({count(part) for part in text.split(",")}))


def run(args: argparse.Namespace) -> int:
    """Print the machine, then what the option asks for, or the conversions and the answers."""
    chosen = [name for name in MEASURED if getattr(args, name)]
    if len(chosen) > 1:
        given = " and ".join(f"--{name}" for name in chosen)
        raise InputError(f"{given} measure different things: give one of them")
    for option, (of, usual) in OPTIONS.items():
        given = getattr(args, option)
        if given is None:
            setattr(args, option, usual)
        elif not set(chosen) & set(of):
            named = " or ".join(f"--{name}" for name in of)
            shown = ",".join(map(str, given)) if isinstance(given, (tuple, list)) else given
            raise InputError(f"--{option} {shown} belongs to {named}: give that, or leave it out")
    for path in filter(None, (args.json, args.plot)):
        check_writable(path)
    print(report.this_machine(), flush=True)
    return MEASURED[chosen[0]](args) if chosen else _measure(args)


def _gpu(args) -> int:
    if args.checkpoint or args.style:
        raise InputError(
            "--gpu brings its own models: give --out, --minutes, --parts and --device, and no"
            " --checkpoint or --style"
        )
    for line in gpu.run(args.out, args.minutes, args.device or "auto", args.parts):
        print(line, flush=True)
    return 0


def _grow(args) -> int:
    predictor = predictor_from(args)
    memory = memory_of(predictor.device)
    style = args.style or predictor.checkpoint.speaking().grid_style  # a map does not grow
    print(predictors.GROWN_HEADER)
    for grown in predictors.growth(predictor, demo_frame(), style, memory):
        print(grown.line(), flush=True)
    return 0


def _drift(args) -> int:
    """float32 against each 16-bit format, on the image of the demo."""
    args.dtype = "float32"
    exact = predictor_from(args)
    for args.dtype in ("bfloat16", "float16"):
        other = predictor_from(args)
        print(f"{args.dtype} against float32\n{predictors.DRIFT_HEADER}", flush=True)
        for style in exact.checkpoint.wording:
            print(predictors.drift(exact, other, demo_frame(), style).line(), flush=True)
    return 0


def _ros(args) -> int:
    from depthlm_ros.ros.tools.bench import measured

    return _listed(args, latency.HEADER, *measured(args.times))


def _host(args) -> int:
    return _listed(args, host.HEADER, *host.measured())


def _clouds(args) -> int:
    from depthlm_ros.ros.tools.bench_clouds import measured

    measuring = measured(args.times, args.checkpoint or "tiny", args.device or "auto")
    return _listed(args, latency.HEADER, *measuring)


def _listed(args, header, setting, rows) -> int:
    """Print rows that know their own line, below what was wrong with the machine."""
    print(*report.warnings(setting.load_before), header, sep="\n", flush=True)
    _told(args, setting, rows, lambda row: row.line())
    return 0


def _remote(args) -> int:
    args.engine = "remote"
    given = {"device": args.device, **remote_options(args)}
    options = {name: value for name, value in given.items() if value is not None}
    options["urls"] = clean_urls(options.get("urls", ()))
    checkpoint = choose_checkpoint(args.checkpoint or "tiny", args.entry)
    print(remote.HEADER, flush=True)
    styles = args.styles or remote.STYLES
    for asked in remote.rows(checkpoint, demo_frame(), options, styles, args.n):
        print(asked.line(), flush=True)
    return 0


def _compare(args) -> int:
    if args.entry or args.style or args.engine != "local":
        raise InputError(
            "--size asks both engines: give --styles, and no --style, --engine or --entry"
        )
    setting, rows = compare(
        args.size, args.styles, args.n, args.limit, args.device or "auto", args.check or "auto"
    )
    print(*report.preface(setting), sep="\n", flush=True)
    seen = _told(args, setting, rows, lambda row: report.line(setting, row))
    if args.plot:
        report.write_plot(setting, seen, report.this_machine(), args.plot)
    return 0


def _told(args, setting, rows, line) -> list:
    """Print each row as it comes, and write it, since a run that is cut off may have been long."""
    seen = []
    for row in rows:
        seen.append(row)
        print(line(row), flush=True)
        if args.json:
            report.write_json(setting, seen, report.this_machine(), args.json)
    return seen


def _measure(args) -> int:
    """Conversions, then answers about the image of the demo."""
    for line in _conversions():
        print(line, flush=True)
    begin = time.perf_counter()
    predictor = predictor_from(args)
    seconds = time.perf_counter() - begin
    print(f"checkpoint {predictor.checkpoint.name}, engine {args.engine}")
    print(f"{'loading':<44}{seconds:10.2f} s", flush=True)
    for line in answers.lines(predictor, demo_frame(), args.engine):
        print(line, flush=True)
    if predictor.stats().checked:
        print(f"decoded freely: {told(predictor.stats())}")
    return 0


MEASURED = {
    "gpu": _gpu,
    "size": _compare,
    "host": _host,
    "remote": _remote,
    "ros": _ros,
    "clouds": _clouds,
    "drift": _drift,
    "growth": _grow,
}


def _conversions():
    """Lines about messages; one line where there is no ROS 2."""
    try:
        from std_msgs.msg import Header

        from depthlm_ros.msgs.encodings import image_array
        from depthlm_ros.ros.convert import cloud_message, image_message
    except (ImportError, MissingDependency):
        yield "conversions: not measured, they need ROS 2"
        return
    header = Header()
    message = image_message(header, np.zeros((720, 1280, 3), np.uint8))
    message.encoding = "bgr8"  # what most cameras send; rgb8 would need no work
    found = _made_up_scan(100, 100)
    yield answers.line("1280 x 720 bgr8 image message to array", lambda: image_array(message), 20)
    yield answers.line(
        "10,000 points to a cloud message", lambda: cloud_message(header, found), 20
    )


def _made_up_scan(columns, rows) -> Scan:
    count = columns * rows
    numbers = np.full(count, 2.0)
    points, asked = np.full((count, 3), 2.0), np.zeros((count, 2))
    status, uncertain = np.zeros(count, np.uint8), np.zeros(count, bool)
    ranges = Ranges(*[numbers] * 5, points, status, asked, uncertain)
    return Scan(ranges, columns, rows, np.zeros((rows, columns, 3), np.uint8))
