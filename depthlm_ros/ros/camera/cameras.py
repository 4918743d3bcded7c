# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The cameras of the node: each has its inputs and its outputs, all share one worker."""

from depthlm_ros.errors import InputError
from depthlm_ros.ros.arguments import LONGEST_NAME
from depthlm_ros.ros.camera.inputs import Ahead, Inputs
from depthlm_ros.ros.publish.outputs import Outputs
from depthlm_ros.ros.settings import Settings


class CameraPort:
    """One camera: its name, its inputs, its outputs, and what its topics are called.

    Topics have its name before them (left/image, ~/left/points); they are plain (image, ~/points)
    where no camera was named.
    """

    def __init__(self, node, name, is_named, worker, parameters):
        self.name = name
        self._prefix = f"{name}/" if is_named else ""
        settings = parameters.of_camera(name)
        self.inputs = Inputs(node, settings, self._prefix, Ahead(worker))
        self.outputs = Outputs(node, self, worker, parameters)

    def topic(self, stream) -> str:
        """The name of one of its outputs: ~/points or ~/left/points."""
        return f"~/{self._prefix}{stream}"


class Cameras:
    """The CameraPorts of a configured node, in the order of the parameter; before that, none."""

    def __init__(self):
        self._ports = {}

    def __iter__(self):
        return iter(self._ports.values())

    def open(self, node, worker, parameters) -> None:
        """Make a port for each camera that the parameters name; none if one cannot be made.

        InputError where a topic is remapped to one of another type.
        """
        names = parameters.now.cameras
        is_named = names != Settings().cameras
        try:
            for name in names:
                self._ports[name] = CameraPort(node, name, is_named, worker, parameters)
            self._check_types()
        except Exception:
            self.close()
            raise

    def _check_types(self) -> None:
        heard: dict = {}
        for topic in (topic for port in self for topic in port.inputs.topics):
            other = heard.setdefault(topic.resolved, topic)
            if other.type != topic.type:
                raise InputError(
                    f"{other.name} ({other.type}) and {topic.name} ({topic.type}) are both"
                    f" {topic.resolved}: remap each to a topic of its type"
                )

    def start(self) -> None:
        """Hear all cameras and produce their streams; none if one cannot be heard."""
        try:
            for port in self:
                port.inputs.start()
                port.outputs.start()
        except Exception:
            self.stop()
            raise

    def changed(self) -> None:
        """Produce the streams as the parameters say now."""
        for port in self:
            port.outputs.start()

    def stop(self) -> None:
        """Hear and produce nothing."""
        for port in self:
            port.inputs.stop()
            port.outputs.stop()

    def close(self) -> None:
        """Take all topics back."""
        for port in self:
            port.outputs.close()
        self._ports = {}

    def named(self, name) -> CameraPort:
        """The port of a name; of the only camera for ''. InputError names those there are."""
        if not name and len(self._ports) == 1:
            return next(iter(self))
        if name in self._ports:
            return self._ports[name]
        names = " or ".join(f"'{known}'" for known in self._ports)
        if not name:
            raise InputError(f"there are several cameras here, name one: {names}")
        shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."
        raise InputError(
            f"there is no camera '{shown}' here: give {names} (parameter cameras), or leave the"
            " name empty where there is only one"
        )
