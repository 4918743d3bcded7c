# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The states of the node over its services: what each answers, and that no step ends it."""

import re
import threading
import weakref

import pytest

pytest.importorskip("rclpy")
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines import Reply
from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.errors import Code
from depthlm_ros.predict import AskingPredictor
from depthlm_ros.ros.node import DepthLMNode
from depthlm_ros.ros.publish.streams import Streams
from depthlm_ros.ros.topic import Topic

ROW = Checkpoint("fake", "", "none", 250.0, "marker", "marker", {"marker": "tags"})


class Managed:
    """A node in this process whose model loads when it may, and its lifecycle services."""

    def __init__(self, context, robot, **parameters):
        self.robot = robot
        self.may_load = threading.Event()
        self.engine_freed = threading.Event()
        overrides = [Parameter(n.replace("__", "."), value=v) for n, v in parameters.items()]
        self.node = DepthLMNode(self.load, context=context, parameter_overrides=overrides)
        robot.executor.add_node(self.node)
        self.changing = robot.node.create_client(ChangeState, "/depthlm/change_state")
        self._get = robot.node.create_client(GetState, "/depthlm/get_state")
        self._set = robot.node.create_client(SetParameters, "/depthlm/set_parameters")

    def load(self, progress):
        progress(0.25, "reading weights")
        assert self.may_load.wait(120)  # longer than any transition is waited for
        engine = ScriptedEngine()
        weakref.finalize(engine, self.engine_freed.set)
        return AskingPredictor(engine, ROW)

    def change(self, label):
        """Whether the transition succeeded; it answers while the model loads."""
        request = ChangeState.Request()
        request.transition.label = label
        return self.robot.call(self.changing, request).success

    @property
    def state(self):
        return self.robot.call(self._get, GetState.Request()).current_state.label

    def set(self, name, value):
        """'' if the parameter was set, else the reason."""
        message = Parameter(name, value=value).to_parameter_msg()
        (result,) = self.robot.call(self._set, SetParameters.Request(parameters=[message])).results
        return "" if result.successful else result.reason

    def refusal(self, code=None):
        """The message of a question that is refused, with this code."""
        response = self.robot.ask()
        assert not response.success
        assert response.code == code or code is None
        return response.message


@pytest.fixture
def manage(context, make_robot):
    """manage(parameter=value) -> Managed; a double underscore is a dot."""
    made = []

    def start(**parameters):
        made.append(Managed(context, make_robot(), **{"autostart": False, **parameters}))
        return made[-1]

    yield start
    for managed in made:
        managed.may_load.set()
        assert managed.node.close()


def test_each_state_answers_with_the_command_to_type_and_an_active_node_with_its_progress(manage):
    managed = manage()
    assert managed.state == "unconfigured"
    refusal = managed.refusal(Code.UNCONFIGURED)
    assert "`ros2 lifecycle set /depthlm configure`" in refusal
    assert managed.change("configure") and managed.state == "inactive"
    assert "`ros2 lifecycle set /depthlm activate`" in managed.refusal(Code.INACTIVE)
    assert managed.change("activate") and managed.state == "active"
    refusal = managed.refusal(Code.LOADING)
    assert "25%" in refusal and "reading weights" in refusal
    managed.may_load.set()
    assert managed.robot.show().success
    assert managed.change("deactivate") and managed.state == "inactive"
    managed.refusal(Code.INACTIVE)


def test_a_parameter_that_is_not_there_is_refused_by_name_with_its_nearest_neighbour(manage):
    managed = manage()
    refusal = managed.set("gird.rate", 1.0)
    assert re.search(r"gird\.rate.*\bgrid\.rate", refusal)
    assert "zebra" in managed.set("zebra", 1)
    assert managed.set("grid.rate", 1.0) == ""


def test_cleanup_frees_the_model_and_the_node_can_be_configured_again(manage):
    managed = manage(autostart=True)
    managed.may_load.set()
    assert managed.robot.show().success
    assert managed.change("deactivate") and managed.change("cleanup")
    assert managed.engine_freed.wait(5)
    managed.robot.wait(lambda: managed.robot.node.count_publishers("/depthlm/points") == 0)
    assert managed.change("configure") and managed.change("activate")
    assert managed.robot.show().success


def test_a_model_that_still_loads_holds_up_no_transition(manage):
    managed = manage()
    for label in ("configure", "activate", "deactivate", "cleanup", "configure", "activate"):
        assert managed.change(label), label
    managed.refusal(Code.LOADING)


