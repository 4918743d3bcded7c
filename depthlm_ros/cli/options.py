# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Options that several subcommands share, and what they stand for: a Frame, a Predictor."""

import argparse
import sys
from math import inf

from depthlm_ros.cli.bars import loading_bar
from depthlm_ros.data.files import camera_for, film_focal_px, read_camera, read_picture
from depthlm_ros.engines import CHECKS
from depthlm_ros.errors import CameraError, InputError
from depthlm_ros.predict import PREDICTORS, load_predictor
from depthlm_ros.view import Frame


def add_picture_options(parser) -> None:
    """The picture and its intrinsics."""
    parser.add_argument("picture", help="a picture file; pixels are those of the upright picture")
    camera = parser.add_argument_group("camera, in pixels; else the focal length from EXIF")
    camera.add_argument("--fx", type=float, help="focal length along u")
    camera.add_argument("--fy", type=float, help="focal length along v (default: fx)")
    camera.add_argument("--cx", type=float, help="principal point (default: the middle)")
    camera.add_argument("--cy", type=float, help="principal point (default: the middle)")
    camera.add_argument("--camera", metavar="YAML", help="camera_info file of the picture's size")


def add_model_options(parser, checkpoint_group=None) -> None:
    """Which checkpoint answers, where, and how it is asked."""
    (checkpoint_group or parser).add_argument(
        "--checkpoint", help="tiny (default), a folder, or a name of 'depthlm checkpoints'"
    )
    model = parser.add_argument_group("model")
    model.add_argument("--row", default="", help="published row for a folder that carries none")
    model.add_argument(
        "--engine",
        choices=list(PREDICTORS),
        default="local",
        help="local (default); reference: plain generate, slow; scripted: a fake, always 2 m",
    )
    model.add_argument("--device", help="auto (default), cpu, cuda, cuda:1")
    model.add_argument("--dtype", help="auto (default), float32, bfloat16, float16")
    model.add_argument("--threads", type=count, help="of the processor (default: as many as suit)")
    model.add_argument(
        "--check",
        choices=CHECKS,
        help="prove that the model would have said the words it is given (auto: in marker style)",
    )
    model.add_argument(
        "--style",
        default="",
        help="how to point: marker, coordinates or position (default: the checkpoint's)",
    )


def add_grid_option(parser) -> None:
    """How finely a picture is asked."""
    parser.add_argument(
        "--grid",
        type=grid,
        default=(32, 24),
        metavar="COLUMNSxROWS",
        help="pixels to ask about, evenly spread over the picture (default: 32x24)",
    )


def predictor_from(args, style=None, checkpoint=None):
    """The predictor that the model options name; style, checkpoint: instead of theirs."""
    given = {name: getattr(args, name) for name in ("device", "dtype", "threads", "check")}
    options = {name: value for name, value in given.items() if value is not None}
    style = args.style if style is None else style
    styles = {"style": style, "grid_style": style}
    with loading_bar() as progress:
        return load_predictor(
            checkpoint or args.checkpoint or "tiny",
            args.engine,
            args.row,
            **styles,
            warm_up=False,  # the first question is the user's anyhow
            progress=progress,
            **options,
        )


def frame_from(args) -> Frame:
    """The picture with its camera; CameraError where nothing tells the focal length."""
    image = read_picture(args.picture)
    height, width = image.shape[:2]
    numbers = (args.fx, args.fy, args.cx, args.cy)
    if args.camera:
        if numbers != (None,) * 4:
            raise InputError("give --camera or --fx, --fy, --cx, --cy, not both")
        return Frame(image, read_camera(args.camera))
    fx = args.fx if args.fx is not None else _fx_from_exif(args.picture, width, height)
    return Frame(image, camera_for(width, height, fx, *numbers[1:]))


def _fx_from_exif(path, width, height) -> float:
    fx = film_focal_px(path, width, height)
    if fx is None:
        raise CameraError(
            f"the focal length of {path} is not known (nor in its EXIF), and without it there is"
            " no scale: give --fx PIXELS (and --fy, --cx, --cy), or --camera camera_info.yaml"
        )
    print(
        f"depthlm: fx = {fx:.0f} px, from the film-equivalent focal length in EXIF, good to a few"
        " percent if the picture is not cropped; --fx or --camera is better",
        file=sys.stderr,
    )
    return fx


def pixel(text) -> tuple:
    """(u, v) of "320,240"."""
    try:
        u, v = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"a pixel is u,v such as 320,240, got '{text}'") from None
    return u, v


def box(text) -> tuple:
    """(left, top, width, height) in whole pixels of "100,40,120,60"."""
    try:
        left, top, width, height = map(int, text.split(","))
        if min(left, top) < 0 or min(width, height) < 1:
            raise ValueError(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            "a box is left,top,width,height in whole pixels of the picture such as"
            f" 100,40,120,60, got '{text}'"
        ) from None
    return left, top, width, height


def grid(text) -> tuple:
    """(columns, rows) of "32x24"."""
    try:
        columns, rows = map(count, text.lower().split("x"))
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(
            f"a grid is COLUMNSxROWS such as 32x24, got '{text}'"
        ) from None
    return columns, rows


def count(text) -> int:
    """A whole number of 1 at least."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of 1 or more, got '{text}'")
    return int(text)


def positive(text) -> float:
    """A number above 0."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < inf:
        raise argparse.ArgumentTypeError(f"a number above 0, got '{text}'")
    return found
