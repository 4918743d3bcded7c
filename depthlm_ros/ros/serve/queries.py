# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""From a request that came to the response that leaves: the three services, and what they share
with the action and the detections.

A request is refused with a reason or answered by the worker, and awaited without blocking the
executor.
"""

import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.qos import QoSProfile
from rclpy.task import Future

from depthlm_ros.errors import Code, DepthLMError, InputError, MissingDependency, Problem
from depthlm_ros.msgs.fields import frame_from
from depthlm_ros.ranges import Ranges, Status
from depthlm_ros.regions import BoxRanges, box_pixels, box_ranges, box_sample_count
from depthlm_ros.ros.convert import duration_message, fill_answers, fill_box_answers
from depthlm_ros.ros.serve.frames import bare
from depthlm_ros.view import Frame
from depthlm_ros.worker.requests import (
    Answered,
    Boxes,
    FrameSource,
    Pending,
    PixelRequest,
    Pixels,
    untraced,
)

# rclpy's own profile holds ten requests, and of more callers at once most would wait for ever.
DEEP = QoSProfile(depth=1000)
LONGEST = 1000  # characters of a message: what a request holds may be longer
TELL_S = 5.0  # the log tells one of all bad requests in so long


def interfaces():
    """The modules (srv, action) of depthlm_interfaces; MissingDependency if it is not built."""
    try:
        from depthlm_interfaces import action, srv
        from depthlm_interfaces.msg import ResultCode  # noqa: F401, the last one that was added
    except ImportError as error:
        raise MissingDependency(
            f"depthlm_interfaces is not built ({error}), so there are no services: run `make"
            " setup`, or `colcon build --base-paths . depthlm_interfaces` in the repository, and"
            " source install/setup.bash"
        ) from error
    return srv, action


@dataclass(frozen=True)
class Source:
    """An image to be asked about: the camera's name, its header, the image itself, and
    show(header, answered) for whoever watches."""

    camera: str
    header: Any
    image: FrameSource
    show: Callable[[Any, Answered], None]


@dataclass(frozen=True)
class EnclosedImage:
    """An image that came with a request, and its CameraInfo, whose K and D hold."""

    image: Any
    info: Any

    @property
    def frame(self) -> Frame:
        """Raises ImageError or CameraError."""
        return frame_from(self.image, self.info)


class Asking:
    """worker.problem says why a request is refused; that holds in every state of the node.

    open: requests that came and whose responses have not left.
    """

    def __init__(self, node, cameras, worker, parameters, frames):
        self.node = node
        self.worker = worker
        self.parameters = parameters
        self.frames = frames
        self.open = 0
        self._cameras = cameras
        self._told = -inf

    def newest(self, request) -> Source:
        """The newest image of request.camera, as young as request.max_age wants it."""
        port = self._cameras.named(request.camera)
        newest = port.inputs.newest(_seconds(request.max_age))
        return Source(port.name, newest.header, newest, port.outputs.show)

    def enclosed(self, request) -> Source:
        """The image in the request."""
        image, shown = request.image, next(iter(self._cameras)).outputs.show
        return Source("", image.header, EnclosedImage(image, request.camera_info), shown)

    async def covered(self, request, source_of: Callable[[Any], Source]) -> Source:
        """source_of(request), where it needs TF once /tf has been heard for a while."""
        source = source_of(request)
        if await self.frames.heard(self.frame_of(request), source.header.frame_id):
            return source_of(request)
        return source

    def check_count(self, pixels: int) -> None:
        """InputError if these are more pixels than one request may ask."""
        most = self.parameters.now.query_max_pixels
        if pixels > most:
            raise InputError(
                f"{pixels} pixels were asked, at most {most} are allowed per request: ask in parts"
                " or raise the parameter query.max_pixels"
            )

    def deadline(self, began: float) -> float:
        """Until when a request that began then (monotonic seconds) is answered."""
        return began + (self.parameters.now.query_timeout or inf)

    async def carried_out(self, response, ask: Callable[[Any, float], Awaitable[Problem | None]]):
        """The response, filled by `await ask(response, began)`, or with the reason why not.

        What ask() returns is said beside a success.
        """
        began = time.monotonic()
        self.open += 1
        try:
            problem = self.worker.problem
            if problem is None:
                problem = await ask(response, began)
                response.success = True
        except DepthLMError as error:
            problem = error.problem
        except Exception as error:  # noqa: BLE001, the caller would wait in vain
            self.node.tell_fault(error)
            problem = Problem(Code.INTERNAL, "the node met a fault of its own, see its log")
        finally:
            self.open -= 1
        if problem is not None:
            response.code, response.message = problem.code, _shortened(problem.text)
        response.latency = duration_message(time.monotonic() - began)
        return response

    async def answered(self, request: PixelRequest, source: Source) -> Answered:
        """What the worker answers; an image or an engine that fails is told in the log too."""
        return await self.settled(self.worker.submit(request), source)

    async def settled(self, pending: Pending, source: Source) -> Answered:
        """What a request already submitted ends with."""
        awaited = self._awaitable(pending.future)
        pending.future.add_done_callback(functools.partial(_show, source))
        outcome = await awaited
        if isinstance(outcome, DepthLMError):
            self._tell(outcome, source)
            raise untraced(outcome)
        return outcome

    async def placed(
        self, request, source: Source
    ) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
        """(frame, function from points (N, 3) of the image's own frame to those in it): the frame
        that the request, else the parameter, names, else the image's own.

        To be called before the question: an answer may take longer than TF remembers.
        """
        frame = self.frame_of(request) or source.header.frame_id
        return frame, await self.frames.way(frame, source.header)

    def frame_of(self, request) -> str:
        """The frame that a request wants its points in; empty: the image's own."""
        named = request.frame, self.parameters.now.query_frame
        return next(filter(None, map(bare, named)), "")

    def _tell(self, error, source):
        """Log it, but for a cancel; of what callers do wrong, each in another way, only one in
        TELL_S."""
        if error.code == Code.CANCELLED:
            return
        if not source.camera or error.code == Code.BAD_REQUEST:
            now = time.monotonic()
            if now - self._told < TELL_S:
                return
            self._told = now
        inputs = {port.name: port.inputs for port in self._cameras}.get(source.camera)
        self.node.tell_once(inputs.told(error) if inputs else error)

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


class Queries:
    """The services ~/query_distance, ~/query_image and ~/query_regions, for all cameras."""

    def __init__(self, node, asking):
        self._asking = asking
        srv, _ = interfaces()
        group = ReentrantCallbackGroup()  # several callers may wait at the same time
        for kind, name, fill in (
            (srv.QueryDistance, "~/query_distance", self._distance),
            (srv.QueryImage, "~/query_image", self._image),
            (srv.QueryRegions, "~/query_regions", self._regions),
        ):
            answer = functools.partial(self._answer, fill)
            node.create_service(kind, name, answer, qos_profile=DEEP, callback_group=group)

    async def _answer(self, fill, request, response):
        return await self._asking.carried_out(response, functools.partial(fill, request))

    async def _distance(self, request, response, began):
        return await self._pixels(request, self._asking.newest, response, began)

    async def _image(self, request, response, began):
        return await self._pixels(request, self._asking.enclosed, response, began)

    async def _pixels(self, request, source_of, response, began):
        asking, pixels = self._asking, pixels_of(request)
        asking.check_count(len(pixels))
        source = await asking.covered(request, source_of)
        response.header = source.header
        frame, placed = await asking.placed(request, source)
        answered = await asking.answered(
            PixelRequest(
                source.camera, source.image, Pixels(pixels), deadline=asking.deadline(began)
            ),
            source,
        )
        fill_answers(response.answers, answered.ranges, frame, placed(answered.ranges.points))
        return remark(answered.ranges)

    async def _regions(self, request, response, began):
        asking = self._asking
        boxes = [(r.x_offset, r.y_offset, r.width, r.height) for r in request.regions]
        source = await asking.covered(request, asking.newest)
        response.header = source.header
        frame, placed = await asking.placed(request, source)
        found = await measured_boxes(asking, source, boxes, request.samples, began)
        status = found.ranges.status
        fill_box_answers(response, found, frame, placed(found.ranges.points))
        if len(boxes) and np.isin(status, (Status.OUTSIDE, Status.INVALID)).all():
            raise InputError(
                f"none of the {len(boxes)} regions has a part on the image that the lens sees: a"
                " region is x_offset, y_offset, width and height in pixels of the image"
            )
        return remark(found.ranges)


async def measured_boxes(asking, source, boxes, samples, began) -> BoxRanges:
    """BoxRanges of boxes [(left, top, width, height)] of an image."""
    asking.check_count(len(boxes) * box_sample_count(samples))
    answered = await asking.answered(
        PixelRequest(
            source.camera,
            source.image,
            Boxes(tuple(boxes), samples),
            deadline=asking.deadline(began),
        ),
        source,
    )
    camera = answered.frame.camera
    return box_ranges(camera, box_pixels(camera, boxes, samples), answered.ranges)


def remark(ranges: Ranges) -> Problem | None:
    """What is to be said beside a success: that no pixel was reached in time."""
    late = int((ranges.status == Status.TIMED_OUT).sum())
    if not late or np.isfinite(ranges.distance_m).any():
        return None
    return Problem(
        Code.TIMED_OUT,
        f"nothing was measured within the time allowed, {late} of {len(ranges)} are TIMED_OUT: ask"
        " fewer pixels per request, lower grid.rate, or raise query.timeout",
    )


def pixels_of(request) -> np.ndarray:
    """(N, 2) float64 of the lists u and v of a request, N at least 1."""
    u, v = request.u, request.v
    if len(u) != len(v) or not u:
        raise InputError(
            f"u and v must have the same length and hold at least one pixel, got {len(u)} and"
            f" {len(v)}"
        )
    return np.stack([u, v], axis=1).astype(np.float64)


def _seconds(max_age) -> float:
    """Seconds of a Duration that is not negative; 0 means no limit."""
    if max_age.sec < 0:
        raise InputError(
            f"max_age is {max_age.sec + max_age.nanosec / 1e9:g} s, allowed: 0 (no limit) or more"
        )
    return max_age.sec + max_age.nanosec / 1e9


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 4] + " ..."


def _show(source, settled):
    if settled.exception() is None:
        source.show(source.header, settled.result())
