# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A short recording of the shipped scene, to be answered and looked at."""

from os import PathLike

from rosbags.rosbag2 import StoragePlugin, Writer

from depthlm_ros.bags.messages import STORE, header_message, image_message, info_message
from depthlm_ros.demo.scene import FRAME_ID, demo_frame

TOPICS = "/camera/image_raw", "/camera/camera_info"
START_NS, BETWEEN_NS = 1_700_000_000 * 10**9, 10**9
IMAGES = 4


def write_recording(path: str | PathLike) -> None:
    """Write a recording at path: images of the scene, one per second, with their camera_info."""
    frame = demo_frame()
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        kinds = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
        connections = [
            writer.add_connection(topic, kind, typestore=STORE)
            for topic, kind in zip(TOPICS, kinds, strict=True)
        ]
        for stamp_ns in range(START_NS, START_NS + IMAGES * BETWEEN_NS, BETWEEN_NS):
            header = header_message(stamp_ns, FRAME_ID)
            messages = image_message(header, frame.image), info_message(header, frame.camera)
            for connection, message in zip(connections, messages, strict=True):
                raw = STORE.serialize_cdr(message, connection.msgtype)
                writer.write(connection, stamp_ns, raw)
