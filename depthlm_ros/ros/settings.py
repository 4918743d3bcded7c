# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The parameters of the node as values: what each may be, alone and together with others.

Settings is the one frozen object that the rest of the node reads. Knows nothing about how ROS
gives and changes them (parameters.py).
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from depthlm_ros.checkpoints import AVERAGES, DENSE
from depthlm_ros.engines import CHECKS, DEVICES, DTYPES, ENGINES
from depthlm_ros.engines.remote.addresses import clean_urls
from depthlm_ros.errors import InputError
from depthlm_ros.predict import NO_AVERAGE, Predictor, has_map
from depthlm_ros.ros.arguments import CAMERA_NAME, CAMERA_NAMES, LONGEST_NAME
from depthlm_ros.scan import LARGEST_GRID, Region
from depthlm_ros.view import AXES
from depthlm_ros.worker.requests import GRID_STYLE, Grid, Stride

_WORDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple: "a list of texts",
}


def _parameter(
    name, default, description, choices=(), limits=(), pattern="", live=False, own=False
):
    """pattern: a regular expression for a text; the description says what it allows. live: it
    may change at any time, the others while the node is unconfigured. own: a camera may have its
    own."""
    about = {"name": name, "description": description, "choices": choices, "limits": limits}
    about |= {"pattern": pattern, "live": live, "own": own}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Settings:
    """The parameters of the node; a dot in a parameter's name is an underscore here."""

    autostart: bool = _parameter(
        "autostart",
        True,
        "Whether the node configures and activates itself at its start; false: a lifecycle"
        " manager does",
    )
    bond_heartbeat_period: float = _parameter(
        "bond_heartbeat_period",
        0.25,
        "Seconds between two heartbeats for the lifecycle manager that activated the node, where"
        " bondpy is installed and autostart is false; 0: none",
        limits=(0, 60),
    )
    checkpoint: str = _parameter(
        "checkpoint", "tiny", "The model: tiny (shipped), a checkpoint folder, or a published name"
    )
    row: str = _parameter(
        "row", "", "The published model whose ways a checkpoint folder without depthlm.json has"
    )
    axes: str = _parameter(
        "axes",
        "",
        "How an image is brought to the checkpoint's focal length: fx (both axes by fx), both"
        " (each axis by its own), or empty (as the checkpoint says)",
        pattern="|".join(("", *AXES)),
    )
    average: str = _parameter(
        "average",
        "",
        "Whether each pixel is asked a second time with left and right exchanged, and the mean"
        " answered, for twice the time: mirror, none, or empty (as the checkpoint says)",
        pattern="|".join(("", NO_AVERAGE, *AVERAGES)),
    )
    engine: str = _parameter("engine", "local", "What runs the model", choices=ENGINES)
    remote_urls: tuple = _parameter(
        "remote.urls",
        ("",),
        "With engine remote: addresses of the servers, such as [http://gpu:8000]; questions about"
        " one image go to one of them, others where there is room",
    )
    remote_model: str = _parameter(
        "remote.model", "", "With engine remote: the model's name there; empty: the only one"
    )
    remote_key_file: str = _parameter(
        "remote.key_file",
        "",
        "With engine remote: a file with the key that the servers want; empty: none. The key"
        " itself is no parameter, which anybody could read",
    )
    remote_timeout: float = _parameter(
        "remote.timeout",
        30.0,
        "With engine remote: seconds after which a server that does not answer is given up and"
        " another one asked",
        limits=(0.1, 3600),
    )
    style: str = _parameter(
        "style",
        "",
        "How to point at asked pixels: marker, coordinates, position; dense: read from the map of"
        " a checkpoint with a dense head; empty: the checkpoint's way",
    )
    grid_style: str = _parameter(
        "grid.style",
        "",
        "How to point at the pixels of a grid, as `style`; empty: the checkpoint's way",
    )
    device: str = _parameter(
        "device",
        "auto",
        "Where the model runs: auto (the first GPU that works), cpu, cuda, cuda:1 and so on",
        pattern=DEVICES,
    )
    dtype: str = _parameter(
        "dtype",
        "auto",
        "Number format of the weights; auto: bfloat16 on a GPU that has it, else float32",
        choices=DTYPES,
    )
    check: str = _parameter(
        "check",
        "auto",
        "Whether each answer is proved to be what the model would say by itself; auto: in marker"
        " style, and a sample in others",
        choices=CHECKS,
    )
    graphs: bool = _parameter(
        "graphs",
        False,
        "Whether the passes of few questions are started as CUDA graphs, with engine local on a"
        " GPU; no GPU has run it yet",
    )
    cameras: tuple = _parameter(
        "cameras",
        ("camera",),
        "Names of the cameras, which share the model. Their topics: left/image, left/camera_info,"
        " ~/left/points; of the default alone: image, camera_info, ~/points",
    )
    input_reliability: str = _parameter(
        "input.reliability",
        "auto",
        "How to subscribe: auto follows the publishers (reliable if all of them are)",
        choices=("auto", "reliable", "best_effort"),
        own=True,
    )
    input_rectified: bool = _parameter(
        "input.rectified",
        False,
        "Whether the image is rectified: then P of camera_info holds, else K and D",
        own=True,
    )
    input_compressed: bool = _parameter(
        "input.compressed",
        False,
        "Whether to subscribe image/compressed (sensor_msgs/CompressedImage) instead of image",
        own=True,
    )
    input_pairing: str = _parameter(
        "input.pairing",
        "latest",
        "Which camera_info holds for an image: latest (the one of its stamp if there is one, else"
        " the newest) or exact (the one of its stamp, or none)",
        choices=("latest", "exact"),
        own=True,
    )
    grid_columns: int = _parameter(
        "grid.columns", 32, "Columns of the cloud on ~/points", limits=(1, 4096), live=True
    )
    grid_rows: int = _parameter("grid.rows", 24, "Rows of that cloud", limits=(1, 4096), live=True)
    grid_stride: int = _parameter(
        "grid.stride",
        0,
        "Every how many pixels, along both axes, the cloud has a point, 1: all, for a checkpoint"
        " with a dense head; 0: as grid.columns and grid.rows say",
        limits=(0, 1024),
        live=True,
    )
    grid_rate: float = _parameter(
        "grid.rate",
        0.5,
        "Clouds a second while somebody listens; 0: none",
        limits=(0, 60),
        live=True,
    )
    grid_max_age: float = _parameter(
        "grid.max_age",
        5.0,
        "Seconds; a grid of an image that came longer ago is given up for one of the newest;"
        " 0: never",
        limits=(0, 86_400),
        live=True,
    )
    points_max_stddev: float = _parameter(
        "points.max_stddev",
        0.0,
        "Points whose standard deviation is a larger part of their distance are left out of the"
        " cloud, as NaN; 0: none",
        limits=(0, 10),
        live=True,
    )
    points_max_edge: float = _parameter(
        "points.max_edge",
        0.0,
        "Points whose neighbours' distances differ by a larger part of their own, as where a"
        " surface ends, are left out of the cloud, as NaN; 0: none",
        limits=(0, 100),
        live=True,
    )
    overlay_max_width: int = _parameter(
        "overlay.max_width",
        1280,
        "Pixels; the overlay of a wider image is made smaller; 0: never",
        limits=(0, 65_535),
        live=True,
    )
    query_max_pixels: int = _parameter(
        "query.max_pixels",
        10_000,
        "Most pixels that one request may ask",
        limits=(1, 1_000_000),
        live=True,
    )
    query_timeout: float = _parameter(
        "query.timeout",
        60.0,
        "Seconds after which a request is answered with what is known, the rest TIMED_OUT;"
        " 0: never",
        limits=(0, 86_400),
        live=True,
    )
    query_frame: str = _parameter(
        "query.frame",
        "",
        "Frame of the answered points where a request names none: map, base_link ..., by TF at the"
        " stamp of the image; empty: the optical frame of the camera",
        live=True,
    )

    def __post_init__(self) -> None:
        for about in fields(self):
            object.__setattr__(self, about.name, natural(about, getattr(self, about.name)))
        problems = settings_problems(vars(self))
        if problems:
            raise InputError("; ".join(problems))

    def grid(
        self, predictor: Predictor | None, region: Region | None = None
    ) -> tuple[Grid | Stride, str]:
        """The pixels of the grid that is published, and the style in which they are asked.

        region: the part of the image that it is to cover, None: all.

        A stride is read from the map of a checkpoint with a dense head, where the engine can use
        that and no other style was chosen for grids.
        """
        if not self.grid_stride:
            return Grid(self.grid_columns, self.grid_rows, region), GRID_STYLE
        mapped = predictor is not None and has_map(predictor.checkpoint, self.engine)
        is_read = mapped and not self.grid_style
        return Stride(self.grid_stride, region), DENSE if is_read else GRID_STYLE


