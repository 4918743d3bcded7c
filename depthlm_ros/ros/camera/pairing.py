# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Which camera_info holds for which picture.

Knows messages by their header and lens alone. One object a camera, asked by one thread.
"""

from collections import OrderedDict
from typing import NamedTuple

import numpy as np

PICTURES, INFOS = 4, 32  # most that wait for their partner; a picture is megabytes


class Pair(NamedTuple):
    """A picture's message, the CameraInfo that holds for it, and when the picture came
    (time.monotonic() seconds)."""

    image: object
    info: object
    arrived: float


class LatestPairing:
    """The newest picture with the newest camera_info: for intrinsics that stay what they are.

    newest: the Pair, None until there is one; the same object until something new holds.
    depths: of the queues of both topics.
    """

    depths = 1, 1

    def __init__(self):
        self.newest = self._image = self._info = None

    def put_image(self, image, arrived) -> None:
        """A picture came."""
        self._image = image, arrived
        self._pair()

    def put_info(self, info) -> None:
        """A camera_info came; one that says the same changes nothing."""
        if self._info is None or lens(info) != lens(self._info):
            self._info = info
            self._pair()

    def gap(self, image_topic, info_topic) -> str:
        """What keeps pictures and camera_info that both come from being a pair."""
        return ""

    def _pair(self):
        if self._image and self._info:
            self.newest = Pair(self._image[0], self._info, self._image[1])


class ExactPairing:
    """The newest picture whose camera_info has its very stamp: for intrinsics that change.

    newest: as above. A partner may come first or second; stamps may jump back.
    """

    depths = PICTURES, INFOS

    def __init__(self):
        self.newest = None
        self._images = OrderedDict()  # stamp -> (message, arrived)
        self._infos = OrderedDict()

    def put_image(self, image, arrived) -> None:
        """A picture came."""
        self._images[_stamp(image)] = image, arrived
        self._pair(_stamp(image))

    def put_info(self, info) -> None:
        """A camera_info came."""
        self._infos[_stamp(info)] = info
        self._pair(_stamp(info))

    def gap(self, image_topic, info_topic) -> str:
        """What keeps pictures and camera_info that both come from being a pair."""
        last = [next(reversed(waiting), None) for waiting in (self._images, self._infos)]
        return (
            f"no picture on {image_topic} has the stamp of a message on {info_topic} (the last:"
            f" {_seconds(last[0])} and {_seconds(last[1])})"
        )

    def _pair(self, stamp):
        if stamp in self._images and stamp in self._infos:
            image, arrived = self._images.pop(stamp)
            self.newest = Pair(image, self._infos.pop(stamp), arrived)
        for waiting, most in ((self._images, PICTURES), (self._infos, INFOS)):
            while len(waiting) > most:
                waiting.popitem(last=False)


PAIRINGS = {"latest": LatestPairing, "exact": ExactPairing}


def lens(info) -> tuple:
    """All of a CameraInfo but its header, comparable, NaN included."""
    numbers = [np.asarray(values).tobytes() for values in (info.k, info.d, info.p)]
    roi = info.roi
    region = (roi.x_offset, roi.y_offset, roi.width, roi.height)
    window = (info.width, info.height, info.binning_x, info.binning_y, *region)
    return (*numbers, info.distortion_model, *window)


def _stamp(message) -> tuple:
    return message.header.stamp.sec, message.header.stamp.nanosec


def _seconds(stamp) -> str:
    return "none" if stamp is None else f"{stamp[0]}.{stamp[1]:09d}"
