# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The action ~/scan_grid: many pixels, with progress, partial clouds, and cancel.

Knows what a goal holds; asking.py and the worker do the rest. Scans give way to few pixels.
"""

import functools
import time
from math import nan

import numpy as np
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from sensor_msgs.msg import PointCloud2

from depthlm_ros.ros.convert import cloud_message, fill_answers
from depthlm_ros.ros.serve.asking import interfaces, pixels_of
from depthlm_ros.ros.topic import STEADY
from depthlm_ros.scan import gathered, grid_pixels, start_scan

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
        goal = handle.request
        shape = self._shape(goal)
        source = self._asking.enclosed(goal) if goal.image.width else self._asking.newest(goal)
        result.header = source.header
        start = functools.partial(_start, goal, shape)
        pending = self._asking.worker.submit(source.frame_of, start, kind="scan")
        watch = _Watch(self._node, handle, pending, source.header, shape, self._type.Feedback)
        try:
            answered = await self._asking.answered(pending, source)
        finally:
            watch.close()
        _fill(result, source.header, answered, shape)
        if handle.is_cancel_requested:
            result.message = f"cancelled after {pending.done} of {pending.total} pixels"

    def _shape(self, goal):
        """(columns, rows) of the cloud; a list is one row."""
        if goal.columns or goal.rows:
            return goal.columns, goal.rows
        if goal.u or goal.v:
            return len(pixels_of(goal)), 1
        return self._asking.parameters.now.grid_columns, self._asking.parameters.now.grid_rows


def _start(goal, shape, predictor, frame):
    """The job of a goal about a frame."""
    if goal.u and not goal.columns and not goal.rows:
        return start_scan(predictor, frame, pixels_of(goal))
    roi = goal.region
    region = (roi.x_offset, roi.y_offset, roi.width, roi.height)
    whole = not roi.width or not roi.height
    pixels = grid_pixels(frame.camera, *shape, None if whole else region)
    return start_scan(predictor, frame, pixels)


def _fill(result, header, answered, shape):
    fill_answers(result.answers, answered.ranges)
    result.cloud = cloud_message(header, gathered(answered.ranges, answered.frame, *shape))
    known = answered.ranges.distance_m[np.isfinite(answered.ranges.distance_m)]
    result.answered = len(known)
    if len(known):
        result.nearest, result.farthest = float(known.min()), float(known.max())
        result.median = float(np.median(known))


class _Watch:
    """Looks after a scan under way: cancels it when asked to, and tells how far it is."""

    def __init__(self, node, handle, pending, header, shape, feedback):
        self._node, self._handle, self._pending = node, handle, pending
        self._header, self._shape = header, shape
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
        return cloud_message(self._header, gathered(answered.ranges, answered.frame, *self._shape))