class Own(NamedTuple):
    """A parameter that one camera has instead of all; like a field of Settings. Empty it holds
    what all have."""

    name: str
    type: type
    default: str
    metadata: Mapping[str, Any]


def own_parameters(camera: str) -> list[Own]:
    """What a camera may have of its own: left.input.rectified instead of input.rectified."""
    return [_own(camera, about) for about in fields(Settings) if about.metadata["own"]]


def _own(camera, about) -> Own:
    name, text = (about.metadata[key] for key in ("name", "description"))
    own = {"name": f"{camera}.{name}", "description": f"{text}; empty: as {name}"}
    return Own(about.name, about.type, "", {**about.metadata, **own})


def is_camera_name(value: object) -> bool:
    """Whether topics can be named after a camera of this name; a file may hold a number for it."""
    return type(value) is str and bool(re.fullmatch(CAMERA_NAME, value))


def natural(about, value):
    """The value in the type of its parameter, where ROS lets a user type it in another one.

    rate: 2 is as good as 2.0, columns: 32.0 as 32, and check: on arrives as a boolean, since that
    is what YAML makes of it. Everything else stays what it is. about: a field of Settings, or Own.
    """
    kind, choices = about.type, about.metadata["choices"]
    if kind is float and type(value) is int:
        return float(value)
    if kind is int and type(value) is float and value.is_integer():
        return int(value)
    if kind is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    if kind is str and type(value) is bool and {"on", "off"} <= set(choices):
        return "on" if value else "off"
    return value