def test_a_step_of_the_model_that_hangs_holds_up_no_transition(manage):
    managed = manage(autostart=True)
    managed.may_load.set()
    managed.robot.show()
    stepping, go_on = threading.Event(), threading.Event()

    def hang(batch):
        stepping.set()
        assert go_on.wait(120)  # longer than any transition is waited for
        return [Reply(1.0, "1.00 m")] * len(batch)

    managed.node._worker.predictor.engine.step = hang
    request = managed.robot.query_distance.Request(u=[100.0], v=[100.0])
    waiting = managed.robot.distance.call_async(request)
    managed.robot.wait(stepping.is_set)
    for label in ("deactivate", "cleanup", "configure", "activate"):
        assert managed.change(label), label
    managed.refusal(Code.LOADING)
    go_on.set()
    managed.robot.wait(waiting.done)
    assert not waiting.result().success
    assert managed.robot.show().success


def test_deactivation_answers_who_waits(manage):
    managed = manage(autostart=True)
    managed.may_load.set()
    managed.robot.show()
    engine = managed.node._worker.predictor.engine
    engine.seconds_per_question = 0.05
    request = managed.robot.query_distance.Request(u=[100.0] * 200, v=[100.0] * 200)
    waiting = managed.robot.distance.call_async(request)
    managed.robot.wait(lambda: managed.node._worker._open)
    assert managed.change("deactivate")
    managed.robot.wait(waiting.done)
    assert not waiting.result().success and waiting.result().code == Code.INACTIVE


def test_a_configuration_that_fails_says_all_reasons_and_can_be_mended(manage):
    managed = manage(grid__rate=500, grid__rows=0)
    assert not managed.change("configure") and managed.state == "unconfigured"
    message = managed.refusal(Code.UNCONFIGURED)
    assert "grid.rate" in message and "grid.rows" in message
    assert "`ros2 lifecycle set /depthlm configure`" in message
    assert managed.set("grid.rate", 2.0) == "" and managed.set("grid.rows", 24) == ""
    assert managed.change("configure") and managed.state == "inactive"


@pytest.mark.parametrize(
    "label, kind, method", [("configure", Streams, "__init__"), ("activate", Topic, "start")]
)
def test_a_step_that_raises_fails_with_its_reason_and_works_when_it_is_tried_again(
    manage, monkeypatch, label, kind, method
):
    managed = manage(cameras=["left", "right"])
    if label == "activate":
        assert managed.change("configure")
    state, whole, calls = managed.state, getattr(kind, method), []

    def broken(self, *arguments):
        calls.append(1)
        if len(calls) == 2:  # of the second camera, or of the second topic
            raise RuntimeError("no more handles")
        return whole(self, *arguments)

    monkeypatch.setattr(kind, method, broken)
    assert not managed.change(label) and managed.state == state
    assert re.search(rf"\b{label}\b.*RuntimeError: no more handles", managed.refusal())
    managed.robot.wait(lambda: managed.robot.node.count_subscribers("/left/image") == 0)
    assert managed.change(label) and managed.state != state


def test_a_transition_that_is_impossible_is_refused_and_the_node_lives_on(manage):
    """Asked by its number, as managers do, rclpy raises out of the executor; by name not."""
    managed = manage(autostart=True)
    assert not managed.change("configure")
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    assert not managed.robot.call(managed.changing, request).success
    assert managed.state == "active"


def test_a_node_that_is_shut_down_says_so(manage):
    managed = manage(autostart=True)
    managed.may_load.set()
    assert managed.robot.show().success
    assert managed.change("shutdown") and managed.state == "finalized"
    managed.refusal(Code.SHUTTING_DOWN)
    assert managed.engine_freed.wait(30)
    managed.robot.wait(lambda: managed.robot.node.count_subscribers("/image") == 0)


def test_the_model_is_fixed_while_the_node_is_configured_and_the_grid_is_not(manage):
    managed = manage(autostart=True)
    reason = managed.set("engine", "reference")
    assert "`ros2 lifecycle set /depthlm cleanup`" in reason
    assert managed.set("query.max_pixels", 2) == ""
    managed.may_load.set()
    managed.robot.show()
    refused = managed.robot.ask([9.0] * 3, [9.0] * 3)
    assert refused.code == Code.BAD_REQUEST and re.search(r"\b3\b.*\b2\b", refused.message)
    assert managed.set("grid.columns", 4096) == ""
    assert "1000000" in managed.set("grid.rows", 4096)
    assert managed.change("deactivate") and managed.change("cleanup")
    assert managed.set("engine", "reference") == ""
