# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The other side of the services: asks a running node, and hears its streams.

Knows nothing about models; what the node says is passed on.
"""

import os
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy

from depthlm_ros.errors import EngineError
from depthlm_ros.ros.convert import duration_message
from depthlm_ros.ros.model import is_loading
from depthlm_ros.ros.queries import service_types

AGAIN_S = 0.5  # between two questions while the model is loading


class Client:
    """A node of its own that talks to the node `target`; a context manager."""

    def __init__(self, target="/depthlm"):
        self.target = target.rstrip("/")
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node(
            f"depthlm_client_{os.getpid()}", context=self._context, enable_rosout=False
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._type, _ = service_types()
        self._service = self._node.create_client(self._type, f"{self.target}/query_distance")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    @property
    def found(self) -> bool:
        """Whether the node's service is there."""
        return self._service.service_is_ready()

    def ask(self, pixels, timeout=10.0, camera="", max_age=0.0):
        """The response about pixels (u, v) of the newest picture.

        Waits for the node and, while it says that the model is loading, asks again, at most
        `timeout` seconds. EngineError where no answer comes.
        """
        end = time.monotonic() + timeout
        self._find(timeout)
        request = self._type.Request(camera=camera, max_age=duration_message(max_age))
        request.u, request.v = ([float(p[axis]) for p in pixels] for axis in (0, 1))
        while True:
            response = self._called(request, end)
            if not is_loading(response.message) or time.monotonic() + AGAIN_S > end:
                return response
            self.spin(AGAIN_S)

    def listen(self, kind, topic) -> list:
        """A list that the messages on topic, relative to the node asked, are appended to."""
        heard = []
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._node.create_subscription(kind, f"{self.target}/{topic}", heard.append, qos)
        return heard

    def spin(self, seconds, until=lambda: False):
        """Hear messages for some seconds, or until() returns something true; returns that."""
        end = time.monotonic() + seconds
        while not (found := until()) and (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left, 0.1))
        return found

    def _find(self, timeout):
        if not self._service.wait_for_service(timeout_sec=timeout):
            domain = os.environ.get("ROS_DOMAIN_ID", "0")
            raise EngineError(
                f"no node answers {self._service.srv_name} within {timeout:g} s (ROS_DOMAIN_ID"
                f" {domain}); services of its type: {self._others()}. Start the node with"
                " depthlm_node or the launch file, or name it with --node"
            )

    def _others(self) -> str:
        kind, own = "depthlm_interfaces/srv/QueryDistance", self._service.srv_name
        found = self._node.get_service_names_and_types()
        return ", ".join(n for n, kinds in found if kind in kinds and n != own) or "none"

    def _called(self, request, end):
        began = time.monotonic()
        future = self._service.call_async(request)
        self._executor.spin_until_future_complete(future, max(end - began, 0.1))
        if not future.done():
            self._service.remove_pending_request(future)
            raise EngineError(
                f"{self._service.srv_name} did not answer within {end - began:.1f} s: allow more"
                " with --timeout, or look at the node's log"
            )
        return future.result()
