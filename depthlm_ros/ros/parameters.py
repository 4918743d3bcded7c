# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The ROS parameters of the node: declared with description and range, changed only when safe.

What is allowed stands in settings.py. A bad value at the start does not stop the declaration: it
is kept as a problem until a good one is set, and checked() names all of them.
"""

from dataclasses import fields, replace

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterException

from depthlm_ros.errors import InputError
from depthlm_ros.ros.settings import (
    Own,
    Settings,
    is_camera_name,
    natural,
    own_parameters,
    value_problems,
)

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
