# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Which camera_info holds for which image, of a running camera and of a recording alike.

The one with the image's own stamp, if there is one or one comes within WINDOW_S after the image:
a lens that zooms, or a size that changes, is described by that one alone. Else the newest, for
cameras that publish their intrinsics once or stamp them differently. Messages are known by their
header and their lens only; one object per camera, used by one thread at a time.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from math import inf
from typing import Any, NamedTuple

import numpy as np

from depthlm_ros.msgs.fields import image_size

WINDOW_S = 0.2  # both leave a driver together; a large image and a busy recorder part them
PATIENCE = 3  # images in a row without a camera_info of their own: the next ones do not wait
IMAGES, INFOS = 4, 32  # most that a running camera keeps waiting; an image is megabytes


class Pair(NamedTuple):
    """An image with the camera_info that holds for it.

    image: as it was put.
    info: a CameraInfo message.
    arrived: when the image came, in seconds of the caller's clock.
    """

    image: Any
    info: Any
    arrived: float


class _Waiting(NamedTuple):
    image: Any
    arrived: float
    newest: Any  # the CameraInfo that was the newest when it came


class Pairing:
    """Takes images and camera_info in any order, and gives the images back with theirs.

    exact: only a camera_info of the image's own stamp holds, whenever it comes.
    live: of a running camera, where what is new matters more than that nothing is missed: an
    image waits no longer than for a newer one, nor at all if the camera stamps differently; and
    a camera_info that changes holds for the newest image too.
    info: holds for images that come before the first camera_info.
    """

    def __init__(self, exact: bool = False, live: bool = True, info: Any = None) -> None:
        self.exact = exact
        self._live = live
        self._newest = info
        self._infos: OrderedDict = OrderedDict()  # stamp -> CameraInfo
        self._waiting: deque[_Waiting] = deque()
        self._missed = 0  # images in a row whose own camera_info did not come
        self._last: Pair | None = None
        self._renewed = False  # whether the last one has another camera_info now
        self._stamps: dict = {}  # of the last image and camera_info, to be told

    @property
    def depths(self) -> tuple[int, int]:
        """Of the queues of images and of camera_info that the rule needs."""
        return (IMAGES if self.exact else 1), INFOS

    def put_image(self, image: Any, arrived: float) -> None:
        """An image came, at `arrived` seconds."""
        self._stamps["image"] = _stamp(image)
        self._waiting.append(_Waiting(image, arrived, self._newest))

    def put_info(self, info: Any) -> None:
        """A camera_info came."""
        stamp = self._stamps["info"] = _stamp(info)
        self._infos[stamp] = info
        self._infos.move_to_end(stamp)
        while len(self._infos) > INFOS:
            self._infos.popitem(last=False)
        self._newest = info
        self._renew(info, stamp)

    def settled(self, now: float) -> Iterator[Pair]:
        """The images whose camera_info is certain at `now` seconds, in the order they came.

        Each is given once; of a live camera the last one again if another camera_info holds for
        it by now.
        """
        if self._renewed and self._last is not None:
            self._renewed = False
            yield self._last
        while self._waiting:
            first = self._waiting[0]
            info = self._infos.get(_stamp(first.image))
            if info is None and self._waits(first, now):
                return
            self._waiting.popleft()
            self._missed = 0 if info is not None else self._missed + 1
            info = info or self._substitute(first)
            if info is not None:
                self._last = Pair(first.image, info, first.arrived)
                yield self._last

    def gap(self, image_topic: str, info_topic: str) -> str:
        """What keeps images and camera_info that both come from being a pair."""
        image, info = (_seconds(self._stamps.get(name)) for name in ("image", "info"))
        return (
            f"no image on {image_topic} has the stamp of a message on {info_topic} (the last:"
            f" {image} and {info})"
        )

    def _waits(self, first: _Waiting, now: float) -> bool:
        """Whether the first of those that wait may still get its own camera_info."""
        if self._live and self._is_overtaken():
            return False
        if self.exact or (first.newest is None and self._newest is None):
            return now < inf
        impatient = self._live and self._missed >= PATIENCE
        return not impatient and now - first.arrived < WINDOW_S

    def _is_overtaken(self) -> bool:
        later = list(self._waiting)[1:]
        return len(later) >= IMAGES or any(_stamp(w.image) in self._infos for w in later)

    def _substitute(self, waited: _Waiting) -> Any:
        """The newest camera_info when the image came, unless only the one now has its size."""
        if self.exact:
            return None
        then, now = waited.newest or self._newest, self._newest
        size = getattr(waited.image, "width", None), getattr(waited.image, "height", None)
        fits = [size == image_size(info) for info in (then, now) if info is not None]
        return now if fits == [False, True] else then

    def _renew(self, info: Any, stamp: tuple) -> None:
        """A camera_info that came after its image, or that changes while no new image comes."""
        last = self._last
        if not self._live or last is None or info is last.info:
            return
        is_own = stamp == _stamp(last.image)
        if is_own:
            self._missed = 0
        had_own = _stamp(last.info) == _stamp(last.image)
        if (is_own or not (had_own or self.exact)) and lens(info) != lens(last.info):
            self._last, self._renewed = last._replace(info=info), True


def lens(info: Any) -> tuple:
    """All of a CameraInfo but its header, comparable, NaN included."""
    numbers = [np.asarray(values).tobytes() for values in (info.k, info.d, info.p)]
    roi = info.roi
    region = (roi.x_offset, roi.y_offset, roi.width, roi.height)
    window = (info.width, info.height, info.binning_x, info.binning_y, *region)
    return (*numbers, info.distortion_model, *window)


def _stamp(message: Any) -> tuple:
    return message.header.stamp.sec, message.header.stamp.nanosec


def _seconds(stamp: tuple | None) -> str:
    return "none" if stamp is None else f"{stamp[0]}.{stamp[1]:09d}"
