# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""How ROS gives the parameters of the node and changes them.

Parameters declares the fields of Settings on the node with description and range, takes what the
user typed in every form that ROS lets through, and changes only what is safe to change. Every
problem is kept until a good value comes, and checked() names all of them at once.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterException, ParameterNotDeclaredException
from rclpy.node import Node
from rclpy.parameter import Parameter

from depthlm_ros.errors import InputError
from depthlm_ros.ros.compat import given_parameters
from depthlm_ros.ros.settings import (
    Own,
    Settings,
    is_camera_name,
    natural,
    own_parameters,
    settings_problems,
    value_problem,
)

OVERRIDES = "qos_overrides."  # with what the names of ROS's own parameters of topics begin
AT_THE_START = "autostart"  # nobody reads it later


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
                yield unknown_parameter(name, known)

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
            unknown = "; ".join(unknown_parameter(name, self._fields) for name in names)
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
        changed = {n: v for n, v in ours.items() if self._changes(n, v) or n in self._problems}
        reason = "; ".join(self._refused(changed))
        if not reason and changed:
            reason = self._applied(changed)
        return SetParametersResult(successful=not reason, reason=reason)

    def _changes(self, name, value) -> bool:
        """Whether the value is another one; to Python 1 is true, and to a parameter it is not."""
        now = self._values[name]
        return type(value) is not type(now) or value != now

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


def unknown_parameter(name: str, known: Iterable[str]) -> str:
    """A sentence for a parameter that is none of those known."""
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
