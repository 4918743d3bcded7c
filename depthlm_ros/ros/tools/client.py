# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The other side of the services and the action: asks a running node, and hears its streams.

Knows nothing about models; what the node says is passed on.
"""

import os
import time

import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import RegionOfInterest

from depthlm_ros.errors import Code, EngineError
from depthlm_ros.ros.convert import duration_message
from depthlm_ros.ros.process import interrupt_after, start_ros, starting_ros
from depthlm_ros.ros.serve.queries import DEEP, interfaces

AGAIN_S = 0.5  # between two questions while the model is loading
PASSING = {Code.LOADING, Code.NO_IMAGE}  # what goes away by itself


class Client:
    """A node of its own that talks to the node `target`; a context manager.

    wait_s: for so many seconds a question is asked again while the model is loading or no image
    has come; waiting(response) is called each time. None: only while the model is loading, for the
    timeout of the question.
    """

    def __init__(self, target="/depthlm", wait_s=None, waiting=lambda response: None):
        self.target = target.rstrip("/")
        self._wait_s, self._waiting = wait_s, waiting
        self._context = rclpy.Context()
        start_ros(context=self._context)
        with starting_ros():
            self._node = rclpy.create_node(
                f"depthlm_client_{os.getpid()}", context=self._context, enable_rosout=False
            )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._clients, self._scans = {}, None
        self.srv, self.action = interfaces()
        self._distance = self._client(self.srv.QueryDistance, "query_distance")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._executor.shutdown()
        if self._scans is not None:
            self._scans.destroy()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    @property
    def found(self) -> bool:
        """Whether the node's service is there."""
        return self._distance.service_is_ready()

    def ask(self, pixels, timeout=10.0, camera="", max_age=0.0, frame=""):
        """The response about pixels (u, v) of the newest image, points in `frame`.

        Waits for the node and for the answer at most `timeout` seconds each; EngineError where
        none comes.
        """
        request = self.srv.QueryDistance.Request(camera=camera, frame=frame)
        request.max_age = duration_message(max_age)
        request.u, request.v = ([float(p[axis]) for p in pixels] for axis in (0, 1))
        return self._asked(self._distance, request, timeout)

    def ask_boxes(self, boxes, timeout=10.0, camera="", max_age=0.0, frame=""):
        """The response about boxes (left, top, width, height), as ask()."""
        request = self.srv.QueryRegions.Request(camera=camera, frame=frame)
        request.max_age = duration_message(max_age)
        for left, top, width, height in boxes:
            roi = RegionOfInterest(x_offset=left, y_offset=top, width=width, height=height)
            request.regions.append(roi)
        service = self._client(self.srv.QueryRegions, "query_regions")
        return self._asked(service, request, timeout)

    def scan(self, goal, progress=lambda done, total: None, timeout=10.0):
        """The result of a goal of ScanGrid; progress(done, total) as the node tells it.

        timeout: seconds without any sign of progress. Ctrl+C cancels the scan and returns what
        was measured until then. EngineError as in ask().
        """
        if self._scans is None:
            self._scans = self._introduced(timeout)
        return self._again(lambda: self._scanned(goal, progress, timeout), timeout)

    def call(self, kind, name, request, timeout=10.0):
        """The response of any service of the node, by its name there; EngineError without one."""
        service, end = self._client(kind, name), time.monotonic() + timeout
        if not service.wait_for_service(timeout_sec=timeout):
            raise EngineError(self._not_found(service.srv_name, timeout))
        return self._called(service, request, end)

    def listen(self, kind, topic, callback) -> None:
        """Call callback(message) for what comes on a topic of the node, while this one spins."""
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._node.create_subscription(kind, self._named(topic), callback, qos)

    def spin(self, seconds, until=lambda: False):
        """Hear messages for some seconds, or until() returns something true; returns that.

        Ctrl+C raises KeyboardInterrupt between two messages.
        """
        end = time.monotonic() + seconds
        with interrupt_after() as interrupted:
            while not (found := until() or interrupted()) and (left := end - time.monotonic()) > 0:
                self._executor.spin_once(timeout_sec=min(left, 0.1))
        return found

    def _named(self, name) -> str:
        return f"{self.target}/{name}"

    def _client(self, kind, name):
        if name not in self._clients:
            self._clients[name] = self._node.create_client(
                kind, self._named(name), qos_profile=DEEP
            )
        return self._clients[name]

    def _introduced(self, timeout):
        """A client of the action that the node has discovered.

        A server forgets a goal whose client it does not know yet, and a node learns of clients in
        the order in which they were made: it knows this one once it answers a later one.
        """
        action = ActionClient(self._node, self.action.ScanGrid, self._named("scan_grid"))
        try:
            if not action.wait_for_server(timeout):
                raise EngineError(self._not_found(self._named("scan_grid"), timeout))
            self.call(GetParameters, "get_parameters", GetParameters.Request(), timeout)
        except BaseException:
            action.destroy()
            raise
        return action

    def _asked(self, service, request, timeout):
        if not service.wait_for_service(timeout_sec=timeout):
            raise EngineError(self._not_found(service.srv_name, timeout))

        def ask():
            return self._called(service, request, time.monotonic() + timeout)

        return self._again(ask, timeout)

    def _again(self, ask, timeout):
        """What ask() returns, asked again for what goes away by itself."""
        passing = {Code.LOADING} if self._wait_s is None else PASSING
        end = time.monotonic() + (timeout if self._wait_s is None else self._wait_s)
        while True:
            answer = ask()
            if answer.code not in passing or time.monotonic() + AGAIN_S > end:
                return answer
            self._waiting(answer)
            self.spin(AGAIN_S)

    def _not_found(self, name, timeout) -> str:
        domain = os.environ.get("ROS_DOMAIN_ID", "0")
        return (
            f"no node answers {name} within {timeout:g} s (ROS_DOMAIN_ID {domain}); nodes of its"
            f" kind: {self._others()}. Start the node with depthlm_node or the launch file, or"
            " name it with --node"
        )

    def _others(self) -> str:
        kind, found = (
            "depthlm_interfaces/srv/QueryDistance",
            self._node.get_service_names_and_types(),
        )
        names = [n.rpartition("/")[0] for n, kinds in found if kind in kinds]
        return ", ".join(n for n in names if n != self.target) or "none"

    def _called(self, service, request, end):
        began = time.monotonic()
        future = service.call_async(request)
        # Not by spin_until_future_complete: in rclpy 7 each call of it makes the next one slower.
        if not self.spin(max(end - began, 0.1), future.done):
            service.remove_pending_request(future)
            raise self._silent(service.srv_name, end - began)
        return future.result()

    def _silent(self, name, seconds) -> EngineError:
        return EngineError(
            f"{name} did not answer within {seconds:.1f} s: allow more with --timeout, or look at"
            " the node's log",
            Code.TIMED_OUT,
        )

    def _scanned(self, goal, progress, timeout):
        """One attempt; what it waits for is the goal's acceptance, then each sign of progress."""
        feedbacks = [0]

        def on_feedback(message):
            feedbacks[0] += 1
            progress(message.feedback.done, message.feedback.total)

        def result_of(handle):
            return self._awaited(handle.get_result_async(), timeout, feedbacks).result

        accepted = self._scans.send_goal_async(goal, on_feedback)
        try:
            return result_of(self._awaited(accepted, timeout, feedbacks))
        except KeyboardInterrupt:  # also before it was accepted: the node must not work on
            handle = self._awaited(accepted, timeout, feedbacks)
            handle.cancel_goal_async()
            return result_of(handle)

    def _awaited(self, future, timeout, feedbacks):
        """The result of a future, for as long as there are signs of progress."""
        while not future.done():
            before = feedbacks[0]
            if not self.spin(timeout, lambda: future.done() or feedbacks[0] != before):  # noqa: B023
                raise self._silent(self._named("scan_grid"), timeout)
        return future.result()
