# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""depthlm demo: the node and a camera as processes, asked over DDS; a table and images.

A client of the node like any other: of its model it knows whether that has maps. Everything it
starts is stopped, and it talks to nothing but its own processes.
"""

import contextlib
import signal
import sys
import time

import numpy as np
from PIL import Image as ImageFile

from depthlm_ros.demo.scene import SCENE, demo_frame
from depthlm_ros.errors import DepthLMError, EngineError, InputError
from depthlm_ros.evaluation.metrics import best_constant, delta1
from depthlm_ros.msgs.fields import cloud_points
from depthlm_ros.predict import choose_checkpoint, has_map
from depthlm_ros.ros.dds import environment, private_graph
from depthlm_ros.ros.tools.call import print_answers, print_source, truth_columns
from depthlm_ros.ros.tools.child import Child, undisturbed
from depthlm_ros.ros.tools.client import PASSING, Client
from depthlm_ros.scan import colours_at, grid_pixels
from depthlm_ros.viz.files import CLOUD, OVERLAY, output_folder, write_cloud, write_overlay
from depthlm_ros.viz.progress import progress_bar

ASKED = 4, 2  # columns and rows of the pixels in the table
GRID = 32, 24  # of the cloud, where no map can be had
STRIDE = 2  # of a map: fine enough for the eye
OVERLAYS = "pixels.png", OVERLAY  # of the table, of the cloud
_CAMERA = ("camera", "fx", "fy", "cx", "cy")


def main(args) -> int:
    """Run the demo: 0. InputError for options that cannot be, EngineError where a step fails."""
    camera = {name: getattr(args, name) for name in _CAMERA if getattr(args, name)}
    if camera and not args.image:
        raise InputError("the options of a camera belong to an image: give --image too")
    shown = {"image": args.image, **camera} if args.image else {}
    frame = demo_frame(args.image or "", **camera)
    out = output_folder(args.out, (*OVERLAYS, *CLOUD), args.image or "")
    stride = args.stride or (STRIDE if not args.grid and _has_map(args) else 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes are stopped
    with private_graph() as variables, environment(variables), contextlib.ExitStack() as stack:
        with undisturbed():
            children = [
                stack.enter_context(_node(args, stride, out / "node.log")),
                stack.enter_context(_camera(shown, out / "camera.log")),
            ]
        client = stack.enter_context(Client())
        truth = None if args.image else _truth()
        demo = _Demo(client, children, frame, truth, out, args.timeout)
        demo.run((0, 0) if stride else args.grid or GRID)
    return 0


def _has_map(args) -> bool:
    """Whether the node will have a map of every pixel; the node says what is wrong if it cannot
    be told."""
    with contextlib.suppress(DepthLMError):
        return has_map(choose_checkpoint(args.checkpoint), args.engine)
    return False


def _node(args, stride, log) -> Child:
    parameters = {"checkpoint": args.checkpoint, "engine": args.engine, "grid.stride": stride}
    remapped = ["-r", "image:=/camera/image_raw", "-r", "camera_info:=/camera/camera_info"]
    return Child("depthlm_ros.ros.node", ["--ros-args", *remapped, *_given(parameters)], log=log)


def _camera(shown, log) -> Child:
    arguments = ["--ros-args", "-r", "__ns:=/camera", *_given(shown)]
    return Child("depthlm_ros.ros.tools.demo_camera", arguments, log=log)


def _given(parameters):
    """ROS arguments; in YAML's quotes a folder called 7 stays a text."""
    for name, value in parameters.items():
        yield "-p"
        text = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else value
        yield f"{name}:={text}"


def _truth() -> np.ndarray:
    """(H, W) metres along the ray of the shipped scene, NaN where there is nothing."""
    millimetres = np.array(ImageFile.open(SCENE / "distance.png")).astype(np.float64)
    return np.where(millimetres > 0, millimetres / 1000, np.nan)


class _Demo:
    """The steps, each with what it waits for; EngineError where one fails."""

    def __init__(self, client, children, frame, truth, out, timeout):
        self._client = client
        self._children = children
        self._frame = frame
        self._truth = truth
        self._out = out
        self._timeout = timeout

    def run(self, grid_size) -> None:
        """Ask, listen, show."""
        pixels = grid_pixels(self._frame.camera, *ASKED)
        with _step("node and camera started, model loaded, first image answered"):
            self._first(pixels[:1])
        response = self._client.ask(pixels, self._timeout)
        if not response.success:
            raise EngineError(f"the node says: {response.message}")
        result = self._scanned(*grid_size)
        print_source(response)
        names, truth = [f"{u:g}, {v:g}" for u, v in pixels], self._true_at(response.answers)
        more = None if truth is None else truth_columns(response.answers, truth)
        print_answers(names, response.answers, more)
        self._judge(result.answers)
        self._write(response.answers, result)

    def _scanned(self, columns, rows):
        """The result of the action for a grid; 0 and 0: the node's own, a map."""
        goal = self._client.action.ScanGrid.Goal(columns=columns, rows=rows)
        began = time.monotonic()
        with progress_bar("scanning the image") as progress:
            result = self._client.scan(goal, progress, self._timeout)
        if not result.success:
            raise EngineError(f"the node says: {result.message}")
        size = f"{result.cloud.width} x {result.cloud.height}"
        print(f"scan of {size} pixels: {time.monotonic() - began:.1f} s")
        return result

    def _first(self, pixels):
        """Ask until the node answers; what it cannot mend by waiting ends the demo."""

        def answered():
            response = self._client.ask(pixels, self._timeout)
            if not response.success and response.code not in PASSING:
                raise EngineError(f"the node says: {response.message}")
            return response.success

        self._wait(lambda: self._client.found)
        self._wait(answered)

    def _wait(self, until):
        end = time.monotonic() + self._timeout
        while not self._client.spin(0.2, until):
            for child in self._children:
                if child.status is not None:
                    raise EngineError(f"a process of the demo ended:\n{child.output()}")
            if time.monotonic() > end:
                raise EngineError(
                    f"nothing came for {self._timeout:g} s: see {self._out}/node.log, or allow"
                    " more with --timeout"
                )

    def _true_at(self, answers):
        """(N,) true metres at the pixels asked; None where there is no truth."""
        return None if self._truth is None else colours_at(self._truth, _asked(answers))

    def _judge(self, answers):
        distance = np.array(answers.distance)
        line = f"cloud: {np.isfinite(distance).sum()} of {len(distance)} points answered"
        if self._truth is not None:
            truth = self._true_at(answers)
            known = np.isfinite(truth)
            near = delta1(distance[known], truth[known]).mean()
            _, best = best_constant(truth[known])
            line += f", {near:.0%} within a factor of 1.25 of the truth"
            line += f" (best constant answer: {best:.0%})"
        print(line)

    def _write(self, few, result):
        for name, answers in zip(OVERLAYS, (few, result.answers), strict=True):
            path = self._out / name
            write_overlay(
                path, self._frame.image, _asked(answers), answers.distance, answers.uncertain
            )
        write_cloud(self._out, *cloud_points(result.cloud))
        print(f"wrote {', '.join((*OVERLAYS, *CLOUD))} into {self._out}")


def _asked(answers) -> np.ndarray:
    """(N, 2) pixels that PixelDistances say were asked."""
    return np.stack([answers.asked_u, answers.asked_v], axis=1)


@contextlib.contextmanager
def _step(title):
    """Show that something is under way, and afterwards how long it took."""
    from rich.console import Console

    console, began = Console(), time.monotonic()
    with console.status(f"waiting: {title}"):
        yield
    console.print(f"{title}: {time.monotonic() - began:.1f} s")
