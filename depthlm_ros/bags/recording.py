# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A rosbag2 recording, read: the pictures of one topic, each with the camera_info that holds.

Folders with metadata.yaml, .mcap and .db3 files, without ROS 2. Knows nothing about models, nor
about what is written.
"""

from pathlib import Path

from depthlm_ros.bags.reader import RawReader
from depthlm_ros.errors import InputError

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
INFO = "sensor_msgs/msg/CameraInfo"


class Recording:
    """Pictures on `topic` of the recording at `path`; a context manager.

    topic: empty where there is only one of pictures. info: the topic of camera_info, empty for the
    one beside the pictures, None for none: then no picture has any. reader: of the library, for
    everything else in the recording. Raises InputError.
    """

    def __init__(self, path, topic="", info=""):
        self.path = Path(path)
        self.reader = RawReader(self.path)
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

        Of those from index `first` on, each whose index is a multiple of `every`. The newest
        camera_info holds; for pictures before the first one, the first.
        """
        info, index = self._first_info(), 0
        wanted = [c for c in self.reader.connections if c.topic in (self.topic, self.info)]
        for connection, time_ns, raw in self.reader.messages(wanted):
            if connection.topic == self.info:
                info = raw
                continue
            if index >= first and index % every == 0:
                image = self.reader.deserialize(raw, connection.msgtype)
                yield index, time_ns, image, info and self.reader.deserialize(info, INFO)
            index += 1

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
        return next(raw for _, _, raw in self.reader.messages(wanted))
