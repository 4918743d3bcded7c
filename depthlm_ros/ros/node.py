# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The node `depthlm`: puts settings, inputs, worker, services and outputs together.

Topics, services and parameters are described in README.md.
"""

import os
import sys
import time

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from depthlm_ros.decode import decoder
from depthlm_ros.errors import InputError, MissingDependency
from depthlm_ros.predict import load_predictor
from depthlm_ros.ros.inputs import Inputs
from depthlm_ros.ros.outputs import Outputs
from depthlm_ros.ros.queries import Queries
from depthlm_ros.ros.settings import declare
from depthlm_ros.ros.worker import Worker


class DepthLMNode(Node):
    """load: () -> Predictor instead of what the parameters say. InputError for bad parameters."""

    def __init__(self, load=None, **node_options):
        super().__init__("depthlm", **node_options)
        self._told = None
        self._started = time.monotonic()
        settings = declare(self)
        self._settings = settings
        self._inputs = Inputs(self, settings)
        self._worker = Worker(load or self._load, self._on_change)
        self._outputs = Outputs(self, self._inputs, self._worker, settings)
        try:
            Queries(self, self._inputs, self._worker, self._outputs.show, settings)
        except MissingDependency as error:  # clouds do not need them
            self.get_logger().error(str(error))

    def tell_once(self, error) -> None:
        """Log a problem, but not again and again, nor while the node is ending."""
        if str(error) != self._told and self.context.ok():
            self._told = str(error)
            self.get_logger().error(self._told)

    def close(self) -> bool:
        """End the worker and destroy the node; False if the model cannot be stopped."""
        ended = self._worker.close()
        self.destroy_node()
        return ended

    def _load(self):
        decoder()  # what is missing is told now, and the first picture does not wait for it
        asked = self._settings
        return load_predictor(
            asked.checkpoint,
            asked.engine,
            asked.row,
            asked.style,
            asked.grid_style,
            device=asked.device,
            dtype=asked.dtype,
        )

    def _on_change(self, problem):
        what = f"checkpoint '{self._settings.checkpoint}', engine '{self._settings.engine}'"
        if problem:
            self.get_logger().error(f"{what}: {problem}")
        else:
            spent = time.monotonic() - self._started
            self.get_logger().info(f"ready after {spent:.1f} s: {what}")


def main(args=None) -> int:
    """Run the node until SIGINT or SIGTERM; the exit status is 0 then, 1 for bad parameters."""
    node = None
    try:
        rclpy.init(args=args)
        node = DepthLMNode()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except InputError as error:
        print(f"depthlm: {error}", file=sys.stderr)
        return 1
    finally:
        ended = node is None or node.close()
        rclpy.try_shutdown()
        if not ended:
            os._exit(0)  # a thread inside a library would crash while the interpreter ends
    return 0


if __name__ == "__main__":
    sys.exit(main())
