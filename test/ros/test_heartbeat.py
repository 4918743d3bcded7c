# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The node's half of a bond: with bondpy where it is installed, and the seam where it is not."""

import sys
import types

import pytest

pytest.importorskip("rclpy")
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.parameter import Parameter
from std_msgs.msg import String

from depthlm_ros.errors import EngineError
from depthlm_ros.ros.node import DepthLMNode


class StandIn:
    """What heartbeat.py uses of bondpy's Bond; says on the topic what it was told."""

    def __init__(self, node, topic, bond_id, on_broken):
        self.node, self.on_broken = node, on_broken
        self.id = f"{node.get_namespace()} {topic} {bond_id}"
        self.pub = node.create_publisher(String, topic, 5)
        self.heartbeat_period = 1.0

    def start(self):
        self.sub = self.node.create_subscription(String, "unheard", lambda _: None, 5)
        self.timer = self.node.create_timer(self.heartbeat_period, lambda: self.say("alive"))

    def say(self, word):
        self.pub.publish(String(data=f"{self.id} {word}"))

    def set_broken_callback(self, on_broken):
        self.on_broken = on_broken

    def break_bond(self):
        self.say("dead")

    def shutdown(self):
        self.node.destroy_timer(self.timer)


def no_model(progress):
    raise EngineError("this test needs no model")


@pytest.fixture
def node(context, robot):
    """node(parameter=value) -> an unconfigured node without a model, and its manager."""
    made = []

    def make(**parameters):
        values = {"autostart": False, "bond_heartbeat_period": 0.05, **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        started = DepthLMNode(no_model, context=context, parameter_overrides=overrides)
        robot.executor.add_node(started)
        made.append(started)
        client = robot.node.create_client(ChangeState, "/depthlm/change_state")

        def change(label):
            request = ChangeState.Request(transition=Transition(label=label))
            return robot.call(client, request).success

        return started, change

    yield make
    for started in made:
        started.close()


@pytest.fixture
def bondpy(monkeypatch):
    """The stand-in in place of bondpy."""
    module = types.ModuleType("bondpy.bondpy")
    module.Bond = StandIn
    monkeypatch.setitem(sys.modules, "bondpy", types.ModuleType("bondpy"))
    monkeypatch.setitem(sys.modules, "bondpy.bondpy", module)


@pytest.fixture
def beats(robot):
    """The words on the topic bond, as they come."""
    words = []
    subscription = robot.node.create_subscription(
        String, "bond", lambda m: words.append(m.data), 50
    )
    yield words
    robot.node.destroy_subscription(subscription)


def test_an_active_node_beats_until_it_is_deactivated(bondpy, node, robot, beats):
    _, change = node()
    assert change("configure")
    assert robot.node.count_publishers("/bond") == 0
    assert change("activate")
    robot.wait(lambda: beats.count("/ bond depthlm alive") > 2)
    assert change("deactivate")
    robot.wait(lambda: "/ bond depthlm dead" in beats)
    robot.wait(lambda: robot.node.count_publishers("/bond") == 0)
    del beats[:]
    assert change("activate")
    robot.wait(lambda: "/ bond depthlm alive" in beats)


def test_a_node_that_ends_says_so(bondpy, node, robot, beats):
    started, change = node()
    assert change("configure") and change("activate")
    robot.wait(lambda: "/ bond depthlm alive" in beats)
    robot.executor.remove_node(started)
    started._heartbeat.end()
    robot.wait(lambda: "/ bond depthlm dead" in beats)


@pytest.mark.parametrize("parameters", [{"bond_heartbeat_period": 0.0}, {"autostart": True}])
def test_nobody_hears_heartbeats_who_does_not_want_them(bondpy, node, robot, parameters):
    started, change = node(**parameters)
    if not parameters.get("autostart"):
        assert change("configure") and change("activate")
    assert started.state == "active"
    assert started.count_publishers("/bond") == 0


def test_without_bondpy_the_node_activates_all_the_same(monkeypatch, node, robot):
    monkeypatch.setitem(sys.modules, "bondpy", None)
    started, change = node()
    assert change("configure") and change("activate") and started.state == "active"
    assert started.count_publishers("/bond") == 0


def test_a_manager_forms_a_bond_and_learns_of_its_end(node, robot):
    """With bondpy on both sides, as nav2_lifecycle_manager does with bondcpp on its own."""
    bond = pytest.importorskip("bondpy.bondpy", reason="bondpy is not installed")
    _, change = node()
    assert change("configure") and change("activate")
    broken = []
    manager = bond.Bond(robot.node, "bond", "depthlm", on_broken=lambda: broken.append(1))
    manager.heartbeat_timeout = 10.0
    formed = []
    manager.set_formed_callback(lambda: formed.append(1))
    manager.start()
    robot.wait(lambda: formed)
    assert not broken
    assert change("deactivate")
    robot.wait(lambda: broken)
    manager.shutdown()
