# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A rosbag2 recording of a robot as a DataSet: images, and what a depth camera or lidar measured.

A depth image in the image's own TF frame and shape is taken as registered: its z belongs to the
image's pixels. Any other one, and a PointCloud2, become points, which /tf and /tf_static bring to
the image's frame: at the time of the measurement up to a fixed frame, and from there at the time
of the image. Points within one sweep are not moved against each other. Needs no ROS.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import cv2
import numpy as np

from depthlm_ros.bags.reader import RawReader, info_beside
from depthlm_ros.bags.recording import COMPRESSED, IMAGE, INFO
from depthlm_ros.camera import Camera
from depthlm_ros.errors import CameraError, ImageError, InputError
from depthlm_ros.msgs.encodings import depth_array, holds_depth, image_array
from depthlm_ros.msgs.fields import camera_from, image_size, measured_points
from depthlm_ros.msgs.pairing import Pairing
from training.curate.geometry import NS, transformed
from training.curate.sample import Sample, Skip
from training.curate.tf_frames import TfFrames, TfSteps, plain

CLOUD, TF = "sensor_msgs/msg/PointCloud2", "tf2_msgs/msg/TFMessage"
TF_TOPICS = "/tf", "/tf_static"
HELD_OUT, GAP_S = 0.2, 1.0  # of the time, at the end; left out before it
SHAPES = 0.02  # by which width / height of a registered depth image may differ from the image's
THUMBNAIL = (48, 36)


@dataclass(frozen=True)
class Choices:
    """What a user may say about a recording.

    image, measured: topics; "" for the only one there is.
    info: of the images' camera_info, "" for the one beside them.
    rectified: the images are rectified, so that P of camera_info holds.
    fixed: the TF frame that stands still, "" for the uppermost.
    near_m, far_m: labels outside are dropped.
    apart_s: most time between an image and its measurement.
    every_s: least time between two images.
    still: two images that differ by less, in grey levels on average, show the same: the second is
    left out.
    """

    image: str = ""
    measured: str = ""
    info: str = ""
    rectified: bool = False
    fixed: str = ""
    near_m: float = 0.1
    far_m: float = 60.0
    apart_s: float = 0.05
    every_s: float = 0.25
    still: float = 2.0


class Message(NamedTuple):
    """Where a message lies in a recording. Times in nanoseconds."""

    recorded_ns: int
    stamp_ns: int


class Match(NamedTuple):
    """A measurement with the image nearest in time, None where none is near; the camera that
    holds for the image, None where there is none; and the nanoseconds between the two."""

    measured: Message
    image: Message | None
    camera: Camera | None
    gap_ns: int


@dataclass
class Contents:
    """What a pass over the recording finds: all but images, depth and clouds themselves."""

    images: list[Message] = field(default_factory=list)
    measured: list[Message] = field(default_factory=list)
    cameras: dict[int, Camera] = field(default_factory=dict)  # by an image's recorded_ns
    depth_camera: Camera | None = None
    frames: TfFrames = field(default_factory=TfFrames)
    unreadable: int = 0


