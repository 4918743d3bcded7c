# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Points of an image in the frame that a request names, by TF at the stamp of the image.

tf2_ros is not everywhere (it has no wheels): without it a frame other than the image's own is
refused by name. /tf is heard from the first request on that needs it, or from the start where the
parameter query.frame names a frame, since each of its many messages costs the node's thread time.
"""

import functools
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.task import Future
from rclpy.time import Time

from depthlm_ros.errors import Code, InputError
from depthlm_ros.msgs.transforms import points_by
from depthlm_ros.ros.topic import STEADY

LISTEN_S = 0.5  # from the first hearing of /tf until an image is chosen that it covers
WAIT_S = 0.5  # for a transform that comes later than the image of its stamp
LOOK_S = 0.05
REMEMBERED_S = 10.0  # tf2's default; it takes no transform that is so much older than its newest


def bare(frame: str) -> str:
    """The name of a TF frame without the slash before it that ROS 1 had, which tf2 refuses."""
    return frame.strip("/ ")


class Frames:
    """What TF knows. For the thread of the node's executor."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._buffer: Any = None
        self._listener: Any = None

    def listen(self) -> None:
        """Hear /tf and /tf_static from now on; InputError (NO_TRANSFORM) without tf2_ros."""
        if self._buffer is not None:
            return
        try:
            import tf2_ros
        except ImportError as error:
            raise InputError(
                f"points in another frame than the image's need tf2_ros, which is not installed"
                f" here ({error}): install ros-$ROS_DISTRO-tf2-ros-py and start the node again,"
                " or leave frame and the parameter query.frame empty",
                Code.NO_TRANSFORM,
            ) from error
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, self._node)

    def jumped_back(self, seconds: float) -> None:
        """The stamps of images have: forget what TF holds of a time to come, beside which it would
        take nothing of now."""
        if self._buffer is not None and seconds > REMEMBERED_S:
            self._buffer.clear()  # tf2 keeps the static ones

    async def heard(self, frame: str, image_frame: str) -> bool:
        """As listen() where the frame needs it; whether that had to begin now, in which case some
        time has passed and the image of before may be older than what TF knows."""
        if frame in ("", bare(image_frame)) or self._buffer is not None:
            return False
        self.listen()
        await self._pause(LISTEN_S)
        return True

    async def way(self, frame: str, header: Any) -> Callable[[np.ndarray], np.ndarray]:
        """A function: points (N, 3) of the frame of a header, at its stamp -> the same in another
        frame [m].

        InputError (NO_TRANSFORM) where TF does not lead there within WAIT_S.
        """
        own = bare(header.frame_id)
        if frame in (own, header.frame_id):
            return lambda points: points
        if not own:
            raise InputError(
                f"the image has no frame_id, so that TF does not lead from it to '{frame}': set it"
                " in the camera's driver",
                Code.NO_TRANSFORM,
            )
        self.listen()
        if header.stamp.sec < 0:
            raise InputError(
                f"the stamp of the image is {header.stamp.sec} s, and TF knows none before 0",
                Code.NO_TRANSFORM,
            )
        stamp, end = Time.from_msg(header.stamp), time.monotonic() + WAIT_S
        while True:
            try:
                found = self._buffer.lookup_transform(frame, own, stamp)
                return functools.partial(points_by, found.transform)
            except Exception as error:  # noqa: BLE001, tf2 has an exception for each reason
                if time.monotonic() > end:
                    raise InputError(
                        self._missing(frame, header, error), Code.NO_TRANSFORM
                    ) from None
            await self._pause(LOOK_S)

    def _missing(self, frame: str, header: Any, error: Exception) -> str:
        stamp = header.stamp
        known = re.findall(r"^'?([^\s:']+)'?:", self._buffer.all_frames_as_yaml(), re.MULTILINE)
        return (
            f"TF does not lead from '{header.frame_id}' to '{frame}' at the stamp of the image,"
            f" {stamp.sec}.{stamp.nanosec:09d} ({error}). Frames that have a parent in TF:"
            f" {', '.join(sorted(known)) or 'none'}"
        )

    def _pause(self, seconds: float) -> Future:
        """An awaitable that the executor finishes after some seconds."""
        future = Future(executor=self._node.executor)

        def over() -> None:
            self._node.destroy_timer(timer)
            future.set_result(None)

        timer = self._node.create_timer(seconds, over, clock=STEADY)
        return future
