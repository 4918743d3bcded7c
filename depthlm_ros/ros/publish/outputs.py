# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A grid of the newest image at a chosen rate, while somebody listens to a stream.

What is published is never older than grid.max_age: transforms are kept for a few seconds only, so
nobody could place an older cloud. A grid that lasts longer is given up for one of the newest
image, and whether the chosen rate is kept is told.
"""

import time
from collections import deque
from dataclasses import dataclass

from depthlm_ros.errors import DepthLMError, InputError
from depthlm_ros.ros.camera.inputs import CameraImage
from depthlm_ros.ros.publish.streams import Streams
from depthlm_ros.ros.topic import STEADY
from depthlm_ros.worker.requests import Grid, Pending, PixelRequest, Stride

LOOK_S = 0.1  # how often a grid under way is looked after, and a missed one begun
OBSERVED_S = 10.0  # what is told of the rate is that of so many seconds, or of four grids
KEPT = 0.7  # a rate that falls short by less has only just begun its next grid
REMIND_S = 60.0  # how often the log says that grids are given up


@dataclass(frozen=True)
class _Grid:
    """A grid that the model was asked for. began: time.monotonic() seconds."""

    image: CameraImage
    pixels: Grid | Stride
    pending: Pending
    began: float


class Pace:
    """How many grids per second come, while some are wanted."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=1000)  # of the begin, then of each grid

    def wanted(self) -> None:
        """From now on grids are wanted, if they were not already."""
        if not self._times:
            self._times.append(time.monotonic())

    def unwanted(self) -> None:
        """None is wanted, or none can come."""
        self._times.clear()

    def count(self) -> None:
        """A grid was published."""
        self._times.append(time.monotonic())

    def per_second(self, rate: float) -> float | None:
        """Of late; None while there were not four chances yet at the chosen rate."""
        now, times = time.monotonic(), list(self._times)
        while len(times) > 5 and times[1] < now - OBSERVED_S:
            del times[0]
        if not times or now - times[0] < 4 / rate:
            return None
        return (len(times) - 1) / (now - times[0])


class Outputs:
    """Asks the worker for a grid of one camera's newest image, grid.rate times a second.

    port: the camera (cameras.py).
    given_up: grids that were too old before they were answered.
    The publishers live from the construction to close(), the grids come from start() to stop().
    """

    def __init__(self, node, port, worker, parameters) -> None:
        self.given_up = 0
        self._node = node
        self._camera, self._inputs = port.name, port.inputs
        self._worker = worker
        self._parameters = parameters
        self._streams = Streams(node, port.topic, parameters)
        self.show = self._streams.show
        self._timers: list = []
        self._pace = Pace()
        self._is_due = False
        self._grid: _Grid | None = None  # under way
        self._spent_s = 0.0  # by the last one
        self._latest: tuple | None = None  # (image, pixels, Answered) of the last one
        self._reminded = float("-inf")

    def start(self) -> None:
        """Produce grids as the parameters say; again after they have changed."""
        self.stop()
        rate = self._parameters.now.grid_rate
        if rate > 0:
            self._timers = [
                self._node.create_timer(1 / rate, self._tick, clock=STEADY),
                self._node.create_timer(LOOK_S, self._look, clock=STEADY),
            ]

    def stop(self) -> None:
        """Produce no more grids."""
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._timers, self._latest, self._is_due = [], None, False
        self._pace.unwanted()

    def close(self) -> None:
        """Take the publishers back."""
        self.stop()
        self._streams.close()

    @property
    def per_second(self) -> float | None:
        """Grids published of late; None where none are wanted."""
        rate = self._parameters.now.grid_rate
        return self._pace.per_second(rate) if rate > 0 else None

    @property
    def problem(self) -> str:
        """That the chosen rate is not kept, and what to do; empty if it is."""
        now, held = self._parameters.now, self.per_second
        if held is None or held >= KEPT * now.grid_rate:
            return ""
        grid = self._grid
        spent = max(self._spent_s, time.monotonic() - grid.began if grid else 0.0)
        problem = (
            f"{held:.2g} grids per second come instead of {now.grid_rate:g} (grid.rate), the last"
            f" one took {spent:.1f} s: ask fewer points (grid.columns, grid.rows, grid.stride) or"
            " lower grid.rate"
        )
        if 0 < now.grid_max_age <= spent:
            limit = f"grid.max_age ({now.grid_max_age:g} s)"
            problem += f", or raise {limit}, after which a grid is given up"
        return problem

    def _tick(self):
        self._is_due = True
        self._look()

    def _look(self):
        """Give up a grid that has become too old; begin one that is due."""
        grid = self._grid
        if grid is not None:
            if self._is_old(grid.image):
                grid.pending.cancel()
            return
        if not self._is_due:
            return
        image = self._wanted()
        if image is None:
            self._is_due = False
            self._pace.unwanted()
            return
        self._pace.wanted()
        pixels, style = self._parameters.now.grid(self._worker.predictor)
        if self._latest and self._latest[:2] == (image, pixels):  # it would be answered the same
            self._publish(*self._latest)
            return
        pending = self._worker.submit(PixelRequest.many(self._camera, image, pixels, style))
        self._grid = grid = _Grid(image, pixels, pending, time.monotonic())
        pending.future.add_done_callback(lambda done: self._on_answered(grid, done))

    def _wanted(self) -> CameraImage | None:
        """The image to ask about; None if nobody listens, or nothing can be asked now."""
        if self._worker.problem or not self._streams.listened:
            return None
        try:
            image = self._inputs.newest()
        except InputError:  # inputs.py says what is missing
            return None
        return None if self._is_old(image) else image

    def _is_old(self, image) -> bool:
        limit = self._parameters.now.grid_max_age
        return 0 < limit < time.monotonic() - image.pair.arrived

    def _on_answered(self, grid, done):
        """In the thread of the model, or of whoever gave it up."""
        self._spent_s = time.monotonic() - grid.began
        try:
            if self._is_old(grid.image):
                self._give_up()
                return
            answered = done.result()
            if self._timers:  # else it came too late
                self._latest = grid.image, grid.pixels, answered
                self._publish(*self._latest)
        except DepthLMError as error:
            self._is_due = False  # the next one at its time, not at once
            self._pace.unwanted()  # the advice for slow grids would not help
            self._node.tell_once(self._inputs.told(error))
        finally:
            self._grid = None

    def _give_up(self):
        self.given_up += 1
        now, age = time.monotonic(), self._parameters.now.grid_max_age
        if now - self._reminded > REMIND_S and self._node.context.ok():
            self._reminded = now
            self._node.get_logger().warning(
                f"a grid was given up after {self._spent_s:.1f} s, since its image is older than"
                f" grid.max_age ({age:g} s): ask fewer points (grid.columns, grid.rows), or raise"
                " grid.max_age"
            )

    def _publish(self, image, pixels, answered):
        self._is_due = False
        self._pace.count()
        shape = pixels.shape(answered.frame.camera)
        self._streams.show_grid(image.header, answered, *shape)
