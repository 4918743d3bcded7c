# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A rosbag2 recording, read: the images of one topic, each with the camera_info that holds.

Folders with metadata.yaml, .mcap and .db3 files, without ROS 2.
"""

from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

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
    """Pictures on `topic` of the recording at `path`; a context manager.

    topic: empty where there is only one of pictures. info: the topic of camera_info, empty for the
    one beside the pictures, None for none: then no picture has any. reader: of the library, for
    everything else in the recording. Raises InputError.
    """

    def __init__(self, path, topic="", info=""):
        self.path = Path(path)
        self.reader = self._opened()
        try:
            self.topic = self._chosen(topic, (IMAGE, COMPRESSED), "pictures", "--topic")
            self.info = info
            if info is not None:
                named = info or self._sibling()
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
        """Whether the pictures are sensor_msgs/CompressedImage."""
        return self.reader.topics[self.topic].msgtype == COMPRESSED

    @property
    def total(self) -> int:
        """How many pictures there are."""
        return self.reader.topics[self.topic].msgcount

    def pictures(self, first=0, every=1):
        """(index, time of recording [ns], Image or CompressedImage, CameraInfo or None) of each.

        Of those from index `first` on, each whose index is a multiple of `every`. The camera_info
        is the one that the node would take (msgs/pairing.py): of the image's own stamp, also
        where it was stored after its image; else the newest, before the first one the first.
        """
        index, pairing = 0, Pairing(live=False, info=self._first_info())
        wanted = [c for c in self.reader.connections if c.topic in (self.topic, self.info)]
        for connection, time_ns, raw in self.reader.messages(wanted):
            if connection.topic == self.info:
                pairing.put_info(self.reader.deserialize(raw, INFO))
            elif index >= first and index % every == 0:
                image = self.reader.deserialize(raw, connection.msgtype)
                if self.info is None:
                    yield index, time_ns, image, None
                else:
                    pairing.put_image(_Recorded(index, time_ns, image), time_ns / 1e9)
            index += connection.topic == self.topic
            yield from _as_recorded(pairing.settled(time_ns / 1e9))
        yield from _as_recorded(pairing.settled(inf))

    def _opened(self):
        if self.path.suffix == ".bag":
            raise InputError(f"{self.path} is of ROS 1: convert it with `rosbags-convert`")
        reader = None
        try:
            reader = AnyReader([self.path], default_typestore=get_typestore(Stores.LATEST))
            reader.open()
        except FileNotFoundError as error:
            raise InputError(f"there is no recording at {self.path}") from error
        except Exception as error:  # of many kinds, where a file is cut off or of another format
            raise InputError(
                f"{self.path} cannot be read as a rosbag2 recording ({error}); one that was cut"
                " off is mended by `ros2 bag reindex FOLDER` or `mcap recover FILE`"
            ) from error
        return reader

    def _chosen(self, topic, kinds, what, option) -> str:
        """The topic, or the only one of these kinds; InputError says which there are."""
        there = {t: i.msgcount for t, i in self.reader.topics.items() if i.msgtype in kinds}
        there = {name: count for name, count in there.items() if count}
        if topic in there:
            return topic
        if not topic and len(there) == 1:
            return next(iter(there))
        named = ", ".join(f"{name} ({count})" for name, count in there.items()) or "none"
        asked = f"no {what} on {topic}" if topic else f"several topics or none of {what}"
        raise InputError(f"{self.path} has {asked}; give {option}; there: {named}")

    def _sibling(self) -> str:
        """As cameras name it: the last word of the topic replaced, a transport left out."""
        plain = self.topic.removesuffix("/compressed")
        return plain.rpartition("/")[0] + "/camera_info"

    def _first_info(self):
        if self.info is None:
            return None
        wanted = [c for c in self.reader.connections if c.topic == self.info]
        _, _, raw = next(self.reader.messages(wanted))
        return self.reader.deserialize(raw, INFO)


def _as_recorded(pairs):
    for (index, time_ns, message), info, _ in pairs:
        yield index, time_ns, message, info
