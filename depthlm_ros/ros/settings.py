# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""ROS parameters -> one frozen Settings, every problem reported at once.

Knows what is allowed, not what it is used for. All are read-only: they are read at the start.
"""

from dataclasses import dataclass, field, fields

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException

from depthlm_ros.engines import ENGINES
from depthlm_ros.errors import InputError


def _parameter(name, default, description, choices=(), limits=()):
    about = {"name": name, "description": description, "choices": choices, "limits": limits}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Settings:
    """The parameters of the node; a dot in a parameter's name is an underscore here."""

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
        "device", "auto", "Where the model runs: auto (the GPU if there is one), cpu, cuda, cuda:1"
    )
    dtype: str = _parameter(
        "dtype", "auto", "Number format of the weights: auto, float32, bfloat16 or float16"
    )
    camera_name: str = _parameter(
        "camera.name", "camera", "What requests may call the camera; an empty name fits too"
    )
    input_reliability: str = _parameter(
        "input.reliability",
        "auto",
        "How to subscribe: auto follows the publishers (reliable if all of them are)",
        choices=("auto", "reliable", "best_effort"),
    )
    input_rectified: bool = _parameter(
        "input.rectified",
        False,
        "Whether the picture is rectified: then P of camera_info holds, else K and D",
    )
    grid_columns: int = _parameter(
        "grid.columns", 32, "Columns of the cloud on ~/points", limits=(1, 4096)
    )
    grid_rows: int = _parameter("grid.rows", 24, "Rows of that cloud", limits=(1, 4096))
    grid_rate: float = _parameter(
        "grid.rate", 0.5, "Clouds a second while somebody listens; 0: none", limits=(0, 60)
    )
    query_max_pixels: int = _parameter(
        "query.max_pixels", 10_000, "Most pixels that one request may ask", limits=(1, 1_000_000)
    )

    def __post_init__(self):
        for about in fields(self):
            object.__setattr__(self, about.name, _natural(getattr(self, about.name), about.type))
        problems = [p for a in fields(self) for p in _problems(a, getattr(self, a.name))]
        if problems:
            raise InputError("; ".join(problems))


def declare(node) -> Settings:
    """Declare all parameters on the node and read them; InputError names every problem."""
    values, problems = {}, []
    for about in fields(Settings):
        name = about.metadata["name"]
        try:
            parameter = node.declare_parameter(name, about.default, _descriptor(about))
            values[about.name] = parameter.value
        except ParameterException as error:  # out of its range, or not of its type
            problems.append(f"parameter {name}: {error}")
    try:
        settings = Settings(**values)
    except InputError as error:
        problems.append(str(error))
    if problems:
        raise InputError("; ".join(problems))
    return settings


def _natural(value, kind):
    """rate: 2 is as good as 2.0 and columns: 32.0 as 32; everything else stays what it is."""
    if kind is float and type(value) is int:
        return float(value)
    if kind is int and type(value) is float and value.is_integer():
        return int(value)
    return value


def _problems(about, value):
    name, choices, limits = (about.metadata[key] for key in ("name", "choices", "limits"))
    if type(value) is not about.type:
        words = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
        yield f"parameter {name} is {value!r}, it must be {words[about.type]}"
    elif choices and value not in choices:
        yield f"parameter {name} is '{value}', allowed: {', '.join(choices)}"
    elif limits and not limits[0] <= value <= limits[1]:
        yield f"parameter {name} is {value:g}, allowed: {limits[0]} to {limits[1]}"


def _descriptor(about):
    limits, choices = about.metadata["limits"], about.metadata["choices"]
    descriptor = ParameterDescriptor(
        description=about.metadata["description"],
        additional_constraints=f"one of: {', '.join(choices)}" if choices else "",
        read_only=True,
        dynamic_typing=bool(limits),  # a number may come as 2 or as 2.0
    )
    if limits:
        low, high = limits
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(low), to_value=float(high))
        ]
    return descriptor
