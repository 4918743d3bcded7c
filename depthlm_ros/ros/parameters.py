# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The ROS parameters of the node: declared with description and range, changed only when safe.

What is allowed stands in settings.py. A bad value at the start does not stop the declaration: it
is kept as a problem until a good one is set, and checked() names all of them.
"""

from dataclasses import fields

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterException

from depthlm_ros.errors import InputError
from depthlm_ros.ros.settings import Settings, natural, value_problems

AT_THE_START = "autostart"  # nobody reads it later


class Parameters:
    """Declares all parameters on the node.

    now: the Settings that hold since the last checked(), with every change since.
    locked: why only the live parameters may change, set by the node; empty: all may.
    on_change() is called after now has changed.
    """

    def __init__(self, node, on_change=lambda: None):
        self.now = Settings()
        self.locked = ""
        self._on_change = on_change
        self._problems = {}
        self._values = {}
        self._fields = {about.metadata["name"]: about for about in fields(Settings)}
        for name, about in self._fields.items():
            self._declare(node, name, about)
        node.add_on_set_parameters_callback(self._on_set)

    def checked(self) -> Settings:
        """The Settings that hold from now on; InputError names every problem."""
        if self._problems:
            raise InputError("; ".join(self._problems.values()))
        self.now = Settings(**self._values)
        return self.now

    def _declare(self, node, name, about):
        default = list(about.default) if about.type is tuple else about.default
        descriptor = _descriptor(name, about)
        try:
            value = node.declare_parameter(name, default, descriptor).value
            self._take(name, value)
        except ParameterException as error:  # out of its range, or not of its type
            node.declare_parameter(name, default, descriptor, ignore_override=True)
            self._take(name, default)
            self._problems[name] = f"parameter {name}: {error}"

    def _take(self, name, value):
        about = self._fields[name]
        self._values[about.name] = natural(value, about.type)
        problems = list(value_problems(about, self._values[about.name]))
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
            merged = {**self._values, **{self._fields[n].name: v for n, v in values.items()}}
            try:
                self.now = Settings(**merged)
            except InputError as error:
                return str(error)
        for name, value in values.items():
            self._take(name, value)
        if self.locked:
            self._on_change()
        return ""


def _descriptor(name, about):
    limits = about.metadata["limits"]
    descriptor = ParameterDescriptor(
        description=about.metadata["description"],
        additional_constraints=_constraints(name, about),
        read_only=name == AT_THE_START,
        dynamic_typing=bool(limits),  # a number may come as 2 or as 2.0
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
