# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The cameras of the node: each has its inputs and its streams, all share one worker.

Knows nothing about lenses (camera.py) or models.
"""

from depthlm_ros.errors import InputError
from depthlm_ros.ros.camera.inputs import Ahead, Inputs
from depthlm_ros.ros.publish.outputs import Outputs


class CameraPort:
    """One camera: its name, its inputs, its outputs, and what its topics are called.

    A node's only camera has plain topics (image, ~/points); of several each has its own name
    before (left/image, ~/left/points).
    """

    def __init__(self, node, name, alone, worker, parameters):
        self.name = name
        self._prefix = "" if alone else f"{name}/"
        ahead = Ahead(worker)
        self.inputs = Inputs(node, parameters.of_camera(name), self._prefix, ahead.replaced)
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
        """Make a port for each camera that the parameters name; none if one cannot be made."""
        names = parameters.now.cameras
        alone = len(names) == 1
        try:
            for name in names:
                self._ports[name] = CameraPort(node, name, alone, worker, parameters)
        except Exception:
            self.close()
            raise

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
        raise InputError(
            f"there is no camera '{name}' here: give {names} (parameter cameras), or leave the"
            " name empty where there is only one"
        )
