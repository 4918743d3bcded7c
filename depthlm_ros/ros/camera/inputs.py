# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a camera sends: its images with their camera_info, and why they cannot be used.

The newest image is kept, and converted when the first question needs it: to decode and resize an
image takes longer than all else that the node does for a question. While nearly every image is
asked about, the next one is made ready before its question comes; and now and then one is decoded
unasked, so that a stream that cannot be decoded is reported before somebody asks.
"""

import contextlib
import threading
import time
from collections import deque
from math import inf

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.errors import CameraError, Code, DepthLMError, InputError, Problem
from depthlm_ros.msgs.fields import camera_from, frame_from, image_size, sensor_camera
from depthlm_ros.msgs.pairing import Pair, Pairing, lens
from depthlm_ros.ros.dds import PROFILE
from depthlm_ros.ros.topic import STEADY, Topic
from depthlm_ros.view import SharedFrame
from depthlm_ros.worker.statistics import Rate

LOOK_S = 0.5  # how often the publishers are looked at
REMIND_S = 10.0  # how often a missing image is reported
SILENT_S = 5.0  # a publisher that sent nothing for so long gets a hint about the likely causes
PROBE_S = 5.0  # how often an image is decoded though nobody asks
LAST, ENOUGH = 4, 3  # of the last four images three were asked about; half would hit the others
REMEMBERED = 64  # images, for detections: two seconds of a camera at 30 Hz
REMEMBERED_BYTES = 256 * 2**20
NO_FRAME = (
    "the images have no frame_id, so that neither TF nor RViz nor a costmap can place what is"
    " answered: set it in the camera's driver"
)
_COMPRESSED, _COMPRESSED_TYPE = "/compressed", "sensor_msgs/msg/CompressedImage"


class CameraImage:
    """An image with its camera_info, converted when the first question needs it. Thread-safe.

    pair: the messages.
    header: of the image.
    asked: whether anybody asked about it.
    error: why it could not be converted; None while that has not failed.
    """

    def __init__(self, pair: Pair, rectified: bool) -> None:
        self.pair = pair
        self.header = pair.image.header
        self.asked = False
        self.error: Problem | None = None
        self._rectified = rectified
        self._lock = threading.Lock()
        self._frame: SharedFrame | None = None

    @property
    def frame(self) -> SharedFrame:
        """Converted when first needed, by one thread; raises ImageError or CameraError."""
        with self._lock:
            if self._frame is None:
                try:
                    image, info, _ = self.pair
                    self._frame = frame_from(image, info, self._rectified, kind=SharedFrame)
                except DepthLMError as error:
                    self.error = error.problem  # the error itself would hold the image
                    raise
            return self._frame

    @property
    def is_converted(self) -> bool:
        """Whether its conversion has succeeded or failed."""
        return self._frame is not None or self.error is not None

    @property
    def form(self) -> tuple:
        """What decides whether it can be decoded, but for its content."""
        image = self.pair.image
        if isinstance(image, CompressedImage):
            return (image.format,)
        return image.encoding, image.width, image.height, image.step


class Ahead:
    """Makes images of one camera ready, one at a time, in a thread of their own."""

    def __init__(self, worker) -> None:
        self._worker = worker
        self._asked: deque[bool] = deque(maxlen=LAST)
        self._thread: threading.Thread | None = None

    def replaced(self, before: CameraImage, image: CameraImage) -> None:
        """An image has come in the place of another, which says whether it was asked about."""
        self._asked.append(before.asked)
        predictor = self._worker.predictor
        if predictor is not None and sum(self._asked) >= ENOUGH:
            self._start(lambda: predictor.prepare(image.frame))

    @property
    def checkpoint(self) -> Checkpoint | None:
        """What answers; None while no model is there."""
        predictor = self._worker.predictor
        return None if predictor is None else predictor.checkpoint

    def probe(self, image: CameraImage) -> bool:
        """Convert an image; whether the thread was free to begin."""
        return self._start(lambda: image.frame)

    def _start(self, work) -> bool:
        if self._thread is not None and self._thread.is_alive():
            return False

        def run():
            with contextlib.suppress(Exception):  # whoever asks about it gets the same error
                work()

        self._thread = threading.Thread(target=run, name="ahead")
        self._thread.start()
        return True


class Inputs:
    """Subscribes `image` and `camera_info` under a prefix, from start() to stop().

    settings: of this camera.
    ahead: makes its images ready, and knows the checkpoint that answers.
    received: images that came.
    dropped: images that another one replaced before they were asked about.
    rate: Rate of those received.
    jumps: how often a stamp was earlier than the one before.
    remember_s: for how many seconds images are kept for at(); 0: only the newest is.
    """

    def __init__(self, node, settings, prefix: str, ahead: Ahead) -> None:
        self.received = self.dropped = self.jumps = 0
        self.rate = Rate()
        self.remember_s = 0.0
        self._jumped = self._reminded = self._changed = -inf
        self._refused = ""  # what was last told of intrinsics
        self._doubted: list[str] = []  # the doubts that were last told
        self._doubted_at = -inf
        self._node = node
        self._ahead = ahead
        self._own = prefix.replace("/", ".")  # left.input.compressed is left/image's alone
        self._rectified = settings.input_rectified
        self._exact = settings.input_pairing == "exact"
        images, infos = Pairing(self._exact).depths
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
        """Unsubscribe and forget the images."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._timer = None
        self._images.stop()
        self._infos.stop()
        self._forget()

    def newest(self, max_age_s: float = 0.0) -> CameraImage:
        """The newest image; InputError if there is none, or none younger than max_age_s > 0."""
        self._take_settled()
        if self._newest is None:
            raise InputError(self._missing(), Code.NO_IMAGE)
        age = self.age_s
        if 0 < max_age_s < age:
            raise InputError(
                f"the newest image on {self._images.resolved} came {age:.2f} s ago and at most"
                f" {max_age_s:.2f} s are allowed: is the camera still running?",
                Code.STALE_IMAGE,
            )
        self._newest.asked = True
        return self._newest

    def at(self, stamp) -> CameraImage | None:
        """The image with this stamp (builtin_interfaces/Time), if it came within remember_s."""
        self._take_settled()
        newest = self._newest
        if newest is not None and newest.header.stamp == stamp:
            newest.asked = True
            return newest
        for pair in reversed(self._history):
            if pair.image.header.stamp == stamp:
                return CameraImage(pair, self._rectified)
        return None

    @property
    def span(self) -> str:
        """The stamps that at() knows, to be told."""
        stamps = [pair.image.header.stamp for pair in self._history]
        if not stamps:
            return "none"
        return " to ".join(f"{s.sec}.{s.nanosec:09d}" for s in (stamps[0], stamps[-1]))

    def told(self, error: DepthLMError) -> str:
        """An error for the log; one of an image names the topic, since cameras may share it."""
        of_image = error.code in (Code.BAD_IMAGE, Code.BAD_INTRINSICS)
        return f"{self._images.resolved}: {error}" if of_image else str(error)

    @property
    def topic(self) -> str:
        """The full name of the topic of images."""
        return self._images.resolved

    @property
    def topics(self) -> tuple[Topic, Topic]:
        """Those of images and of camera_info."""
        return self._images, self._infos

    @property
    def age_s(self) -> float:
        """Seconds since the newest usable image came; inf if there is none."""
        return inf if self._newest is None else time.monotonic() - self._newest.pair.arrived

    @property
    def jumped(self) -> bool:
        """Whether a stamp jumped back within the last REMIND_S seconds."""
        return time.monotonic() - self._jumped < REMIND_S

    @property
    def problem(self) -> Problem | None:
        """Why its images cannot be asked about now, or hardly; None if they can."""
        newest = self._newest
        if newest is None:
            return Problem(Code.NO_IMAGE, self._missing())
        try:
            self._fitting(newest.pair)
        except CameraError as error:
            return Problem(error.code, f"{self._infos.resolved} cannot be used: {error}")
        if bad := self._undecodable(newest):
            return Problem(bad.code, f"{self._images.resolved} cannot be used: {bad.text}")
        if self.age_s > SILENT_S:
            return Problem(
                Code.STALE_IMAGE,
                f"the newest image on {self._images.resolved} came {self.age_s:.0f} s ago: is"
                " the camera still running?",
            )
        return None

    @property
    def doubts(self) -> list[str]:
        """What makes answers about its images doubtful though they can be asked about; nothing
        while no model is there, whose checkpoint has a say in it."""
        checkpoint, newest = self._ahead.checkpoint, self._newest
        info = self._info if newest is None else newest.pair.info
        if checkpoint is None or info is None:
            return []
        nowhere = newest is not None and not newest.header.frame_id
        try:
            doubts = checkpoint.warnings(sensor_camera(info, self._rectified))
        except CameraError:
            return []  # which is a problem, and told as one
        return [*doubts, NO_FRAME] if nowhere else doubts

    def _forget(self):
        self._pairing = Pairing(self._exact)
        self._newest = self._image = self._info = self._probed = None
        self._probed_at = -inf
        self._history = deque(maxlen=REMEMBERED)
        self._started = time.monotonic()

    def _on_image(self, message):
        self.received += 1
        self.rate.count()
        if self._image is not None and _nanoseconds(message) < _nanoseconds(self._image):
            self.jumps += 1
            self._jumped = time.monotonic()
            self._node.jumped_back((_nanoseconds(self._image) - _nanoseconds(message)) / 1e9)
        self._image = message
        self._pairing.put_image(message, time.monotonic())
        self._take_settled()

    def _on_info(self, message):
        if self._info is None or lens(message) != lens(self._info):
            self._check(message)
        self._info = message
        self._pairing.put_info(message)
        self._take_settled()

    def _take_settled(self):
        """The images whose camera_info is certain by now take their place."""
        for pair in self._pairing.settled(time.monotonic()):
            before, self._newest = self._newest, CameraImage(pair, self._rectified)
            is_new = before is None or before.pair.image is not pair.image  # not only its lens
            self._remember(pair)
            if before is not None and is_new:
                self.dropped += not before.asked
                self._ahead.replaced(before, self._newest)

    def _remember(self, pair):
        history, oldest = self._history, time.monotonic() - self.remember_s
        history.append(pair)  # of two with one image at() finds the later one first
        size = sum(len(kept.image.data) for kept in history)
        while history and (history[0].arrived <= oldest or size > REMEMBERED_BYTES):
            size -= len(history.popleft().image.data)

    def _check(self, info):
        """Complain about intrinsics when they come, and not only when somebody asks; a lens that
        zooms is told of now and then."""
        now = time.monotonic()
        try:
            camera_from(info, *image_size(info), self._rectified)
        except CameraError as error:
            if str(error) != self._refused:
                self._refused = str(error)
                self._node.get_logger().error(f"{self._infos.resolved} cannot be used: {error}")
        else:
            if self._info is not None and now - self._changed > REMIND_S:
                self._changed = now
                self._node.get_logger().info(f"{self._infos.resolved} has changed")

    def _tell_doubts(self):
        """Once where intrinsics come or change; those of a lens that zooms now and then."""
        doubts, now = self.doubts, time.monotonic()
        if doubts == self._doubted or now - self._doubted_at < REMIND_S:
            return
        self._doubted = doubts
        for doubt in doubts:
            self._doubted_at = now
            self._node.get_logger().warning(f"{self._infos.resolved}: {doubt}")

    def _fitting(self, pair):
        """CameraError if the intrinsics are wrong, or not of an image of this size."""
        image = pair.image
        raw = not isinstance(image, CompressedImage)  # else its size is known once it is decoded
        size = (image.width, image.height) if raw else image_size(pair.info)
        camera_from(pair.info, *size, self._rectified)

    def _undecodable(self, newest) -> Problem | None:
        """Why images cannot be decoded, as the newest shows, or the last that was tried."""
        if newest.is_converted or self._probed is None:
            return newest.error
        return self._probed.error

    def _probe(self):
        """Decode the newest image where its form is new, the last one failed, or now and then."""
        newest, now = self._newest, time.monotonic()
        if newest is None or newest.is_converted:
            return
        last = self._probed
        is_known = last and last.form == newest.form and not last.error
        if is_known and now - self._probed_at < PROBE_S:
            return
        if self._ahead.probe(newest):
            self._probed, self._probed_at = newest, now

    def _look(self):
        """Follow the publishers; explain a missing input, once they had time to be discovered."""
        self._images.follow()
        self._infos.follow()
        self._take_settled()
        self._probe()
        self._tell_doubts()
        now = time.monotonic()
        missing = self._newest is None and now - self._started > 2 * LOOK_S
        if missing and now - self._reminded > REMIND_S:  # each camera for itself
            self._reminded = now
            self._node.get_logger().warning(self._missing())

    def _missing(self) -> str:
        """Which input is missing, and what to do about it."""
        if self._image is not None and self._info is not None and self._exact:
            gap = self._pairing.gap(self._images.resolved, self._infos.resolved)
            advice = f"set {self._own}input.pairing to latest, or let the camera stamp both alike"
            return f"{gap}: {advice}"
        topic = self._images if self._image is None else self._infos
        waiting = f"waiting for {topic.name} on {topic.resolved}"
        if self._image is not None and self._info is not None:
            return f"{waiting}: that of the first image may still come"
        if not topic.publishers() and topic.others:
            others = ", ".join(topic.others)
            return f"{waiting}, which carries {others} and no {topic.type}; {self._advice(topic)}"
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
        """What to do about a topic on which nobody publishes such messages."""
        if topic is self._images and _COMPRESSED_TYPE in topic.others:
            return f"set {self._own}input.compressed to true"
        raw = topic.resolved.removesuffix(_COMPRESSED)
        twin = raw if raw != topic.resolved else raw + _COMPRESSED
        if self._node.count_publishers(twin):
            value = "false" if twin == raw else "true"
            return f"{twin} is published: set {self._own}input.compressed to {value}"
        others = ", ".join(topic.alternatives()) or "none"
        argument = f"{topic.name}:=TOPIC"
        if self._own:  # of a named camera; its camera_info lies beside the images
            argument = f"cameras:={self._own[:-1]}=IMAGE_TOPIC,..."
        return (
            f"topics of its type: {others}. Remap it with --ros-args -r {topic.name}:=TOPIC or the"
            f" launch argument {argument}"
        )


def _image_topic(node, name, settings, callback, depth):
    """The images; compressed ones lie beside the raw ones, as image_transport names them."""
    wish = settings.input_reliability
    if not settings.input_compressed:
        return Topic(node, Image, name, callback, wish, depth)
    resolved = node.resolve_topic_name(name).removesuffix(_COMPRESSED) + _COMPRESSED
    return Topic(node, CompressedImage, name, callback, wish, depth, resolved)


def _nanoseconds(message) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
