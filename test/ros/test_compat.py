# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What ros/compat.py uses of rclpy without a promise: each test names one thing that a new
version may have changed."""

import inspect

import pytest

rclpy = pytest.importorskip("rclpy")
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import GetParameters
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter
from rclpy.service import Service

from depthlm_ros.ros import compat


@pytest.fixture
def node(context):
    made = LifecycleNode("compat", context=context, parameter_overrides=[Parameter("a", value=1)])
    yield made
    made.destroy_node()
    compat.forget_lifecycle(made)


def test_the_given_parameters_of_a_node_are_known_before_they_are_declared(node):
    assert compat.given_parameters(node)["a"] == 1


def test_the_state_of_a_lifecycle_node_has_a_name(node):
    assert compat.lifecycle_state(node) == "unconfigured"
    node.trigger_configure()
    assert compat.lifecycle_state(node) == "inactive"


def test_the_callback_that_changes_the_state_can_be_wrapped(node):
    seen = []

    def wrap(callback):
        def wrapped(request, response):
            seen.append(request.transition.label)
            return callback(request, response)

        return wrapped

    compat.wrap_change_state(node, wrap)
    request = ChangeState.Request(transition=Transition(label="configure"))
    service = next(s for s in node.services if s.srv_name.endswith("/change_state"))
    assert service.callback(request, ChangeState.Response()).success
    assert seen == ["configure"] and compat.lifecycle_state(node) == "inactive"


def test_a_destroyed_lifecycle_node_leaves_the_graph(context, robot):
    name = "compat_gone", "/"
    node = LifecycleNode(name[0], context=context)
    robot.wait(lambda: name in robot.node.get_node_names_and_namespaces())
    node.destroy_node()
    compat.forget_lifecycle(node)
    robot.wait(lambda: name not in robot.node.get_node_names_and_namespaces())


def test_responses_are_sent_by_a_method_of_the_service_that_can_be_wrapped(robot):
    sent = []
    service = robot.node.create_service(
        GetParameters, "compat_wrapped", lambda request, response: response
    )

    def wrap(send):
        def wrapped(response, header):
            sent.append(response)
            send(response, header)

        return wrapped

    compat.wrap_responses(service, wrap)
    client = robot.node.create_client(GetParameters, "compat_wrapped")
    robot.call(client, GetParameters.Request())
    assert len(sent) == 1
    assert list(inspect.signature(Service.send_response).parameters)[1:] == ["response", "header"]


def test_the_warning_of_a_response_that_nobody_hears_is_in_the_library():
    """It comes from C++ and cannot be provoked at will."""
    library = rclpy.impl.implementation_singleton.rclpy_implementation.__file__
    with open(library, "rb") as file:
        assert compat.LOST_RESPONSE.encode() in file.read()
