# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What rclpy does not promise and we need all the same, in one place.

Read in rclpy 7.1.5 (Jazzy) and 9.1 (Kilted). test/ros/test_compat.py names what has changed.
"""

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node

# How the RuntimeWarning begins that a service gives whose client is not discovered yet.
LOST_RESPONSE = "failed to send response"


def given_parameters(node: Node) -> dict[str, Any]:
    """Name -> value of all parameters that the command line and parameter files have for a
    node, also those that it does not declare."""
    return {name: given.value for name, given in node._parameter_overrides.items()}


def lifecycle_state(node: LifecycleNode) -> str:
    """unconfigured, inactive, active or finalized, or the name of the transition under way."""
    return node._state_machine.current_state[1]


def forget_lifecycle(node: LifecycleNode) -> None:
    """Let a destroyed node leave the graph, which its state machine would hold it in."""
    node._state_machine.destroy_when_not_in_use()


def wrap_change_state(node: LifecycleNode, wrap: Callable[[Callable[..., Any]], Any]) -> None:
    """Replace the callback of ~/change_state: an impossible transition raises out of rclpy's."""
    service = node._service_change_state
    service.callback = wrap(service.callback)


def wrap_responses(service: Any, wrap: Callable[[Callable[..., None]], Any]) -> None:
    """Replace how a service sends a response: send(response, header) of rclpy's Service."""
    service.send_response = wrap(service.send_response)
