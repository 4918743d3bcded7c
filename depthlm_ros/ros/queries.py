# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""~/query_distance and ~/query_image: the services.

A request is checked here, answered by the worker, and awaited without blocking the executor.
Knows nothing about how a model is asked.
"""

import functools
import time
from math import inf

import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future

from depthlm_ros.errors import DepthLMError, EngineError, InputError, MissingDependency
from depthlm_ros.messages import frame_from
from depthlm_ros.ros.convert import duration_message, fill_answers


def service_types():
    """The classes (QueryDistance, QueryImage); MissingDependency where they are not built."""
    try:
        from depthlm_interfaces.srv import QueryDistance, QueryImage
    except ImportError as error:
        raise MissingDependency(
            f"depthlm_interfaces is not built ({error}), so there are no services: run `make"
            " setup`, or `colcon build --base-paths . depthlm_interfaces` in the repository, and"
            " source install/setup.bash"
        ) from error
    return QueryDistance, QueryImage


class Queries:
    """Serves both services for all cameras, in every state of the node: worker.problem says why
    one is refused."""

    def __init__(self, node, cameras, worker, parameters):
        self._node = node
        self._cameras = cameras
        self._worker = worker
        self._parameters = parameters
        query_distance, query_image = service_types()
        group = ReentrantCallbackGroup()  # several callers may wait at the same time
        for kind, name, callback in (
            (query_distance, "~/query_distance", self._on_distance),
            (query_image, "~/query_image", self._on_image),
        ):
            node.create_service(kind, name, callback, callback_group=group)

    async def _on_distance(self, request, response):
        return await self._carried_out(request, response, self._newest)

    async def _on_image(self, request, response):
        return await self._carried_out(request, response, self._enclosed)

    def _newest(self, request):
        """(header, frame_of, show) of the newest picture, as young as the request wants it."""
        port = self._cameras.named(request.camera)
        picture = port.inputs.newest(request.max_age.sec + request.max_age.nanosec / 1e9)
        return picture.header, lambda: picture.frame, port.outputs.show

    async def _carried_out(self, request, response, source):
        """The response: answers, or why there are none."""
        began = time.monotonic()
        try:
            if self._worker.problem:
                raise EngineError(self._worker.problem)
            pixels = self._pixels(request)
            response.header, frame_of, show = source(request)
            pending = self._worker.ask(frame_of, pixels, self._deadline(began))
            answered = await self._answered(pending, response.header, show)
            fill_answers(response.answers, answered.ranges)
            response.success = True
        except DepthLMError as error:
            response.message = str(error)
        response.latency = duration_message(time.monotonic() - began)
        return response

    def _enclosed(self, request):
        """(header, frame_of, show) of the picture in the request; its K and D hold."""
        image, info = request.image, request.camera_info
        shown = next(iter(self._cameras)).outputs.show
        return image.header, functools.partial(frame_from, image, info), shown

    def _pixels(self, request):
        """(N, 2) float64, N between 1 and query.max_pixels."""
        u, v, most = request.u, request.v, self._parameters.now.query_max_pixels
        if len(u) != len(v) or not u:
            raise InputError(
                f"u and v must have the same length and hold a pixel at least, got {len(u)} and"
                f" {len(v)}"
            )
        if len(u) > most:
            raise InputError(
                f"{len(u)} pixels were asked, at most {most} are allowed: ask in parts or raise"
                " the parameter query.max_pixels"
            )
        return np.stack([u, v], axis=1).astype(np.float64)

    def _deadline(self, began):
        return began + (self._parameters.now.query_timeout or inf)

    async def _answered(self, pending, header, show):
        """Answered by the worker; a picture or an engine that fails is told in the log too."""
        awaited = self._awaitable(pending.future)
        pending.future.add_done_callback(functools.partial(_show_answered, header, show))
        settled = await awaited
        try:
            return settled.result()
        except DepthLMError as error:
            self._node.tell_once(error)
            raise

    def _awaitable(self, future):
        """An rclpy Future of the concurrent future, once it is settled."""
        executor = self._node.executor
        awaitable = Future(executor=executor)

        def settle(settled):
            awaitable.set_result(settled)
            if self._node.context.ok():
                # Before rclpy 7.1.9 the executor sleeps on until other traffic comes.
                executor.wake()

        future.add_done_callback(settle)
        return awaitable


def _show_answered(header, show, settled):
    if settled.exception() is None:
        show(header, settled.result())