class Bag:
    """See the module. Splits by time: "train", and "heldout", the last fifth.

    licence: the user's own matter.
    unreadable: messages that cannot be decoded, and are left out.
    Raises InputError.
    """

    name = "bag"
    licence = "Your own recording."
    splits: tuple[str, ...] = ("all", "train", "heldout")

    def __init__(self, root: Path, split: str = "all", choices: Choices | None = None):
        self.choices = choices or Choices()
        if self.choices.near_m >= self.choices.far_m:
            raise InputError(
                f"the nearest label is {self.choices.near_m:g} m and the farthest"
                f" {self.choices.far_m:g} m: give a --near below --far"
            )
        self.range_m = self.choices.near_m, self.choices.far_m
        self._path, self._split = Path(root), split
        reader = _reader(self._path)
        self.image_topic, self.measured_topic = _topics(reader, self.choices)
        self._found = self._indexed(reader)
        self.unreadable = self._found.unreadable

    def keys(self) -> Sequence[Match]:
        """A match for each measurement of the split, thinned. Reads the images of all that are
        left, once, to see which show something new."""
        found = self._found
        if not found.images:
            raise InputError(f"{self._path} has no image on {self.image_topic}")
        stamps = {message.stamp_ns for message in found.images}
        if len(stamps) < 2 <= len(found.images):
            raise InputError(
                f"{self._path}: all {len(found.images)} images on {self.image_topic} have the same"
                f" stamp ({stamps.pop() / NS:g} s), so that nothing can be matched to them; needed"
                " is the time at which each was taken"
            )
        matches = self._in_time(_matched(found, self.choices.apart_s))
        return list(self._new(_apart(matches, self.choices.every_s)))

    def read(self, key: Match) -> Sample:
        """Raises Skip."""
        if key.image is None:
            told = f"{self.measured_topic} at {key.measured.stamp_ns}: the nearest image is"
            gap = f"{key.gap_ns / NS:.3g} s away, and --apart is {self.choices.apart_s:g}"
            raise Skip("no image near in time", f"{told} {gap}")
        if key.camera is None:
            info = self.choices.info or info_beside(self.image_topic)
            told = (
                f"{self.image_topic} at {key.image.stamp_ns}: no calibrated camera_info on {info}"
            )
            raise Skip("no calibration", f"{told}, --info names another topic")
        message = self._message(self.image_topic, key.image)
        measured = self._message(self.measured_topic, key.measured)
        camera, image = key.camera, image_array(message)
        frames = plain(measured.header.frame_id), plain(message.header.frame_id)
        depth, points = self._measurement(key.measured, measured)
        is_same = frames[0] == frames[1]
        if depth is not None and not (is_same and self._is_registered(depth, camera)):
            points = self._points_of(depth)
            depth = None
        if points is not None:
            stamps_ns, fixed = (key.measured.stamp_ns, key.image.stamp_ns), self.choices.fixed
            moved = self._found.frames.between(*frames, *stamps_ns, plain(fixed))
            points = transformed(points, moved)
        name = f"{self._path.name}/{key.image.stamp_ns}"
        gap_s = (key.measured.stamp_ns - key.image.stamp_ns) / NS
        return Sample(name, self._path.name, image, camera, points, depth, time_gap_s=gap_s)

    def _measurement(
        self, where: Message, message: Any
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(a depth image (h, w), None) or (None, points (N, 3) of a cloud), in metres."""
        try:
            if _is_cloud(message):
                points = measured_points(message)
                return None, points[points.any(axis=1)]  # drivers of lidars fill up with zeros
            return depth_array(message), None
        except InputError as error:
            told = f"{self.measured_topic} at {where.stamp_ns}: {error}"
            raise Skip("broken measurement", told) from error

    def _indexed(self, reader: RawReader) -> Contents:
        """One pass over the messages that matter."""
        info = self.choices.info
        if info:
            infos = [topic for topic, about in reader.topics.items() if about.msgtype == INFO]
            reader.chosen(info, infos, "camera_info", "--info")
        info = info or _sibling(self.image_topic, reader)
        depth_info = _sibling(self.measured_topic, reader)
        wanted = {self.image_topic, self.measured_topic, info, depth_info, *TF_TOPICS}
        chosen = [c for c in reader.connections if c.topic in wanted]
        found, steps = Contents(), TfSteps()
        pairing = Pairing(live=False, info=reader.first_message(info))
        for connection, recorded_ns, raw in reader.messages(chosen):
            try:
                if connection.topic in TF_TOPICS and connection.msgtype == TF:
                    steps.add(reader.deserialize(raw, TF), connection.topic == "/tf_static")
                elif connection.msgtype == INFO:
                    message = reader.deserialize(raw, INFO)
                    if connection.topic == info:
                        pairing.put_info(message)
                    if connection.topic == depth_info and found.depth_camera is None:
                        found.depth_camera = _camera(message, self.choices.rectified)
                elif connection.topic == self.image_topic:
                    message = Message(recorded_ns, _stamp_ns(raw))
                    found.images.append(message)
                    pairing.put_image(_Seen(message), recorded_ns / NS)
                else:
                    found.measured.append(Message(recorded_ns, _stamp_ns(raw)))
            except InputError:
                found.unreadable += 1
            self._note(found, pairing.settled(recorded_ns / NS))
        self._note(found, pairing.settled(inf))
        found.frames = steps.frames()
        return found

    def _note(self, found: Contents, pairs: Iterator[Any]) -> None:
        for seen, info, _ in pairs:
            camera = _camera(info, self.choices.rectified)
            if camera is not None:
                found.cameras[seen.message.recorded_ns] = camera

    def _in_time(self, matches: list[Match]) -> list[Match]:
        stamps = [image.stamp_ns for image in self._found.images if image.stamp_ns]  # 0: unknown
        last = max(stamps, default=0)
        border = last - HELD_OUT * (last - min(stamps, default=0))
        if self._split == "train":
            return [m for m in matches if m.measured.stamp_ns < border - GAP_S * NS]
        if self._split == "heldout":
            return [m for m in matches if m.measured.stamp_ns >= border]
        return matches

    def _new(self, matches: list[Match]) -> Iterator[Match]:
        """Those whose image shows something new, and those that are skipped with a reason."""
        last = None
        for match in matches:
            if match.image is not None and self.choices.still > 0:
                try:
                    seen = _thumbnail(image_array(self._message(self.image_topic, match.image)))
                except (ImageError, Skip):
                    yield match
                    continue
                if last is not None and np.abs(seen - last).mean() < self.choices.still:
                    continue
                last = seen
            yield match

    def _message(self, topic: str, where: Message) -> Any:
        reader = _reader(self._path)
        chosen = [c for c in reader.connections if c.topic == topic]
        at = where.recorded_ns
        for connection, _, raw in reader.messages(chosen, at, at + 1):
            if _stamp_ns(raw) == where.stamp_ns:
                try:
                    return reader.deserialize(raw, connection.msgtype)
                except InputError as error:
                    raise Skip("broken message", f"{topic} recorded at {at}: {error}") from error
        raise Skip("broken message", f"{topic} recorded at {at} cannot be found again")

    def _is_registered(self, depth: np.ndarray, camera: Camera) -> bool:
        """Whether a depth image of the image's frame has its grid, as its camera_info says; where
        it has none, as its shape says."""
        height, width = depth.shape
        own = self._found.depth_camera
        if own is None or (own.width, own.height) != (width, height):
            return abs(width / height * camera.height / camera.width - 1) <= SHAPES
        scale = camera.width / width, camera.height / height
        lens = own.scaled(*scale, camera.width, camera.height)
        mine, its = ((c.fx, c.fy, c.cx, c.cy) for c in (camera, lens))
        return bool(np.allclose(mine, its, rtol=SHAPES, atol=max(scale)))

    def _points_of(self, depth: np.ndarray) -> np.ndarray:
        """(N, 3) in the frame of the depth camera."""
        camera = self._found.depth_camera
        if camera is None:
            raise Skip(
                "no calibration",
                f"{self.measured_topic} is not registered to the image and has no camera_info",
            )
        if (camera.height, camera.width) != depth.shape:
            raise Skip("no calibration", f"camera_info of {self.measured_topic}: another size")
        v, u = np.nonzero(np.isfinite(depth))
        rays = camera.rays(np.stack([u, v], axis=1))
        return rays * (depth[v, u] / rays[:, 2])[:, None]


class _Seen:
    """An image as Pairing takes it, without the image."""

    width = height = None

    def __init__(self, message: Message):
        sec, nanosec = divmod(message.stamp_ns, NS)
        self.message = message
        self.header = SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec))


@lru_cache(maxsize=1)
def _reader(path: Path) -> RawReader:
    """Opened once in each process."""
    return RawReader(path)


def _topics(reader: RawReader, choices: Choices) -> tuple[str, str]:
    """The topics of images and of measurements; InputError says which there are."""
    images: list[str] = []
    measured: list[str] = []
    for topic, about in reader.topics.items():
        if about.msgtype == CLOUD and about.msgcount:
            measured.append(topic)
        elif about.msgtype in (IMAGE, COMPRESSED) and about.msgcount:
            first = reader.first_message(topic)
            if first is not None:
                (measured if holds_depth(first) else images).append(topic)
    return (
        reader.chosen(choices.image, images, "images", "--image"),
        reader.chosen(choices.measured, measured, "depth images or clouds", "--measured"),
    )


def _sibling(topic: str, reader: RawReader) -> str:
    """The camera_info beside a topic, "" where there is none."""
    name = info_beside(topic)
    about = reader.topics.get(name)
    return name if about is not None and about.msgtype == INFO else ""


def _camera(info: Any, rectified: bool) -> Camera | None:
    """The camera that a CameraInfo describes; None for one that is not calibrated."""
    try:
        width, height = image_size(info)
        return camera_from(info, width, height, rectified)
    except CameraError:
        return None


def _matched(found: Contents, apart_s: float) -> list[Match]:
    """For each measurement the image nearest in time; an image is given once, to the nearest."""
    images = sorted(found.images, key=lambda message: message.stamp_ns)
    stamps = np.array([message.stamp_ns for message in images], np.int64)
    nearest: dict[int, tuple[int, Message]] = {}
    matches = []
    for message in sorted(found.measured, key=lambda message: message.stamp_ns):
        after = int(np.searchsorted(stamps, message.stamp_ns))
        around = [i for i in (after - 1, after) if 0 <= i < len(images)]
        best = min(around, key=lambda i: abs(int(stamps[i]) - message.stamp_ns))
        gap = abs(int(stamps[best]) - message.stamp_ns)
        if gap > apart_s * NS:
            matches.append(Match(message, None, None, gap))
        elif best not in nearest or gap < nearest[best][0]:
            nearest[best] = gap, message
    for best, (gap, message) in nearest.items():
        image = images[best]
        matches.append(Match(message, image, found.cameras.get(image.recorded_ns), gap))
    return sorted(matches, key=lambda match: match.measured.stamp_ns)


def _apart(matches: list[Match], every_s: float) -> list[Match]:
    """Those at least so many seconds behind the last one that is kept."""
    kept: list[Match] = []
    last = -inf
    for match in matches:
        if match.image is None or match.image.stamp_ns - last >= every_s * NS:
            kept.append(match)
            last = last if match.image is None else match.image.stamp_ns
    return kept


def _thumbnail(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)


def _stamp_ns(raw: bytes) -> int:
    """Of a message that begins with a header, from its bytes in CDR: the rest is not decoded."""
    if len(raw) < 12:
        raise InputError("a message has no header")
    sec, nanosec = np.frombuffer(raw, "<u4" if raw[1] & 1 else ">u4", 2, 4).tolist()
    return int(sec) * NS + int(nanosec)


def _is_cloud(message: Any) -> bool:
    return hasattr(message, "point_step")
