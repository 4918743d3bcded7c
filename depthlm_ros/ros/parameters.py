# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The ROS parameters of the node: declared with description and range, changed only when safe.

What is allowed stands in settings.py. A bad value at the start does not stop the declaration: it
is kept as a problem until a good one is set, and checked() names all of them.

What the parameters of the node may be: one frozen Settings, every problem reported at once.

Knows what is allowed, not what it is used for, and nothing about ROS (parameters.py does).
"""

import re
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterException

from depthlm_ros.engines import CHECKS, ENGINES
from depthlm_ros.errors import InputError
from depthlm_ros.scan import LARGEST_GRID

LONGEST_NAME = 64  # characters of a camera's name; DDS allows topics of 255

_WORDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple: "a list of texts",
}


def _parameter(name, default, description, choices=(), limits=(), live=False, own=False):
    """live: it may change at any time; the others while the node is unconfigured. own: a camera
    may have its own."""
    about = {"name": name, "description": description, "choices": choices, "limits": limits}
    return field(default=default, metadata={**about, "live": live, "own": own})


@dataclass(frozen=True)
class Settings:
    """The parameters of the node; a dot in a parameter's name is an underscore here."""

    autostart: bool = _parameter(
        "autostart",
        True,
        "Whether the node configures and activates itself at its start; false: a lifecycle"
        " manager does",
    )
    checkpoint: str = _parameter(
        "checkpoint", "tiny", "The model: tiny (shipped), a checkpoint folder, or a published name"
    )
    row: str = _parameter(
        "row", "", "The published model whose ways a checkpoint folder without depthlm.json has"
    )
    engine: str = _parameter("engine", "local", "What runs the model", choices=ENGINES)
    style: str = _parameter(
        "style",
        "",
        "How to point at asked pixels: marker, coordinates, position; empty: the checkpoint's way",
    )
    grid_style: str = _parameter(
        "grid.style", "", "How to point at the pixels of a grid; empty: the checkpoint's way"
    )
    device: str = _parameter(
        "device",
        "auto",
        "Where the model runs: auto (the first GPU that works), cpu, cuda, cuda:1",
    )
    dtype: str = _parameter(
        "dtype", "auto", "Number format of the weights: auto, float32, bfloat16 or float16"
    )
    check: str = _parameter(
        "check",
        "auto",
        "Whether each answer is proved to be what the model would say by itself; auto: in marker"
        " style",
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
        "Whether the picture is rectified: then P of camera_info holds, else K and D",
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

    def __post_init__(self):
        for about in fields(self):
            object.__setattr__(self, about.name, natural(getattr(self, about.name), about.type))
        problems = [p for a in fields(self) for p in value_problems(a, getattr(self, a.name))]
        problems = problems or list(self._together())
        if problems:
            raise InputError("; ".join(problems))

    def _together(self):
        """What is wrong with values that are allowed one by one."""
        if self.grid_columns * self.grid_rows > LARGEST_GRID:
            yield (
                f"grid.columns x grid.rows is {self.grid_columns} x {self.grid_rows}, at most"
                f" {LARGEST_GRID} points are allowed"
            )
        bad = [name for name in self.cameras if not is_camera_name(name)]
        if bad or not self.cameras:
            shown = [name[: LONGEST_NAME + 1] for name in bad[:4]]
            yield (
                f"parameter cameras holds {shown or 'no name'}: name at least one camera, each"
                f" name a letter, then letters, digits and underscores, {LONGEST_NAME} at most"
            )
        counts = Counter(name[:LONGEST_NAME] for name in self.cameras)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            yield f"parameter cameras holds {', '.join(twice)} more than once"


class Own(NamedTuple):
    """A parameter that one camera has instead of all; as a field of Settings, and empty it holds
    what all have."""

    name: str
    type: type
    default: str
    metadata: dict


def own_parameters(camera) -> list:
    """What a camera may have of its own: left.input.rectified instead of input.rectified."""
    return [_own(camera, about) for about in fields(Settings) if about.metadata["own"]]


def _own(camera, about):
    name, text = (about.metadata[key] for key in ("name", "description"))
    told = {"name": f"{camera}.{name}", "description": f"{text}; empty: as {name}"}
    return Own(about.name, about.type, "", {**about.metadata, **told})


def is_camera_name(text) -> bool:
    """Whether topics can be named after a camera of this name."""
    return len(text) <= LONGEST_NAME and bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text))


def natural(value, kind):
    """rate: 2 is as good as 2.0 and columns: 32.0 as 32; everything else stays what it is."""
    if kind is float and type(value) is int:
        return float(value)
    if kind is int and type(value) is float and value.is_integer():
        return int(value)
    if kind is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    return value


