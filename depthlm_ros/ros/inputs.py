# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a camera sends: the newest picture, its camera_info, and what to do while none comes.

Knows nothing about models or questions.
"""

import functools
import time

import numpy as np
from sensor_msgs.msg import CameraInfo, Image

from depthlm_ros.errors import CameraError, InputError
from depthlm_ros.messages import camera_from, frame_from, picture_size
from depthlm_ros.ros.dds import PROFILE
from depthlm_ros.ros.topic import STEADY, Topic

LOOK_S = 0.5  # how often the publishers are looked at
REMIND_S = 10.0  # how often a missing picture is reported
SILENT_S = 5.0  # a publisher without a message for so long is worth an advice


class Picture:
    """An Image message, the CameraInfo that holds for it, and when it came (monotonic seconds)."""

    def __init__(self, image, info, rectified, arrived):
        self.header = image.header
        self.arrived = arrived
        self._convert = functools.partial(frame_from, image, info, rectified)

    @functools.cached_property
    def frame(self):
        """The Frame, converted when first asked for; raises ImageError or CameraError."""
        return self._convert()


class Inputs:
    """Subscribes `image` and `camera_info` under a prefix and keeps the newest of each, from
    start() to stop().

    received, dropped: pictures that came, and those that another replaced before they were used.
    """

    def __init__(self, node, settings, prefix=""):
        self.received = self.dropped = 0
        self._node = node
        self._rectified = settings.input_rectified
        self._image = self._info = self._picture = self._timer = None
        self._arrived = self._started = time.monotonic()
        wish = settings.input_reliability
        self._images = Topic(node, Image, f"{prefix}image", self._on_image, wish)
        self._infos = Topic(node, CameraInfo, f"{prefix}camera_info", self._on_info, wish)

    def start(self) -> None:
        """Subscribe, and look after the publishers."""
        self._started = time.monotonic()
        self._images.start()
        self._infos.start()
        self._timer = self._node.create_timer(LOOK_S, self._look, clock=STEADY)

    def stop(self) -> None:
        """Unsubscribe and forget the pictures."""
        self._node.destroy_timer(self._timer)
        self._images.stop()
        self._infos.stop()
        self._image = self._info = self._picture = self._timer = None

    def newest(self, max_age_s=0.0) -> Picture:
        """The newest picture; InputError if there is none, or none younger than max_age_s > 0."""
        if self._image is None or self._info is None:
            raise InputError(self._missing())
        age = time.monotonic() - self._arrived
        if 0 < max_age_s < age:
            raise InputError(
                f"the newest picture on {self._images.resolved} came {age:.2f} s ago and at most"
                f" {max_age_s:.2f} s are allowed: is the camera still running?"
            )
        if self._picture is None:
            self._picture = Picture(self._image, self._info, self._rectified, self._arrived)
        return self._picture

    def _on_image(self, message):
        self.received += 1
        self.dropped += self._image is not None and self._picture is None
        self._image, self._arrived, self._picture = message, time.monotonic(), None

    def _on_info(self, message):
        if self._info is None or _lens(message) != _lens(self._info):
            self._info, self._picture = message, None
            self._check(message)

    def _check(self, info):
        """Complain about intrinsics when they come, once, and not only when somebody asks."""
        try:
            camera_from(info, *picture_size(info), self._rectified)
        except CameraError as error:
            self._node.get_logger().error(f"{self._infos.resolved} cannot be used: {error}")

    def _look(self):
        """Follow the publishers; explain a missing input, once they had time to be discovered."""
        self._images.follow()
        self._infos.follow()
        logger = self._node.get_logger()
        if self._image is not None and self._info is not None:
            counts = f"{self.received} pictures came, {self.dropped} were replaced unused"
            logger.debug(counts, throttle_duration_sec=REMIND_S)
        elif time.monotonic() - self._started > 2 * LOOK_S:
            logger.warning(self._missing(), throttle_duration_sec=REMIND_S)

    def _missing(self) -> str:
        """Which input is missing, and what to do about it."""
        topic = self._images if self._image is None else self._infos
        waiting = f"waiting for {topic.name} on {topic.resolved}"
        if not topic.publishers():
            others = ", ".join(topic.alternatives()) or "none"
            return (
                f"{waiting}, which nobody publishes; topics of its type: {others}. Remap it with"
                f" --ros-args -r {topic.name}:=TOPIC or the launch argument {topic.name}:=TOPIC"
            )
        if time.monotonic() - self._started < SILENT_S:
            return f"{waiting}, which is published: the first message has not come yet"
        return (
            f"{waiting}, which is published, but nothing comes. Large best-effort messages do not"
            " fit into the stock shared memory of Fast DDS: start the camera with"
            f" FASTRTPS_DEFAULT_PROFILES_FILE={PROFILE} (FASTDDS_DEFAULT_PROFILES_FILE from"
            " Kilted on), or let it publish reliably"
        )


def _lens(info) -> tuple:
    """All of a CameraInfo but its header, comparable, NaN included."""
    numbers = [np.asarray(values).tobytes() for values in (info.k, info.d, info.p)]
    return (*numbers, info.distortion_model, *_window(info))


def _window(info) -> tuple:
    roi = info.roi
    region = (roi.x_offset, roi.y_offset, roi.width, roi.height)
    return (info.width, info.height, info.binning_x, info.binning_y, *region)
