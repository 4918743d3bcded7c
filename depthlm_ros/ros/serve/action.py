# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The action ~/scan_grid: many pixels, with progress, partial clouds, and cancel.

Knows what a goal holds; queries.py and the worker do the rest. Scans give way to few pixels.
"""

import functools
import time
from math import nan

import numpy as np
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from sensor_msgs.msg import PointCloud2

from depthlm_ros.errors import Code, InputError, Problem
from depthlm_ros.ros.convert import cloud_message, fill_answers
from depthlm_ros.ros.serve.queries import DEEP, interfaces, pixels_of, remark
from depthlm_ros.ros.topic import STEADY
from depthlm_ros.scan import LARGEST_GRID, gathered
from depthlm_ros.worker.requests import GRID_STYLE, Grid, PixelRequest, Pixels

LOOK_S = 0.05  # how often a cancel is looked for
FEEDBACK_S = 0.25
RESULT_KEPT_S = 30  # for clients that ask late; the default of 15 minutes would fill the memory
LARGEST_PARTIAL = 50_000  # points; a larger cloud would hold the executor up
FEEDBACK_SHARE = 0.1  # of the executor's time, at most, for partial clouds


class ScanAction:
    """Serves the action for all cameras, several goals at a time."""

    def __init__(self, node, asking):
        self._node = node
        self._asking = asking
        _, action = interfaces()
        self._type = action.ScanGrid
        self._server = ActionServer(
            node,
            self._type,
            "~/scan_grid",
            self._execute,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
            result_timeout=RESULT_KEPT_S,
            goal_service_qos_profile=DEEP,
            result_service_qos_profile=DEEP,
            cancel_service_qos_profile=DEEP,
        )

    def destroy(self) -> None:
        """Take the action back; before the node is destroyed."""
        self._server.destroy()

    async def _execute(self, handle):
        result = self._type.Result(nearest=nan, median=nan, farthest=nan)
        await self._asking.carried_out(result, functools.partial(self._scan, handle))
        if handle.is_cancel_requested:
            handle.canceled()
        elif result.success:
            handle.succeed()
        else:
            handle.abort()
        return result

    async def _scan(self, handle, result, began):
        goal, asking = handle.request, self._asking
        source = await asking.covered(goal, asking.enclosed if goal.image.width else asking.newest)
        result.header = source.header
        frame, placed = await asking.placed(goal, source)
        pixels, style = self._pixels(goal)
        request = PixelRequest.many(source.camera, source.image, pixels, style, kind="scan")
        pending = asking.worker.submit(request)
        watch = _Watch(self._node, handle, pending, source.header, pixels, self._type.Feedback)
        try:
            answered = await asking.settled(pending, source)
        finally:
            watch.close()
        where = frame, placed(answered.ranges.points)
        shape = pixels.shape(answered.frame.camera)
        _fill(result, source.header, answered, shape, where)
        if handle.is_cancel_requested:
            text = f"cancelled after {pending.done} of {pending.total} pixels"
            return Problem(Code.CANCELLED, text)
        return remark(answered.ranges)

    def _pixels(self, goal):
        """(pixels, style) that a goal wants."""
        roi = goal.region
        region = (roi.x_offset, roi.y_offset, roi.width, roi.height)
        region = region if roi.width and roi.height else None
        if goal.columns or goal.rows:
            return Grid(goal.columns, goal.rows, region), GRID_STYLE
        if goal.u or goal.v:
            if len(goal.u) > LARGEST_GRID:
                raise InputError(
                    f"{len(goal.u)} pixels are listed, at most {LARGEST_GRID} are measured in one"
                    " goal: send several"
                )
            return Pixels(pixels_of(goal)), GRID_STYLE
        return self._asking.parameters.now.grid(self._asking.worker.predictor, region)


def _fill(result, header, answered, shape, where):
    fill_answers(result.answers, answered.ranges, *where)
    result.cloud = cloud_message(header, gathered(answered.ranges, answered.frame, *shape))
    known = answered.ranges.distance_m[np.isfinite(answered.ranges.distance_m)]
    result.answered = len(known)
    if len(known):
        result.nearest, result.farthest = float(known.min()), float(known.max())
        result.median = float(np.median(known))


class _Watch:
    """Looks after a scan under way: cancels it when asked to, and tells how far it is."""

    def __init__(self, node, handle, pending, header, pixels, feedback):
        self._node, self._handle, self._pending = node, handle, pending
        self._header, self._pixels = header, pixels
        self._began = time.monotonic()
        self._told, self._again = 0, 0.0
        self._feedback = feedback
        self._timer = node.create_timer(LOOK_S, self._look, clock=STEADY)

    def close(self) -> None:
        """Look no more."""
        self._node.destroy_timer(self._timer)

    def _look(self):
        if self._handle.is_cancel_requested:
            self._pending.cancel()
        elif self._pending.done > self._told and time.monotonic() >= self._again:
            self._tell()

    def _tell(self):
        began, done, total = time.monotonic(), self._pending.done, self._pending.total
        cloud = self._partial() if total <= LARGEST_PARTIAL else PointCloud2()
        left = (began - self._began) / done * (total - done)
        self._handle.publish_feedback(
            self._feedback(done=done, total=total, seconds_left=left, partial=cloud)
        )
        spent = time.monotonic() - began
        self._told, self._again = done, began + max(FEEDBACK_S, spent / FEEDBACK_SHARE)

    def _partial(self):
        answered = self._pending.snapshot()
        shape = self._pixels.shape(answered.frame.camera)
        return cloud_message(self._header, gathered(answered.ranges, answered.frame, *shape))
