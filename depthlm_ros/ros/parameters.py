# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The parameters of the node: what each may be, and how ROS gives and changes them.

Settings is the one frozen object that the rest of the node reads. Parameters declares its fields
on the node with description and range, takes what the user typed in every form that ROS lets
through, and changes only what is safe to change. Every problem is kept until a good value comes,
and checked() names all of them at once.
"""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterException, ParameterNotDeclaredException
from rclpy.node import Node
from rclpy.parameter import Parameter

from depthlm_ros.checkpoints import AVERAGES, DENSE
from depthlm_ros.engines import CHECKS, ENGINES
from depthlm_ros.engines.remote.addresses import clean_urls
from depthlm_ros.errors import InputError
from depthlm_ros.predict import NO_AVERAGE, Predictor, has_map
from depthlm_ros.ros.arguments import CAMERA_NAME, CAMERA_NAMES, LONGEST_NAME
from depthlm_ros.ros.compat import given_parameters
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
DEVICES = r"auto|cpu|cuda(:\d+)?"  # what the engines know; importing them here would need torch
DTYPES = ("auto", "float32", "bfloat16", "float16")
OVERRIDES = "qos_overrides."  # with what the names of ROS's own parameters of topics begin
AT_THE_START = "autostart"  # nobody reads it later


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
        "How to point at asked pixels: marker, coordinates, position, dense; empty: the"
        " checkpoint's way",
    )
    grid_style: str = _parameter(
        "grid.style", "", "How to point at the pixels of a grid; empty: the checkpoint's way"
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


def is_camera_name(text: str) -> bool:
    """Whether topics can be named after a camera of this name."""
    return bool(re.fullmatch(CAMERA_NAME, text))


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
    text = repr(list(value) if type(value) is tuple else value)
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


class Parameters:
    """Declares all parameters on the node, also those that each of its cameras has of its own.

    now: the Settings that hold since the last checked(), with every change since.
    locked: why only the live parameters may change, set by the node; empty: all may.
    on_change() is called after now has changed.
    """

    def __init__(self, node: Node, on_change: Callable[[], None] = lambda: None) -> None:
        self.now = Settings()
        self.locked = ""
        self._node = node
        self._on_change = on_change
        self._fields: dict[str, Any] = {}  # name -> field of Settings, or Own
        self._values: dict[str, Any] = {}  # name -> value in its natural type
        self._problems: dict[str, str] = {}  # name -> what is wrong with what was given for it
        for about in fields(Settings):
            self._declare(about)
        self._follow_cameras()
        if hasattr(node, "add_pre_set_parameters_callback"):  # not in Humble
            node.add_pre_set_parameters_callback(self._before_set)
        node.add_on_set_parameters_callback(self._on_set)

    def checked(self) -> Settings:
        """The Settings that hold from now on; InputError names every problem."""
        problems = [*self._problems.values(), *self._problems_of(self._values)]
        if problems:
            raise InputError("; ".join(dict.fromkeys(problems)))
        self.now = self._settings(self._values)
        return self.now

    def of_camera(self, name: str) -> Settings:
        """now, with what this camera has of its own."""
        own = {about.name: self._values[about.metadata["name"]] for about in own_parameters(name)}
        return replace(self.now, **{key: value for key, value in own.items() if value != ""})

    def unknown(self) -> Iterator[str]:
        """A sentence for each parameter that was given and that the node does not have."""
        return self._unknown_of(lambda name: not name.startswith(OVERRIDES), self._fields)

    def unknown_overrides(self) -> Iterator[str]:
        """The same of QoS, which are parameters of topics and there once these are."""
        known = self._node.get_parameters_by_prefix(OVERRIDES.rstrip("."))
        names = [f"{OVERRIDES}{name}" for name in known]
        return self._unknown_of(lambda name: name.startswith(OVERRIDES), names)

    def _unknown_of(self, wanted: Callable[[str], bool], known: Iterable[str]) -> Iterator[str]:
        for name in given_parameters(self._node):
            if wanted(name) and not self._node.has_parameter(name):
                yield _unknown(name, known)

    def _shared(self, values) -> dict[str, Any]:
        """Field of Settings -> value, of those that are not one camera's own."""
        return {a.name: values[name] for name, a in self._fields.items() if type(a) is not Own}

    def _settings(self, values) -> Settings:
        return Settings(**self._shared(values))

    def _problems_of(self, values) -> Iterable[str]:
        """What is wrong with values (name -> value), but for those with a problem already."""
        own = [value_problem(a, values[n]) for n, a in self._fields.items() if type(a) is Own]
        return [*settings_problems(self._shared(values)), *filter(None, own)]

    def _follow_cameras(self) -> None:
        """Declare what each camera may have of its own, and take back what another had."""
        given = self._values["cameras"]
        cameras = given if type(given) is tuple else ()
        wanted = [a for c in cameras if is_camera_name(c) for a in own_parameters(c)]
        names = {about.metadata["name"] for about in wanted}
        for name in [n for n, a in self._fields.items() if type(a) is Own and n not in names]:
            self._node.undeclare_parameter(name)
            for known in (self._fields, self._values, self._problems):
                known.pop(name, None)
        for about in wanted:
            if about.metadata["name"] not in self._fields:
                self._declare(about)

    def _declare(self, about) -> None:
        name = about.metadata["name"]
        default = list(about.default) if about.type is tuple else about.default
        descriptor = _descriptor(about)
        try:
            value = self._node.declare_parameter(name, default, descriptor).value
        except ParameterException:  # rclpy holds it to the range of the descriptor
            given = natural(about, given_parameters(self._node)[name])
            self._problems[name] = value_problem(about, given)
            value = default
            self._node.declare_parameter(name, default, descriptor, ignore_override=True)
        if value is None and about.type is tuple:  # what rcl makes of a list without entries
            value = []
            self._node.set_parameters([Parameter(name, Parameter.Type.STRING_ARRAY, value)])
        if type(natural(about, value)) not in (type(value), tuple):
            # What `ros2 param dump` writes has the type of the parameter.
            self._node.set_parameters([Parameter(name, value=natural(about, value))])
        self._values[name] = natural(about, value)
        self._fields[name] = about  # from now on _on_set() judges it

    def _before_set(self, parameters: list[Parameter]) -> list[Parameter]:
        names = [p.name for p in parameters if not self._node.has_parameter(p.name)]
        if names:  # rclpy refuses them too, and names none
            unknown = "; ".join(_unknown(name, self._fields) for name in names)
            raise ParameterNotDeclaredException(unknown)
        return [self._natural(p) if p.name in self._fields else p for p in parameters]

    def _natural(self, parameter) -> Parameter:
        value = natural(self._fields[parameter.name], parameter.value)
        if type(value) in (type(parameter.value), tuple):
            return parameter
        return Parameter(parameter.name, value=value)

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        ours = {
            p.name: natural(self._fields[p.name], p.value)
            for p in parameters
            if p.name in self._fields
        }
        # A file that `ros2 param dump` wrote holds the locked ones too, with the values they have.
        changed = {n: v for n, v in ours.items() if v != self._values[n] or n in self._problems}
        reason = "; ".join(self._refused(changed))
        if not reason and changed:
            reason = self._applied(changed)
        return SetParametersResult(successful=not reason, reason=reason)

    def _refused(self, values) -> Iterator[str]:
        for name, value in values.items():
            about = self._fields[name]
            problem = value_problem(about, value)
            if name == AT_THE_START:
                yield f"parameter {name} is read when the node starts: give it to a new start"
            elif self.locked and not about.metadata["live"]:
                yield f"parameter {name} is read-only while the node is configured: {self.locked}"
            elif problem:
                yield problem

    def _applied(self, values) -> str:
        """Take the values, or say why they cannot stand together with the others."""
        if self.locked:
            try:
                self.now = self._settings({**self._values, **values})
            except InputError as error:
                return str(error)
        self._values |= values
        for name in values:
            self._problems.pop(name, None)
        if self.locked:
            self._on_change()
        elif "cameras" in values:
            self._follow_cameras()
        return ""


def _unknown(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"did you mean {near[0]}?" if near else "it changes nothing (`ros2 param list`)"
    return f"there is no parameter {name}: {advice}"


def _descriptor(about) -> ParameterDescriptor:
    limits = about.metadata["limits"]
    descriptor = ParameterDescriptor(
        description=about.metadata["description"],
        additional_constraints=_constraints(about),
        # A number may come as 2 or as 2.0, on and off as booleans, what a camera has of its own as
        # an empty text; and a value of another type is refused in our words.
        dynamic_typing=True,
    )
    if limits:
        low, high = limits
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(low), to_value=float(high))
        ]
    return descriptor


def _constraints(about) -> str:
    choices, live = about.metadata["choices"], about.metadata["live"]
    parts = [f"one of: {', '.join(choices)}"] if choices else []
    if about.metadata["name"] == AT_THE_START:
        parts.append("read when the node starts")
    elif not live:
        parts.append("read-only while the node is configured")
    return "; ".join(parts)
