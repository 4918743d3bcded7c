# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the services and the action have in common: a picture, a question, an honest end.

A request is refused with a reason or answered by the worker, and awaited without blocking the
executor. Knows nothing about what is asked.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np
from rclpy.task import Future

from depthlm_ros.errors import DepthLMError, EngineError, InputError, MissingDependency
from depthlm_ros.msgs.fields import frame_from
from depthlm_ros.ros.convert import duration_message
from depthlm_ros.worker.requests import as_ours, untraced


def interfaces():
    """The modules (srv, action) of depthlm_interfaces; MissingDependency if it is not built."""
    try:
        from depthlm_interfaces import action, srv
        from depthlm_interfaces.srv import QueryRegions  # noqa: F401, the last one that was added
    except ImportError as error:
        raise MissingDependency(
            f"depthlm_interfaces is not built ({error}), so there are no services: run `make"
            " setup`, or `colcon build --base-paths . depthlm_interfaces` in the repository, and"
            " source install/setup.bash"
        ) from error
    return srv, action


@dataclass(frozen=True)
class Source:
    """A picture to be asked about: its header, frame_of() -> Frame in the model's thread, and
    show(header, answered) for whoever watches."""

    header: object
    frame_of: Callable
    show: Callable


class Asking:
    """worker.problem says why a request is refused; that holds in every state of the node."""

    def __init__(self, node, cameras, worker, parameters):
        self.node = node
        self.worker = worker
        self.parameters = parameters
        self._cameras = cameras

    def newest(self, request) -> Source:
        """The newest picture of request.camera, as young as request.max_age wants it."""
        port = self._cameras.named(request.camera)
        picture = port.inputs.newest(request.max_age.sec + request.max_age.nanosec / 1e9)
        return Source(picture.header, lambda: picture.frame, port.outputs.show)

    def enclosed(self, request) -> Source:
        """The picture in the request; its K and D hold."""
        image, info = request.image, request.camera_info
        shown = next(iter(self._cameras)).outputs.show
        return Source(image.header, functools.partial(frame_from, image, info), shown)

    def check_count(self, pixels) -> None:
        """InputError if these are more pixels than one request may ask."""
        most = self.parameters.now.query_max_pixels
        if pixels > most:
            raise InputError(
                f"{pixels} pixels were asked, at most {most} are allowed: ask in parts or raise"
                " the parameter query.max_pixels"
            )

    def deadline(self, began) -> float:
        """Until when a request that began then (monotonic seconds) is answered."""
        return began + (self.parameters.now.query_timeout or inf)

    async def carried_out(self, response, ask):
        """The response, filled by `await ask(response, began)`, or with the reason why not."""
        began = time.monotonic()
        try:
            if self.worker.problem:
                raise EngineError(self.worker.problem)
            await ask(response, began)
            response.success = True
        except DepthLMError as error:
            response.message = str(error)
        except Exception as error:  # noqa: BLE001, the caller would wait in vain
            self.node.tell_fault(error)
            response.message = str(as_ours(error, "a fault of the node, see its log"))
        response.latency = duration_message(time.monotonic() - began)
        return response

    async def answered(self, pending, source):
        """Answered by the worker; a picture or an engine that fails is told in the log too."""
        awaited = self._awaitable(pending.future)
        pending.future.add_done_callback(functools.partial(_show, source))
        outcome = await awaited
        if isinstance(outcome, DepthLMError):
            self.node.tell_once(outcome)
            raise untraced(outcome)
        return outcome

    def _awaitable(self, future):
        """An rclpy Future of what the concurrent future holds, its result or its error.

        Of the value and not of the future: that one holds this one by its callback, and the two
        would keep the image of every question until the next full garbage collection.
        """
        executor = self.node.executor
        awaitable = Future(executor=executor)

        def settle(settled):
            awaitable.set_result(settled.exception() or settled.result())
            if self.node.context.ok():
                # Before rclpy 7.1.9 the executor sleeps on until other traffic comes.
                executor.wake()

        future.add_done_callback(settle)
        return awaitable


def pixels_of(request):
    """(N, 2) float64 of the lists u and v of a request, N at least 1."""
    u, v = request.u, request.v
    if len(u) != len(v) or not u:
        raise InputError(
            f"u and v must have the same length and hold a pixel at least, got {len(u)} and"
            f" {len(v)}"
        )
    return np.stack([u, v], axis=1).astype(np.float64)


def _show(source, settled):
    if settled.exception() is None:
        source.show(source.header, settled.result())