def value_problems(about, value):
    """What is wrong with the value of one field of Settings or Own, in sentences."""
    if type(about) is Own and value == about.default:
        return
    name, choices, limits = (about.metadata[key] for key in ("name", "choices", "limits"))
    texts = type(value) is not tuple or all(type(v) is str for v in value)
    if type(value) is not about.type or not texts:
        yield f"parameter {name} is {value!r}, it must be {_WORDS[about.type]}"
    elif choices and value not in choices:
        yield f"parameter {name} is '{value}', allowed: {', '.join(choices)}"
    elif limits and not limits[0] <= value <= limits[1]:
        yield f"parameter {name} is {value:g}, allowed: {limits[0]} to {limits[1]}"


AT_THE_START = "autostart"  # nobody reads it later


class Parameters:
    """Declares all parameters on the node, also those that each of its cameras has of its own.

    now: the Settings that hold since the last checked(), with every change since.
    locked: why only the live parameters may change, set by the node; empty: all may.
    on_change() is called after now has changed.
    """

    def __init__(self, node, on_change=lambda: None):
        self.now = Settings()
        self.locked = ""
        self._node = node
        self._on_change = on_change
        self._problems = {}
        self._values = {}
        self._fields = {}  # name -> field of Settings, or Own
        for about in fields(Settings):
            self._declare(about)
        self._follow_cameras()
        node.add_on_set_parameters_callback(self._on_set)

    def checked(self) -> Settings:
        """The Settings that hold from now on; InputError names every problem."""
        if self._problems:
            raise InputError("; ".join(self._problems.values()))
        self.now = self._together(self._values)
        return self.now

    def of_camera(self, name) -> Settings:
        """now, with what this camera has of its own."""
        own = {about.name: self._values[about.metadata["name"]] for about in own_parameters(name)}
        return replace(self.now, **{key: value for key, value in own.items() if value != ""})

    def _together(self, values) -> Settings:
        shared = {a.name: values[name] for name, a in self._fields.items() if type(a) is not Own}
        return Settings(**shared)

    def _follow_cameras(self):
        """Declare what each camera may have of its own, and take back what another had."""
        cameras = () if "cameras" in self._problems else self._values["cameras"]
        wanted = [a for c in cameras if is_camera_name(c) for a in own_parameters(c)]
        names = {about.metadata["name"] for about in wanted}
        for name in [n for n, a in self._fields.items() if type(a) is Own and n not in names]:
            self._node.undeclare_parameter(name)
            for known in (self._fields, self._values, self._problems):
                known.pop(name, None)
        for about in wanted:
            if about.metadata["name"] not in self._fields:
                self._declare(about)

    def _declare(self, about):
        name = about.metadata["name"]
        self._fields[name] = about
        default = list(about.default) if about.type is tuple else about.default
        descriptor = _descriptor(name, about)
        try:
            value = self._node.declare_parameter(name, default, descriptor).value
            self._take(name, value)
        except ParameterException as error:  # out of its range, or not of its type
            self._node.declare_parameter(name, default, descriptor, ignore_override=True)
            self._take(name, default)
            self._problems[name] = f"parameter {name}: {error}"

    def _take(self, name, value):
        about = self._fields[name]
        self._values[name] = natural(value, about.type)
        problems = list(value_problems(about, self._values[name]))
        self._problems.pop(name, None)
        if problems:
            self._problems[name] = problems[0]

    def _on_set(self, parameters):
        ours = {p.name: p.value for p in parameters if p.name in self._fields}
        reason = "; ".join(self._refused(ours))
        if not reason and ours:
            reason = self._applied(ours)
        return SetParametersResult(successful=not reason, reason=reason)

    def _refused(self, values):
        for name, value in values.items():
            about = self._fields[name]
            if self.locked and not about.metadata["live"]:
                yield f"parameter {name} is read-only while the node is configured: {self.locked}"
            else:
                yield from value_problems(about, natural(value, about.type))

    def _applied(self, values) -> str:
        """Take the values, or say why they cannot stand together with the others."""
        if self.locked:
            try:
                self.now = self._together({**self._values, **values})
            except InputError as error:
                return str(error)
        for name, value in values.items():
            self._take(name, value)
        if self.locked:
            self._on_change()
        elif "cameras" in values:
            self._follow_cameras()
        return ""


def _descriptor(name, about):
    limits = about.metadata["limits"]
    descriptor = ParameterDescriptor(
        description=about.metadata["description"],
        additional_constraints=_constraints(name, about),
        read_only=name == AT_THE_START,
        # A number may come as 2 or as 2.0, what a camera has of its own as an empty text.
        dynamic_typing=bool(limits) or type(about) is Own,
    )
    if limits:
        low, high = limits
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(low), to_value=float(high))
        ]
    return descriptor


def _constraints(name, about) -> str:
    choices = about.metadata["choices"]
    parts = [f"one of: {', '.join(choices)}"] if choices else []
    if name != AT_THE_START and not about.metadata["live"]:
        parts.append("read-only while the node is configured")
    return "; ".join(parts)
