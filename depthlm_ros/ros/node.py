# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The node `depthlm`: puts parameters, cameras, worker and services together.

Topics, services, parameters and states are described in README.md.
"""

import atexit
import gc
import os
import re
import sys
import time
import traceback
from math import inf

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from depthlm_ros.errors import InputError, MissingDependency
from depthlm_ros.msgs.encodings import decoder
from depthlm_ros.predict import choose_checkpoint, load_predictor
from depthlm_ros.ros.arguments import check_arguments
from depthlm_ros.ros.camera.cameras import Cameras
from depthlm_ros.ros.heartbeat import Heartbeat
from depthlm_ros.ros.lifecycle import ManagedNode
from depthlm_ros.ros.parameters import Parameters
from depthlm_ros.ros.process import Stop, start_ros
from depthlm_ros.ros.publish.diagnostics import Diagnostics
from depthlm_ros.ros.serve.action import ScanAction
from depthlm_ros.ros.serve.detections import open_detections
from depthlm_ros.ros.serve.frames import Frames
from depthlm_ros.ros.serve.queries import Asking, Queries
from depthlm_ros.ros.serve.replies import Replies
from depthlm_ros.ros.settings import Settings
from depthlm_ros.ros.topic import STEADY
from depthlm_ros.worker.worker import CLOSING, Worker

ABOUT = """\
The node depthlm: distances of the pixels of a camera, by a vision-language model.

depthlm_node --ros-args -r image:=/camera/image_raw -r camera_info:=/camera/camera_info \\
  -p checkpoint:=tiny -p grid.rate:=0.5 --params-file depthlm.yaml

Parameters: `ros2 param list /depthlm`, `ros2 param describe /depthlm NAME`, docs/interfaces.md.
Questions: `depthlm call --at 320,240`.
"""
EXPIRE_S = 0.1  # how often overdue questions are looked for
LOOK_S = 0.1  # how often a signal to stop is looked for
# The end of a node waits for refusals to leave: so long at most, or so many looks for what is to
# be done where a busy machine grants few; and so many looks after the last. Each takes GLANCE_S.
ANSWERS_S, LEAST_LOOKS, QUIET_LOOKS = 2.5, 100, 20
GLANCE_S = 0.005
TELL_S = 60.0  # after which a problem that stays is told again
KINDS_TOLD = 1000  # most kinds of problems that are remembered
# Python's usual 5 ms are what every operation of a model waits for where callbacks keep the
# interpreter busy, and every callback where a model does.
SWITCH_S = 0.0005


class DepthLMNode(ManagedNode):
    """load: (progress) -> Predictor instead of what the parameters say.

    Raises InputError if it is to start by itself and cannot by its parameters.
    """

    def __init__(self, load=None, **node_options):
        super().__init__("depthlm", **node_options)
        self._told: dict[str, float] = {}  # kind of problem -> time.monotonic() s
        self._own_load = load
        self._settings = Parameters(self, self._on_parameters)
        for problem in self._settings.unknown():
            self.get_logger().warning(problem)
        self._heartbeat = Heartbeat(self)
        autostart = self.get_parameter("autostart").value
        if autostart:  # a service that is seen and then gone would keep a client waiting
            try:
                self._settings.checked()
            except InputError:
                self.destroy_node()
                raise
        self._worker = Worker(self._on_model, paused=self.unconfigured)
        self._cameras = Cameras()
        self._scans = None
        self._diagnostics = Diagnostics(self, self._cameras, self._worker, self._settings)
        self._detections = []
        self._frames = Frames(self)
        self._asking = Asking(self, self._cameras, self._worker, self._settings, self._frames)
        self.create_timer(EXPIRE_S, self._worker.expire, clock=STEADY)
        try:
            Queries(self, self._asking)
            self._scans = ScanAction(self, self._asking)
        except MissingDependency as error:  # clouds do not need them
            self.get_logger().error(str(error))
        self._replies = Replies(self)
        if autostart:
            self.bring_up()
        else:
            self.get_logger().info(self.unconfigured.text)

    def tell_once(self, error) -> None:
        """Log a problem, but not again within TELL_S, whatever numbers it holds by then, nor what
        is told of the whole node."""
        text, problem, now = str(error), self._worker.problem, time.monotonic()
        kind = re.sub(r"\b\d[\d.]*", "0", text)
        is_known = now - self._told.get(kind, -inf) < TELL_S or (problem and text == problem.text)
        if is_known or not self.context.ok():
            return
        if len(self._told) >= KINDS_TOLD:
            self._told.clear()
        self._told[kind] = now
        self.get_logger().error(text)

    def tell_fault(self, error) -> None:
        """Log an exception that nobody expected, as tell_once()."""
        self.tell_once("".join(traceback.format_exception(error)))

    def jumped_back(self, seconds: float) -> None:
        """The stamps of a camera did so, as where a recording begins again."""
        self._frames.jumped_back(seconds)

    def configure(self) -> None:
        """Check everything that can be checked now, and start to load the model."""
        settings = self._settings.checked()
        if self._own_load is None:
            choose_checkpoint(
                settings.checkpoint,
                settings.row,
                settings.style,
                settings.grid_style,
                settings.axes,
                settings.average,
                settings.engine,
            )
        if settings.query_frame:
            self._frames.listen()
        self._cameras.open(self, self._worker, self._settings)
        self._detections = open_detections(self, self._cameras, self._asking)
        back = " and ".join(self.command(step) for step in ("deactivate", "cleanup"))
        self._settings.locked = f"type {back}, then set it and configure again"
        self._started = time.monotonic()
        self.get_logger().info(f"loading {self._model}")
        self._worker.load(self._own_load or self._load)

    def activate(self) -> None:
        """Hear the cameras."""
        self._cameras.start()
        for problem in self._settings.unknown_overrides():
            self.get_logger().warning(problem)

    def deactivate(self) -> None:
        """Hear nothing; standing() refuses the questions under way."""
        self._cameras.stop()

    def cleanup(self) -> None:
        """Give the model and the topics back; the model goes after the step under way."""
        self._worker.unload()
        for detections in self._detections:
            detections.close()
        self._cameras.close()
        self._settings.locked = ""

    def standing(self, problem) -> None:
        """Refuse all requests for a Problem, or allow them if there is none."""
        if problem:
            self._worker.pause(problem)
        else:
            self._worker.resume()

    def settled(self) -> None:
        """Tell the new state, a lifecycle manager by heartbeats while the node is active."""
        period_s = self._settings.now.bond_heartbeat_period
        if self.state == "active" and period_s and not self._settings.now.autostart:
            self._heartbeat.beat(period_s)
        else:
            self._heartbeat.end()
        self._diagnostics.publish()

    def refuse_all(self) -> None:
        """Answer all that is open or still comes with the news that the node ends."""
        self._worker.pause(CLOSING)

    @property
    def answering(self) -> bool:
        """Whether a response has not left, or has not been heard."""
        return bool(self._asking.open or self._replies.unheard)

    def close(self) -> bool:
        """End the worker and destroy the node; False if the model cannot be stopped."""
        self._heartbeat.end()
        ended = self._worker.close()
        if self._scans is not None:
            self._scans.destroy()
        self.destroy_node()
        return ended

    def _load(self, progress):
        decoder()  # what is missing is told now, and the first image does not wait for it
        asked = self._settings.now
        return load_predictor(
            asked.checkpoint,
            asked.engine,
            asked.row,
            asked.style,
            asked.grid_style,
            asked.axes,
            average=asked.average,
            device=asked.device,
            dtype=asked.dtype,
            check=asked.check,
            progress=progress,
            **_of_engine(asked),
        )

    def _on_parameters(self):
        if self.state == "active":
            self._cameras.changed()

    def _on_model(self, problem):
        if problem:
            self.get_logger().error(f"{self._model}: {problem.text}")
        else:
            spent = time.monotonic() - self._started
            self.get_logger().info(f"ready after {spent:.1f} s: {self._model}")
        self._diagnostics.publish()

    @property
    def _model(self) -> str:
        now = self._settings.now
        return f"checkpoint '{now.checkpoint}', engine '{now.engine}', device '{now.device}'"


def _of_engine(asked: Settings) -> dict[str, object]:
    """What one engine alone is given."""
    options: dict[str, object] = {"graphs": True} if asked.graphs else {}
    if asked.engine != "remote":
        return options
    return options | {
        "urls": asked.remote_urls,
        "model": asked.remote_model,
        "key_file": asked.remote_key_file,
        "timeout": asked.remote_timeout,
    }


def _spin(node: DepthLMNode, stop: Stop) -> None:
    """Spin until a signal comes. What a callback raises is told once, and ends neither the node
    nor its other callbacks."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stop.requested:
            _spin_once(node, executor)
        _refuse_open(node, executor)
    finally:
        executor.shutdown()


