# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""~/query_distance and ~/query_image: the services.

A request is checked here, answered by the worker, and awaited without blocking the executor.
Knows nothing about how a model is asked.
"""

import functools
import time

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
    """Serves both services; show(header, answered) is called with what was answered."""

    def __init__(self, node, inputs, worker, show, settings):
        self._node = node
        self._inputs = inputs
        self._worker = worker
        self._show = show
        self._settings = settings
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
        return await self._carried_out(request, response, _enclosed)

    def _newest(self, request):
        """(header, frame_of) of the newest picture, as young as the request wants it."""
        if request.camera not in ("", self._settings.camera_name):
            raise InputError(
                f"there is no camera '{request.camera}' here: leave the name empty or give"
                f" '{self._settings.camera_name}' (parameter camera.name)"
            )
        picture = self._inputs.newest(request.max_age.sec + request.max_age.nanosec / 1e9)
        return picture.header, lambda: picture.frame

    async def _carried_out(self, request, response, source):
        """The response: answers, or why there are none."""
        began = time.monotonic()
        try:
            pixels = self._pixels(request)
            if self._worker.problem:
                raise EngineError(self._worker.problem)
            response.header, frame_of = source(request)
            answered = await self._answered(response.header, frame_of, pixels)
            fill_answers(response.answers, answered.ranges)
            response.success = True
        except DepthLMError as error:
            response.message = str(error)
        response.latency = duration_message(time.monotonic() - began)
        return response

    def _pixels(self, request):
        """(N, 2) float64, N between 1 and query.max_pixels."""
        u, v, most = request.u, request.v, self._settings.query_max_pixels
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

    async def _answered(self, header, frame_of, pixels):
        """Answered by the worker; a picture or an engine that fails is told in the log too."""
        future = self._worker.ask(frame_of, pixels)
        awaited = self._awaitable(future)
        future.add_done_callback(functools.partial(self._show_answered, header))
        settled = await awaited
        try:
            return settled.result()
        except DepthLMError as error:
            self._node.tell_once(error)
            raise

    def _show_answered(self, header, settled):
        if settled.exception() is None:
            self._show(header, settled.result())

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


def _enclosed(request):
    """(header, frame_of) of the picture in the request; its K and D hold."""
    image, info = request.image, request.camera_info
    return image.header, functools.partial(frame_from, image, info)
