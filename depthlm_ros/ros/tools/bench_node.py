# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The node that bench.py measures: the metres that its engine answers are what the clock says.

So every answer tells by itself when it was given, in whatever process it is read. The engine
takes no time, or --busy S seconds a question, in which it lets no other thread run.
"""

import argparse
import sys
import time
from dataclasses import replace

import numpy as np
from sensor_msgs.msg import PointCloud2

from depthlm_ros.engines.scripted import ScriptedEngine
from depthlm_ros.msgs.fields import CLOUD_FIELDS
from depthlm_ros.predict import AskingPredictor, choose_checkpoint
from depthlm_ros.ros import node
from depthlm_ros.ros.convert import filled_message, point_fields
from depthlm_ros.ros.publish import streams

FOCAL_PX = 1000.0
TURN_S = 100.0  # then the readings start again; float32 holds them to 8 microseconds


def seconds_since(reading) -> float:
    """How long ago, at most TURN_S, an engine of this machine answered this number of metres."""
    return (time.monotonic() - float(reading)) % TURN_S  # never in float32


class ClockEngine(ScriptedEngine):
    """Answers with the time, after computing in Python all the time that it takes."""

    def __init__(self, busy_s=0.0):
        super().__init__(lambda view, pixel: time.monotonic() % TURN_S)
        self._busy_s = busy_s

    def room(self, scene, seconds) -> int:
        """As many questions as there is time for."""
        most = super().room(scene, seconds)
        return max(int(seconds / self._busy_s), 1) if self._busy_s else most

    def step(self, batch) -> list:
        """Replies, once the time is spent."""
        end = time.monotonic() + self._busy_s * len(batch)
        while time.monotonic() < end:
            pass
        return super().step(batch)


def created_message(kind, header, content):
    """As convert.filled_message(), but a cloud is made by sensor_msgs_py, in one row."""
    if kind is not PointCloud2:
        return filled_message(kind, header, content)
    from sensor_msgs_py.point_cloud2 import create_cloud

    values = np.frombuffer(content["data"], np.float32).reshape(-1, len(CLOUD_FIELDS))
    return create_cloud(header, point_fields(), values)


def main(argv=None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--busy", type=float, default=0.0, metavar="S")
    parser.add_argument("--create-cloud", action="store_true")
    args, for_ros = parser.parse_known_args(argv)
    if args.create_cloud:
        streams.filled_message = created_message
    checkpoint = replace(choose_checkpoint("tiny", engine="scripted"), focal_px=FOCAL_PX)
    return node.main(for_ros, lambda progress: AskingPredictor(ClockEngine(args.busy), checkpoint))


if __name__ == "__main__":
    sys.exit(main())
