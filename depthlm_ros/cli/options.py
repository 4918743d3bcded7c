# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Options that several subcommands share, and what they stand for: a Frame, a Predictor."""

import argparse

import numpy as np

from depthlm_ros.camera import Camera
from depthlm_ros.checkpoints import AVERAGES, DENSE, Checkpoint
from depthlm_ros.cli.values import count, grid, named, positive, words
from depthlm_ros.data.frames import print_warning, read_frame
from depthlm_ros.data.records import KINDS, Record
from depthlm_ros.engines import CHECKS
from depthlm_ros.errors import InputError
from depthlm_ros.predict import (
    NO_AVERAGE,
    PREDICTORS,
    Predictor,
    choose_checkpoint,
    has_map,
    load_predictor,
)
from depthlm_ros.ranges import RangeMap, Ranges
from depthlm_ros.scan import stride_shape
from depthlm_ros.view import AXES, Frame
from depthlm_ros.viz.progress import loading_bar

RECORDS = (
    'jsonl files with one image per line: {"image": file, "intrinsics": [fx, fy, cx, cy, width,'
    ' height], "pixel_coords": [[u, v], ...], "depth": [metres, ...], "kind": "distance" or "z"}'
)
REMOTE = "urls", "model", "key_file", "timeout"  # options of the engine remote
_FARTHEST_M = 1000.0  # no lidar measures so far
_MOST_TOLD = 3  # cameras whose doubts are told; a zoom has as many as images


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """The image and its intrinsics; see frame_from()."""
    parser.add_argument("image", help="an image file; pixels are those of the upright image")
    add_camera_options(parser)


def add_camera_options(parser: argparse.ArgumentParser) -> None:
    """The intrinsics of an image."""
    camera = parser.add_argument_group("camera, in pixels; default: the focal length from EXIF")
    camera.add_argument("--fx", type=float, help="focal length along u")
    camera.add_argument("--fy", type=float, help="focal length along v (default: fx)")
    camera.add_argument("--cx", type=float, help="principal point (default: the image centre)")
    camera.add_argument("--cy", type=float, help="principal point (default: the image centre)")
    camera.add_argument(
        "--camera", type=named, metavar="YAML", help="a camera_info file of the image's size"
    )


def add_model_options(parser: argparse.ArgumentParser, checkpoint_group=None) -> None:
    """Which checkpoint answers, where it runs, and how it is asked.

    checkpoint_group: where --checkpoint goes, such as a group of options that exclude each other.
    """
    (checkpoint_group or parser).add_argument(
        "--checkpoint",
        type=named,
        help="tiny (default), a checkpoint folder, or a name that `depthlm checkpoints` lists",
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--entry",
        "--row",
        default="",
        metavar="NAME",
        help="the published checkpoint entry to use for a folder without a depthlm.json",
    )
    model.add_argument(
        "--engine",
        choices=list(PREDICTORS),
        default="local",
        help="local (default); remote: servers with vLLM; reference: plain generate, slow;"
        " scripted: a fake that always answers 2 m",
    )
    model.add_argument("--device", help="auto (default), cpu, cuda, cuda:1")
    model.add_argument("--dtype", help="auto (default), float32, bfloat16, float16")
    model.add_argument(
        "--threads", type=count, help="threads of the CPU (default: chosen automatically)"
    )
    model.add_argument(
        "--check",
        choices=CHECKS,
        help="verify that the model would have said the given words (auto: all in marker style, a"
        " sample in others)",
    )
    model.add_argument(
        "--graphs",
        action="store_true",
        default=None,
        help="start the passes of few questions as CUDA graphs (engine local on a GPU; no GPU has"
        " run it yet: `depthlm bench --gpu --parts graphs` compares the answers)",
    )
    model.add_argument(
        "--style",
        default="",
        help="how to point: marker, coordinates, position or dense (default: the checkpoint's)",
    )
    model.add_argument(
        "--axes",
        choices=AXES,
        default="",
        help="fx: both axes are brought to the checkpoint's focal length by fx; both: each by its"
        " own (default: the checkpoint's)",
    )
    model.add_argument(
        "--average",
        choices=(NO_AVERAGE, *AVERAGES),
        default="",
        help="mirror: ask every pixel a second time with left and right exchanged and answer the"
        " mean, for twice the time; none: do not (default: the checkpoint's)",
    )

    _add_remote_options(parser)


def _add_remote_options(parser: argparse.ArgumentParser) -> None:
    remote = parser.add_argument_group("with --engine remote")
    remote.add_argument(
        "--remote-urls",
        type=words,
        metavar="URL,URL",
        help="addresses of the servers, such as http://gpu:8000 (`depthlm serve` starts one)",
    )
    remote.add_argument(
        "--remote-model", metavar="NAME", help="the model's name there (default: the only one)"
    )
    remote.add_argument(
        "--remote-key-file", metavar="FILE", help="file with the key that the servers want"
    )
    remote.add_argument(
        "--remote-timeout",
        type=positive,
        metavar="S",
        help="seconds after which a server that does not answer is given up (default: 30)",
    )


