# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The node that bench_clouds.py measures: as it is, with a stopwatch in the functions of a cloud.

After every cloud it writes what was spent since its start: seconds of processor time, by part and
by thread.
"""

import argparse
import json
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rclpy.publisher import Publisher

from depthlm_ros.data.whole import becoming
from depthlm_ros.dense import model as dense_model
from depthlm_ros.dense.predictor import DensePredictor
from depthlm_ros.engines.local import engine as local_engine
from depthlm_ros.models.tower import Tower
from depthlm_ros.models.vision import Preparer
from depthlm_ros.ranges import RangesJob
from depthlm_ros.ros import node
from depthlm_ros.ros.camera import inputs
from depthlm_ros.ros.publish import streams
from depthlm_ros.view import Frame

# (part, whose function, its name); the time of a part is without the parts that it calls.
PARTS = (
    ("image message to array", inputs, "frame_from"),
    ("resize to the view", Frame, "resized"),
    ("grid and views", DensePredictor, "start"),
    ("view to tensors", Preparer, "prepare"),
    ("vision part", Tower, "see"),
    ("language part", dense_model, "prefill"),
    ("language part", local_engine, "prefill"),
    ("dense head", dense_model.DenseModel, "map_of"),
    ("map to points", RangesJob, "snapshot"),
    ("content of the messages", streams.Streams, "show_grid"),
    ("messages", streams, "filled_message"),
    ("serialising and handing over to DDS", Publisher, "publish"),
)
MODEL = "model"  # the thread's name


@dataclass
class Spent:
    """Seconds of processor time since the start, and the clouds that were shown.

    process: of all threads. executor: of the main thread, in which callbacks run. model: of the
    thread that owns the model. parts: outside of the main thread. parts_of_model: their sum in the
    model's thread.
    """

    clouds: int = 0
    process: float = 0.0
    executor: float = 0.0
    model: float = 0.0
    parts: Counter[str] = field(default_factory=Counter)
    parts_of_model: float = 0.0


class Stopwatch:
    """Adds up what functions spend, each without those inside it. path: where it is written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spent = Spent()
        self._lock = threading.Lock()
        self._inner = threading.local()

    def watch(self, part, owner, name) -> None:
        """Count a function from now on."""
        function = getattr(owner, name)

        def watched(*args, **kwargs):
            if threading.current_thread() is threading.main_thread():
                return function(*args, **kwargs)
            around, self._inner.seconds = getattr(self._inner, "seconds", 0.0), 0.0
            begin = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                whole = time.thread_time() - begin
                self._add(part, whole - self._inner.seconds)
                self._inner.seconds = around + whole

        setattr(owner, name, watched)

    def tell_after(self, owner, name) -> None:
        """Write what was spent after each call of a function in the model's thread, which counts
        as a cloud; elsewhere one is shown again."""
        function = getattr(owner, name)

        def told(*args, **kwargs):
            found = function(*args, **kwargs)
            if threading.current_thread().name == MODEL:
                self._tell()
            return found

        setattr(owner, name, told)

    def _add(self, part, seconds) -> None:
        with self._lock:
            self._spent.parts[part] += seconds
            if threading.current_thread().name == MODEL:
                self._spent.parts_of_model += seconds

    def _tell(self) -> None:
        main = time.pthread_getcpuclockid(threading.main_thread().ident)
        with self._lock:
            spent = self._spent
            spent.clouds += 1
            spent.process = time.process_time()
            spent.executor = time.clock_gettime(main)
            spent.model = time.thread_time()
            text = json.dumps(vars(spent))
        with becoming(self._path) as part:
            part.write_text(text)


def main(argv=None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--spent", type=Path, required=True, metavar="FILE")
    args, for_ros = parser.parse_known_args(argv)
    stopwatch = Stopwatch(args.spent)
    for part in PARTS:
        stopwatch.watch(*part)
    stopwatch.tell_after(streams.Streams, "show_grid")
    return node.main(for_ros)


if __name__ == "__main__":
    sys.exit(main())
