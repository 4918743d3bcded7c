# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm bag: the node's streams for every image of a recording, with the original stamps."""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from depthlm_ros.cli.options import (
    Doubts,
    add_grid_option,
    add_model_options,
    grid_of,
    grid_style_of,
    predictor_from,
)
from depthlm_ros.cli.values import count, named, node
from depthlm_ros.data.files import read_camera
from depthlm_ros.errors import InputError
from depthlm_ros.msgs.fields import frame_from, sensor_camera
from depthlm_ros.scan import scan
from depthlm_ros.viz.progress import progress_bar

DECISIVE = (
    *("checkpoint", "entry", "engine", "style", "axes", "average"),
    *("info", "camera", "grid", "stride", "every", "rectified", "node"),
)
DEMO = Path("demo")


def add(subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "bag",
        help="answer the images of a recording (rosbag2)",
        description="Ask about a grid of every image of a recording and write point clouds, depth"
        " images and overlays with the original stamps. Repeated after an interruption, the"
        " command continues where it was.",
    )
    parser.add_argument(
        "input",
        type=Path,
        help="a rosbag2 folder, .mcap or .db3 file, or `demo`: a recording of the shipped scene",
    )
    parser.add_argument(
        "output", type=_output, help="the recording to write: OUT.mcap, or a folder"
    )
    parser.add_argument(
        "--topic", default="", help="topic of the images (default: the only one of images)"
    )
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument(
        "--info", default="", help="topic of camera_info (default: the one beside the images)"
    )
    camera.add_argument(
        "--camera",
        type=named,
        metavar="YAML",
        help="or a camera_info file that holds for all images",
    )
    add_grid_option(parser)
    parser.add_argument("--every", type=count, default=1, metavar="N", help="only each Nth image")
    parser.add_argument(
        "--rectified",
        action="store_true",
        help="the images are rectified: use P of camera_info, not K and D",
    )
    parser.add_argument(
        "--node",
        type=node,
        default="/depthlm",
        help="prefix of the topics to write (default: /depthlm)",
    )
    parser.add_argument("--keep", action="store_true", help="copy the messages of the input too")
    add_model_options(parser)
    parser.set_defaults(run=run)


def _output(text: str) -> Path:
    if Path(text).suffix in (".db3", ".bag"):
        raise argparse.ArgumentTypeError(
            f"a recording is written as .mcap, or as a folder with such a file, got '{text}'"
        )
    return Path(text)


def run(args: argparse.Namespace) -> int:
    """Write the output; a repeated command continues where it was stopped."""
    try:
        if args.input != DEMO:
            return _run(args)
        with TemporaryDirectory() as folder:
            from depthlm_ros.bags.demo import write_recording

            write_recording(Path(folder, "demo"))
            args.input, args.keep = Path(folder, "demo"), True
            return _run(args)
    except OSError as error:
        raise InputError(f"{args.output} cannot be written: {error}") from error


def _run(args):
    from depthlm_ros.bags.parts import Parts
    from depthlm_ros.bags.recording import Recording

    info = None if args.camera else args.info
    with Recording(args.input, args.topic, info) as recording:
        _check_topics(args, recording)
        with Parts(args.output, _job(args, recording)) as parts:
            if parts.done:
                print(f"continuing with image {parts.done} of {recording.total}", file=sys.stderr)
            skipped = _answer(args, recording, parts) if parts.done < recording.total else 0
            messages = parts.join(recording.reader if args.keep else None)
    print(f"wrote {args.output}: {messages} messages, {skipped} images skipped")
    return 0


def _check_topics(args, recording) -> None:
    """Answers of two runs must not meet on one topic."""
    own = [name for name in recording.reader.topics if name.startswith(f"{args.node}/")]
    if args.keep and own:
        raise InputError(
            f"{args.input} already holds {own[0]}: give the answers another name with --node, or"
            " leave --keep out"
        )


def _job(args, recording) -> dict:
    """Everything that the answers depend on."""
    job = {name: getattr(args, name) for name in DECISIVE}
    about = {"input": args.input.name, "topic": recording.topic, "of": recording.total}
    return {**job, **about, "start": recording.reader.start_time}


def _answer(args, recording, parts) -> int:
    """Ask about every image that is left; returns how many could not be used."""
    from depthlm_ros.bags.messages import info_message, streams

    fixed = info_message(None, read_camera(args.camera)) if args.camera else None
    predictor, skipped = predictor_from(args, grid_style_of(args)), 0
    with progress_bar("images") as progress, Doubts(predictor.checkpoint) as doubts:
        for index, time_ns, image, info in recording.images(parts.done, args.every):
            progress(index, recording.total)
            try:
                frame = frame_from(image, info or fixed, args.rectified)
                doubts.look(sensor_camera(info or fixed, args.rectified))
            except InputError as error:
                skipped += 1
                print(f"depthlm: image {index} is skipped: {error}", file=sys.stderr)
                continue
            found = scan(predictor, frame, *grid_of(args, frame.camera))
            messages = streams(image.header, frame, found, recording.is_compressed)
            parts.write(index, time_ns, [(f"{args.node}/{name}", m) for name, m in messages])
    return skipped + recording.damaged