def add_records_options(parser: argparse.ArgumentParser, text: str = RECORDS) -> None:
    """The records files and the kind of their labels."""
    parser.add_argument("records", nargs="+", help=text)
    parser.add_argument(
        "--kind", choices=KINDS, default="", help="kind of the records that do not state theirs"
    )


def add_grid_option(parser: argparse.ArgumentParser) -> None:
    """How finely an image is asked; see grid_of()."""
    fineness = parser.add_mutually_exclusive_group()
    fineness.add_argument(
        "--grid",
        type=grid,
        default=(32, 24),
        metavar="COLUMNSxROWS",
        help="number of pixels to ask about, evenly spread over the image (default: 32x24)",
    )
    fineness.add_argument(
        "--stride",
        type=count,
        metavar="N",
        help="or about every Nth pixel along both axes, 1: all of them; read from the map of a"
        " checkpoint with a dense head unless another style is chosen, since asking pixel by pixel"
        " takes long",
    )


def grid_of(args: argparse.Namespace, camera: Camera) -> tuple[int, int]:
    """(columns, rows) that the options say for images of a camera."""
    return stride_shape(camera.width, camera.height, args.stride) if args.stride else args.grid


def grid_style_of(args: argparse.Namespace) -> str:
    """The style for a grid: --style; without it and with --stride that of maps, where the
    checkpoint has a dense head and the engine can use it; "" for the checkpoint's own."""
    if args.style or not args.stride:
        return args.style
    checkpoint = choose_checkpoint(args.checkpoint or "tiny", args.entry, engine=args.engine)
    return DENSE if has_map(checkpoint, args.engine) else ""


def predictor_from(
    args: argparse.Namespace, style: str | None = None, checkpoint: Checkpoint | None = None
) -> Predictor:
    """The predictor that the model options name; style, checkpoint: used instead of theirs."""
    names = "device", "dtype", "threads", "check", "graphs"
    given = {name: getattr(args, name) for name in names}
    options = {name: value for name, value in given.items() if value is not None}
    options |= remote_options(args)
    style = args.style if style is None else style
    styles = {"style": style, "grid_style": style}
    with loading_bar() as progress:
        return load_predictor(
            checkpoint or args.checkpoint or "tiny",
            args.engine,
            args.entry,
            **styles,
            axes=args.axes,
            average=args.average,
            warm_up=False,  # the first question is the user's anyway
            progress=progress,
            **options,
        )


def remote_options(args: argparse.Namespace) -> dict[str, object]:
    """What the engine remote is given; InputError where another one is."""
    given = {name: getattr(args, f"remote_{name}") for name in REMOTE}
    options = {name: value for name, value in given.items() if value is not None}
    if options and args.engine != "remote":
        raise InputError(f"--remote-{next(iter(options))} belongs to --engine remote")
    return options


def frame_from(args: argparse.Namespace) -> Frame:
    """The image with its camera; CameraError where no focal length is known."""
    return read_frame(args.image, args.camera or "", args.fx, args.fy, args.cx, args.cy)


class Doubts:
    """Prints on stderr what makes answers about cameras doubtful: of the first few cameras that
    have something, and of the others how many images they took. A context manager."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._told: list[Camera] = []
        self._others = 0

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        if self._others:
            print_warning(f"images of further cameras with doubtful intrinsics: {self._others}")

    def look(self, camera: Camera) -> None:
        """An image of this camera is asked about."""
        if camera in self._told or not (found := self._checkpoint.warnings(camera)):
            return
        if len(self._told) == _MOST_TOLD:
            self._others += 1
            return
        self._told.append(camera)
        for sentence in found:
            print_warning(sentence)


class Labels:
    """Looks at the labels of records for data.records.check(), to doubt what is hardly metres.

    count: labels seen.
    """

    def __init__(self) -> None:
        self.count = 0
        self._far = 0

    def __call__(self, record: Record) -> None:
        """A record that is asked about."""
        self.count += len(record)
        self._far += int((record.label_m > _FARTHEST_M).sum())

    def tell(self) -> None:
        """Print on stderr that most labels are too far away, if they are."""
        if 2 * self._far > self.count:
            print_warning(
                f"{self._far} of {self.count} labels are beyond {_FARTHEST_M:g} m: depth is in"
                " metres, are these millimetres?"
            )


def exit_code(ranges: Ranges | RangeMap) -> int:
    """0, or 1 where not a single pixel was answered."""
    return 0 if np.isfinite(ranges.distance_m).any() else 1