def _refuse_open(node: DepthLMNode, executor: SingleThreadedExecutor) -> None:
    """Nobody is to wait for a node that is gone. That no request is left is found by looking: time
    passes on a busy machine without a look."""
    node.refuse_all()
    end = time.monotonic() + ANSWERS_S
    looks = quiet = 0
    while quiet < QUIET_LOOKS and (looks < LEAST_LOOKS or time.monotonic() < end):
        _spin_once(node, executor, GLANCE_S)
        looks += 1
        quiet = 0 if node.answering else quiet + 1


def _spin_once(
    node: DepthLMNode, executor: SingleThreadedExecutor, timeout_s: float = LOOK_S
) -> None:
    try:
        executor.spin_once(timeout_sec=timeout_s)
    except ExternalShutdownException:
        raise
    except Exception as error:  # noqa: BLE001, a robot needs the rest of the node
        node.tell_fault(error)


def main(args=None, load=None) -> int:
    """Run the node until SIGINT or SIGTERM; the exit status is 0 then, 1 for bad parameters, 2 for
    arguments that are not ROS's.

    load: see DepthLMNode.
    """
    check_arguments("depthlm_node", ABOUT, args)
    stop = Stop()
    node = None
    sys.setswitchinterval(SWITCH_S)
    # What torch leaves goes with the process. To look through it first takes a busy machine 4 s,
    # and launch loses patience 5 s after SIGINT.
    atexit.register(gc.freeze)
    try:
        start_ros(args)
        node = DepthLMNode(load)
        _spin(node, stop)
    except ExternalShutdownException:
        pass
    except InputError as error:
        print(f"depthlm: {error}", file=sys.stderr)
        return 1
    finally:
        ended = node is None or node.close()
        rclpy.try_shutdown()
        if not ended:
            os._exit(0)  # a thread inside a library would crash while the interpreter ends
    return 0


if __name__ == "__main__":
    sys.exit(main())
