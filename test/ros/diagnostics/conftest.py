# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A node in this process whose /diagnostics and ~/status are heard."""

import pytest

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.predict import AskingPredictor

try:
    import rclpy  # noqa: F401
except ImportError:
    pass  # then every module here skips itself and says so
else:
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
    from rclpy.parameter import Parameter
    from rclpy.qos import DurabilityPolicy, QoSProfile

    from depthlm_ros.ros.node import DepthLMNode
    from depthlm_ros.ros.publish import diagnostics

ROW = Checkpoint("fake", "", "none", 250.0, "marker", "marker", {"marker": "tags"})


class Watched:
    """A node in this process, a robot, and the newest of what the node says of itself."""

    def __init__(self, context, robot, engine, **parameters):
        self.robot, self.engine = robot, engine
        overrides = [Parameter(n.replace("__", "."), value=v) for n, v in parameters.items()]
        self.node = DepthLMNode(self.load, context=context, parameter_overrides=overrides)
        robot.executor.add_node(self.node)
        self.statuses, self.arrays = [], []
        robot.node.create_subscription(DiagnosticArray, "/diagnostics", self.arrays.append, 10)
        self.listen(self.statuses)

    def close(self):
        if self.node is not None:
            self.node.close()
        self.node = None

    def load(self, progress):
        engine = self.engine(progress) if callable(self.engine) else self.engine
        return AskingPredictor(engine, ROW)

    def listen(self, received):
        kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.robot.node.create_subscription(
            DiagnosticStatus, "/depthlm/status", received.append, kept
        )

    def has_reported(self, state, words):
        return any(
            words in status.message and KeyValue(key="state", value=state) in status.values
            for status in self.statuses
        )

    def reported(self, name, level, words=""):
        """Values of the first /diagnostics entry of this name with this level and these words."""

        def found():
            for status in (s for array in self.arrays for s in array.status):
                if (status.name, status.level) == (name, level) and words in status.message:
                    return {v.key: v.value for v in status.values}
            return None

        self.arrays.clear()
        try:
            return self.robot.wait(found)
        except AssertionError:
            said = {(s.name, s.level, s.message) for array in self.arrays for s in array.status}
            raise AssertionError(f"only: {said}") from None


@pytest.fixture
def watch(context, make_robot, monkeypatch):
    """watch(engine or (progress) -> engine, parameter=value) -> Watched; ten reports a second."""
    monkeypatch.setattr(diagnostics, "PERIOD_S", 0.1)
    made = []

    def start(engine=None, **parameters):
        made.append(Watched(context, make_robot(), engine or ScriptedEngine(), **parameters))
        return made[-1]

    yield start
    for watched in made:
        watched.close()
