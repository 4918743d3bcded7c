# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The lifecycle of the node: transitions that answer at once and never end the process.

Knows nothing about models or topics: the node says what each step does.
"""

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from depthlm_ros.errors import Code, DepthLMError, Problem
from depthlm_ros.ros.compat import (
    forget_lifecycle,
    lifecycle_state,
    wrap_change_state,
)
from depthlm_ros.ros.process import starting_ros

_DONE, _FAILED = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class ManagedNode(LifecycleNode):
    """A lifecycle node whose steps are configure(), activate(), deactivate() and cleanup().

    A subclass defines these four, standing(problem), which is told why nobody may ask now and
    what to type, and None once everybody may, and settled(), called after each transition. A step
    that raises fails: the reason is logged and told, and the node stays where it was.
    failure: why the last step failed, or empty.
    """

    def __init__(self, name, **node_options):
        with starting_ros():
            super().__init__(name, **node_options)
        self.failure = ""
        # A transition that is impossible now raises in there, which would end the executor.
        wrap_change_state(self, self._guarded)

    @property
    def state(self) -> str:
        """unconfigured, inactive, active or finalized, or the name of the transition under way."""
        return lifecycle_state(self)

    @property
    def namesakes(self) -> int:
        """Other nodes with the name of this one."""
        own = self.get_name(), self.get_namespace()
        return max(self.get_node_names_and_namespaces().count(own) - 1, 0)

    def command(self, transition) -> str:
        """What a user types for a transition of this node."""
        return f"`ros2 lifecycle set {self.get_fully_qualified_name()} {transition}`"

    def bring_up(self) -> bool:
        """Configure and activate; whether both succeeded."""
        done = self.trigger_configure() == _DONE and self.trigger_activate() == _DONE
        self.settled()
        return done

    def destroy_node(self) -> None:
        """Leave the graph; rclpy's state machine would hold the node in it."""
        super().destroy_node()
        forget_lifecycle(self)

    def on_configure(self, state):
        return self._tried(self.configure, "configure", self._inactive)

    def on_activate(self, state):
        return self._tried(self.activate, "activate", None)

    def on_deactivate(self, state):
        return self._tried(self.deactivate, "deactivate", self._inactive)

    def on_cleanup(self, state):
        return self._tried(self.cleanup, "cleanup", self.unconfigured)

    def on_shutdown(self, state):
        ended = Problem(Code.SHUTTING_DOWN, "the node was shut down: start it again")
        self.standing(ended)
        if state.label == "active":
            self._tried(self.deactivate, "deactivate", ended)
        if state.label != "unconfigured":
            self._tried(self.cleanup, "cleanup", ended)
        return _DONE

    @property
    def unconfigured(self) -> Problem:
        """Why a node that is not configured answers nothing."""
        return Problem(
            Code.UNCONFIGURED,
            f"the node is unconfigured: type {self.command('configure')}, then"
            f" {self.command('activate')}",
        )

    @property
    def _inactive(self) -> Problem:
        return Problem(Code.INACTIVE, f"the node is inactive: type {self.command('activate')}")

    def _tried(self, step, name, standing):
        """Take one step of the lifecycle; standing: why nobody may ask afterwards, or None."""
        try:
            step()
        except Exception as error:  # noqa: BLE001, rclpy would swallow it and finalize the node
            self._failed(name, error)
            return _FAILED
        self.failure = ""
        self.standing(standing)
        return _DONE

    def _failed(self, name, error):
        ours = isinstance(error, DepthLMError)
        reason = str(error) if ours else f"{type(error).__name__}: {error}"
        self.failure = f"{name} failed: {reason}"
        text = f"{self.failure}. Fix it, then type {self.command(name)}"
        self.get_logger().error(text)
        code = Code.UNCONFIGURED if name == "configure" else Code.INACTIVE
        self.standing(Problem(code, text))

    def _guarded(self, callback):
        def changed(request, response):
            try:
                response = callback(request, response)
            except Exception as error:  # noqa: BLE001, of rcl: no such transition from here
                wanted = request.transition.label or request.transition.id
                self.get_logger().warning(
                    f"transition {wanted} is not possible, the node is {self.state}: {error}"
                )
                response.success = False
            self.settled()
            return response

        return changed