def value_problem(about, value) -> str:
    """What is wrong with the value of one parameter, in a sentence; empty if nothing is."""
    if type(about) is Own and value == about.default:
        return ""
    name, choices, limits, pattern = (
        about.metadata[key] for key in ("name", "choices", "limits", "pattern")
    )
    texts = type(value) is not tuple or all(type(v) is str for v in value)
    if type(value) is not about.type or not texts:
        return f"parameter {name} is {_shown(value)}, it must be {_WORDS[about.type]}"
    if choices and value not in choices:
        return f"parameter {name} is {_shown(value)}, allowed: {', '.join(choices)}"
    if pattern and not re.fullmatch(pattern, value):
        description = about.metadata["description"]
        return f"parameter {name} is {_shown(value)}, allowed: {description.partition(': ')[2]}"
    if limits and not limits[0] <= value <= limits[1]:
        return f"parameter {name} is {value:g}, allowed: {limits[0]} to {limits[1]}"
    return ""


def _shown(value) -> str:
    text = repr(list(value) if isinstance(value, (tuple, array)) else value)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."


def settings_problems(values: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with the values (field of Settings -> value), one by one and
    together."""
    found = {a.name: value_problem(a, values[a.name]) for a in fields(Settings)}
    bad = {name for name, problem in found.items() if problem}
    problems = [problem for problem in found.values() if problem]
    for names, rule in _TOGETHER:
        if not bad & set(names):
            problems += rule(*(values[name] for name in names))
    return problems


def _grid_problems(columns, rows) -> Iterator[str]:
    if columns * rows > LARGEST_GRID:
        yield (
            f"grid.columns x grid.rows is {columns} x {rows}, at most {LARGEST_GRID} points are"
            " allowed"
        )


def _camera_problems(cameras) -> Iterator[str]:
    bad = [name for name in cameras if not is_camera_name(name)]
    if bad or not cameras:
        yield (
            f"parameter cameras holds {_shown(bad) if bad else 'no name'}: name at least one"
            f" camera, each name {CAMERA_NAMES}"
        )
    twice = [name for name, count in Counter(cameras).items() if count > 1]
    if twice:
        yield f"parameter cameras holds {_shown(twice)} more than once"


def _remote_problems(engine, urls) -> Iterator[str]:
    if engine == "remote":
        try:
            clean_urls(urls)
        except InputError as error:
            yield str(error)


# Rules for values that are allowed one by one: (fields of Settings, their problems).
_TOGETHER = (
    (("grid_columns", "grid_rows"), _grid_problems),
    (("cameras",), _camera_problems),
    (("engine", "remote_urls"), _remote_problems),
)
