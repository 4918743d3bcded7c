# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A grid of each newest picture at a chosen rate, while somebody listens to a stream.

Knows nothing about services or messages. Callbacks of the worker run in its thread.
"""

from depthlm_ros.errors import DepthLMError, InputError
from depthlm_ros.ros.publish.streams import Streams
from depthlm_ros.ros.topic import STEADY
from depthlm_ros.worker.requests import Grid, PixelRequest


class Outputs:
    """Asks the worker for a grid of one camera's newest picture, grid.rate times a second.

    port: the camera (cameras.py). The publishers live from the construction to close(), the
    grids come from start() to stop().
    """

    def __init__(self, node, port, worker, parameters):
        self._node = node
        self._camera, self._inputs = port.name, port.inputs
        self._worker = worker
        self._parameters = parameters
        self._streams = Streams(node, port.topic)
        self.show = self._streams.show
        self._timer = None
        self._busy = False
        self._latest = None  # (picture, grid, Answered) of the last grid

    def start(self) -> None:
        """Produce grids as the parameters say; again after they have changed."""
        self.stop()
        rate = self._parameters.now.grid_rate
        if rate > 0:
            self._timer = self._node.create_timer(1 / rate, self._tick, clock=STEADY)

    def stop(self) -> None:
        """Produce no more grids."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._timer = self._latest = None

    def close(self) -> None:
        """Take the publishers back."""
        self.stop()
        self._streams.close()

    def _tick(self):
        if self._busy or self._worker.problem or not self._streams.listened:
            return
        try:
            picture = self._inputs.newest()
        except InputError:  # inputs.py says what is missing
            return
        now = self._parameters.now
        grid = now.grid_columns, now.grid_rows
        if self._latest and self._latest[:2] == (picture, grid):  # it would be answered the same
            self._publish(*self._latest)
            return
        self._busy = True
        request = PixelRequest.many(self._camera, picture, Grid(*grid))
        pending = self._worker.submit(request)
        pending.future.add_done_callback(lambda done: self._on_scan(picture, grid, done))

    def _on_scan(self, picture, grid, done):
        try:
            answered = done.result()
            if self._timer is not None:  # else it came too late
                self._latest = picture, grid, answered
                self._publish(*self._latest)
        except DepthLMError as error:
            self._node.tell_once(error)
        finally:
            self._busy = False

    def _publish(self, picture, grid, answered):
        self._streams.show_grid(picture.header, answered, *grid)
