# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a camera sends: the newest picture, its camera_info, and what to do while none comes.

Knows nothing about models or questions.

Pictures are made ready before they are asked about, while nearly every one of them is.

To convert and resize a picture takes longer than all else that the node does for a question.
Nothing is done for pictures that are rarely asked about. Knows nothing about messages.
"""

import contextlib
import threading
import time
from collections import deque
from math import inf

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depthlm_ros.errors import CameraError, InputError
from depthlm_ros.msgs.fields import camera_from, frame_from, picture_size
from depthlm_ros.ros.camera.pairing import PAIRINGS, lens
from depthlm_ros.ros.dds import PROFILE
from depthlm_ros.ros.topic import STEADY, Topic
from depthlm_ros.view import SharedFrame
from depthlm_ros.worker.statistics import Rate

LAST, ENOUGH = 4, 3  # of the last four pictures three were asked about; half would hit the others


class Ahead:
    """Readies the pictures of one camera, one at a time, in a thread of their own."""

    def __init__(self, worker):
        self._worker = worker
        self._asked = deque(maxlen=LAST)
        self._thread = None

    def replaced(self, before, picture) -> None:
        """A Picture has come in the place of another, which says whether it was asked about."""
        self._asked.append(before.asked)
        predictor = self._worker.predictor
        if predictor is None or sum(self._asked) < ENOUGH or self._busy:
            return
        self._thread = threading.Thread(target=_ready, args=(predictor, picture), name="ahead")
        self._thread.start()

    @property
    def _busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()


def _ready(predictor, picture):
    with contextlib.suppress(Exception):  # whoever asks about the picture meets it and is told
        predictor.prepare(picture.frame)


LOOK_S = 0.5  # how often the publishers are looked at
REMIND_S = 10.0  # how often a missing picture is reported
SILENT_S = 5.0  # a publisher without a message for so long is worth an advice
_COMPRESSED = "/compressed"


class Picture:
    """A Pair of messages, converted when the first question needs it. asked: whether one did."""

    def __init__(self, pair, rectified):
        self.pair = pair
        self.header = pair.image.header
        self.asked = False
        self._rectified = rectified
        self._lock = threading.Lock()
        self._frame = None

    @property
    def frame(self) -> SharedFrame:
        """Converted when first wanted, by one thread; raises ImageError or CameraError."""
        with self._lock:
            if self._frame is None:
                self._frame = frame_from(*self.pair[:2], self._rectified, kind=SharedFrame)
            return self._frame


class Inputs:
    """Subscribes `image` and `camera_info` under a prefix and keeps the newest pair of them, from
    start() to stop().

    received, dropped: pictures that came, and those that another replaced before they were used.
    rate: Rate of the former. jumps: how often a stamp was earlier than the one before.
    on_replaced(before, picture) is called when a Picture has come in the place of another.
    """

    def __init__(self, node, settings, prefix="", on_replaced=lambda before, picture: None):
        self.received = self.dropped = self.jumps = 0
        self.rate = Rate()
        self._jumped = -inf
        self._node = node
        self._on_replaced = on_replaced
        self._own = prefix.replace("/", ".")  # left.input.compressed is left/image's alone
        self._rectified = settings.input_rectified
        self._new_pairing = PAIRINGS[settings.input_pairing]
        images, infos = self._new_pairing.depths
        wish = settings.input_reliability
        self._images = _image_topic(node, f"{prefix}image", settings, self._on_image, images)
        self._infos = Topic(node, CameraInfo, f"{prefix}camera_info", self._on_info, wish, infos)
        self._timer = None
        self._forget()

    def start(self) -> None:
        """Subscribe, and look after the publishers."""
        self._forget()
        self._images.start()
        self._infos.start()
        self._timer = self._node.create_timer(LOOK_S, self._look, clock=STEADY)

    def stop(self) -> None:
        """Unsubscribe and forget the pictures."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._timer = None
        self._images.stop()
        self._infos.stop()
        self._forget()

    def newest(self, max_age_s=0.0) -> Picture:
        """The newest picture; InputError if there is none, or none younger than max_age_s > 0."""
        if self._picture is None:
            raise InputError(self._missing())
        age = self.age_s
        if 0 < max_age_s < age:
            raise InputError(
                f"the newest picture on {self._images.resolved} came {age:.2f} s ago and at most"
                f" {max_age_s:.2f} s are allowed: is the camera still running?"
            )
        self._picture.asked = True
        return self._picture

    @property
    def topic(self) -> str:
        """The full name of the topic of pictures."""
        return self._images.resolved

    @property
    def age_s(self) -> float:
        """Seconds since the newest usable picture came; inf if there is none."""
        return inf if self._picture is None else time.monotonic() - self._picture.pair.arrived

    @property
    def jumped(self) -> bool:
        """Whether a stamp jumped back within the last REMIND_S seconds."""
        return time.monotonic() - self._jumped < REMIND_S

    @property
    def problem(self) -> str:
        """Why its pictures cannot be asked about now, or hardly; empty if they can."""
        if self._picture is None:
            return self._missing()
        try:
            self._fitting(self._picture.pair)
        except CameraError as error:
            return f"{self._infos.resolved} cannot be used: {error}"
        if self.age_s > SILENT_S:
            return (
                f"the newest picture on {self._images.resolved} came {self.age_s:.0f} s ago: is"
                " the camera still running?"
            )
        return ""

    def _forget(self):
        self._pairing = self._new_pairing()
        self._picture = self._image = self._info = None
        self._started = time.monotonic()

    def _on_image(self, message):
        self.received += 1
        self.rate.count()
        if self._image is not None and _nanoseconds(message) < _nanoseconds(self._image):
            self.jumps += 1
            self._jumped = time.monotonic()
        self._image = message
        self._pairing.put_image(message, time.monotonic())
        self._take_newest()

    def _on_info(self, message):
        if self._info is None or lens(message) != lens(self._info):
            self._check(message, changed=self._info is not None)
        self._info = message
        self._pairing.put_info(message)
        self._take_newest()

    def _take_newest(self):
        before, pair = self._picture, self._pairing.newest
        if pair is None or (before and before.pair is pair):
            return
        self._picture = Picture(pair, self._rectified)
        if before and before.pair.image is not pair.image:
            self.dropped += not before.asked
            self._on_replaced(before, self._picture)

    def _check(self, info, changed):
        """Complain about intrinsics when they come, once, and not only when somebody asks."""
        if changed:
            self._node.get_logger().info(f"{self._infos.resolved} has changed: it holds from now")
        try:
            camera_from(info, *picture_size(info), self._rectified)
        except CameraError as error:
            self._node.get_logger().error(f"{self._infos.resolved} cannot be used: {error}")

    def _fitting(self, pair):
        """CameraError if the intrinsics are wrong, or not of a picture of this size."""
        image = pair.image
        raw = not isinstance(image, CompressedImage)  # else its size is known once it is decoded
        size = (image.width, image.height) if raw else picture_size(pair.info)
        camera_from(pair.info, *size, self._rectified)

    def _look(self):
        """Follow the publishers; explain a missing input, once they had time to be discovered."""
        self._images.follow()
        self._infos.follow()
        if self._picture is None and time.monotonic() - self._started > 2 * LOOK_S:
            logger = self._node.get_logger()
            logger.warning(self._missing(), throttle_duration_sec=REMIND_S)

    def _missing(self) -> str:
        """Which input is missing, and what to do about it."""
        if self._image is not None and self._info is not None:
            gap = self._pairing.gap(self._images.resolved, self._infos.resolved)
            advice = f"set {self._own}input.pairing to latest, or let the camera stamp both alike"
            return f"{gap}: {advice}"
        topic = self._images if self._image is None else self._infos
        waiting = f"waiting for {topic.name} on {topic.resolved}"
        if not topic.publishers():
            return f"{waiting}, which nobody publishes; {self._advice(topic)}"
        if topic.deaf:
            return (
                f"{waiting}, which is published with best effort, and a reliable subscriber hears"
                f" nothing of that: set {self._own}input.reliability to auto"
            )
        if time.monotonic() - self._started < SILENT_S:
            return f"{waiting}, which is published: the first message has not come yet"
        silent = f"{waiting}, which is published, but nothing comes"
        if topic is self._infos:
            return f"{silent}: is the camera calibrated, and what does its log say?"
        return (
            f"{silent}. Large best-effort messages do not fit into the stock shared memory of Fast"
            " DDS: start the camera with"
            f" FASTRTPS_DEFAULT_PROFILES_FILE={PROFILE} (FASTDDS_DEFAULT_PROFILES_FILE from"
            " Kilted on), or let it publish reliably"
        )

    def _advice(self, topic) -> str:
        """What to do about a topic that nobody publishes."""
        raw = topic.resolved.removesuffix(_COMPRESSED)
        twin = raw if raw != topic.resolved else raw + _COMPRESSED
        if self._node.count_publishers(twin):
            value = "false" if twin == raw else "true"
            return f"{twin} is published: set {self._own}input.compressed to {value}"
        others = ", ".join(topic.alternatives()) or "none"
        argument = f"{topic.name}:=TOPIC"
        if self._own:  # of several cameras; their camera_info lies beside the pictures
            argument = f"cameras:={self._own[:-1]}=IMAGE_TOPIC,..."
        return (
            f"topics of its type: {others}. Remap it with --ros-args -r {topic.name}:=TOPIC or the"
            f" launch argument {argument}"
        )


def _image_topic(node, name, settings, callback, depth):
    """The pictures; compressed ones lie beside the raw ones, as image_transport names them."""
    wish = settings.input_reliability
    if not settings.input_compressed:
        return Topic(node, Image, name, callback, wish, depth)
    resolved = node.resolve_topic_name(name).removesuffix(_COMPRESSED) + _COMPRESSED
    return Topic(node, CompressedImage, name, callback, wish, depth, resolved)


def _nanoseconds(message) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
