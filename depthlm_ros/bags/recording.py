# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A rosbag2 recording, read: the images of one topic, each with the camera_info that holds.

Folders with metadata.yaml, .mcap and .db3 files, without ROS 2.
"""

from collections.abc import Iterator
from math import inf
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from depthlm_ros.bags.reader import RawReader, info_beside
from depthlm_ros.data.frames import print_warning
from depthlm_ros.errors import InputError
from depthlm_ros.msgs.pairing import Pairing

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
INFO = "sensor_msgs/msg/CameraInfo"


class _Recorded(NamedTuple):
    """An image of a recording, as Pairing takes it."""

    index: int
    time_ns: int
    message: Any

    @property
    def header(self):
        return self.message.header

    @property
    def width(self):
        return getattr(self.message, "width", None)  # a compressed one does not say

    @property
    def height(self):
        return getattr(self.message, "height", None)


class Recording:
    """The images on `topic` of the recording at `path`; a context manager.

    topic: "" where the recording has only one topic of images.
    info: the topic of camera_info; "" for the one beside the images, None for none, then no image
        has a camera_info.
    reader: everything else in the recording.
    damaged: messages that were passed over, since their bytes cannot be decoded.

    Raises InputError.
    """

    def __init__(self, path: str | PathLike, topic: str = "", info: str | None = ""):
        self.path = Path(path)
        self.damaged = 0
        self.reader = RawReader(self.path)
        try:
            self.topic = self._chosen(topic, (IMAGE, COMPRESSED), "images", "--topic")
            self.info = info
            if info is not None:
                named = info or info_beside(self.topic)
                self.info = self._chosen(named, (INFO,), "camera_info", "--info or --camera")
        except InputError:
            self.reader.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reader.close()

    @property
    def is_compressed(self) -> bool:
        """Whether the images are sensor_msgs/CompressedImage."""
        return self.reader.topics[self.topic].msgtype == COMPRESSED

    @property
    def total(self) -> int:
        """How many images there are."""
        return self.reader.topics[self.topic].msgcount

    def images(self, first: int = 0, every: int = 1) -> Iterator[tuple[int, int, Any, Any]]:
        """(index, time of recording [ns], Image or CompressedImage, CameraInfo or None) of each.

        Of those from index `first` on, each whose index is a multiple of `every`. The camera_info
        is the one that the node would take (msgs/pairing.py): of the image's own stamp, also
        where it was stored after its image; else the newest, before the first one the first.
        """
        first_info = None if self.info is None else self.reader.first_message(self.info)
        index, pairing = 0, Pairing(live=False, info=first_info)
        wanted = [c for c in self.reader.connections if c.topic in (self.topic, self.info)]
        for connection, time_ns, raw in self.reader.messages(wanted):
            if connection.topic == self.info:
                if (info := self._decoded(raw, INFO, time_ns)) is not None:
                    pairing.put_info(info)
            elif index >= first and index % every == 0:
                image = self._decoded(raw, connection.msgtype, time_ns)
                if image is not None and self.info is None:
                    yield index, time_ns, image, None
                elif image is not None:
                    pairing.put_image(_Recorded(index, time_ns, image), time_ns / 1e9)
            index += connection.topic == self.topic
            yield from _as_recorded(pairing.settled(time_ns / 1e9))
        yield from _as_recorded(pairing.settled(inf))

    def _decoded(self, raw, kind, time_ns):
        """The message; None for damaged bytes, which are reported and passed over."""
        try:
            return self.reader.deserialize(raw, kind)
        except InputError as error:
            self.damaged += 1
            print_warning(f"the message recorded at {time_ns} ns is skipped: {error}")
            return None

    def _chosen(self, topic, kinds, what, option) -> str:
        """The topic, or the only one of these kinds; InputError says which there are."""
        topics = self.reader.topics.items()
        there = [name for name, of in topics if of.msgtype in kinds and of.msgcount]
        return self.reader.chosen(topic, there, what, option)


def _as_recorded(pairs):
    for (index, time_ns, message), info, _ in pairs:
        yield index, time_ns, message, info
