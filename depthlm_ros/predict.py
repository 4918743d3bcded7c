# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Predictor: a frame and pixels in, Ranges out. What node, command line and evaluation call.

Knows nothing about ROS, and of engines only the contract.

OpenScenes: a view is opened in an engine once, however many ask about it at one time.

Knows of engines only the contract.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from depthlm_ros.batcher import Batcher
from depthlm_ros.camera import as_pixels
from depthlm_ros.checkpoints import Checkpoint, find_checkpoint
from depthlm_ros.engines import make_engine
from depthlm_ros.ranges import Ranges, RangesJob, Status
from depthlm_ros.view import Frame, SharedFrame, View, unify_focal


@dataclass
class _Entry:
    """An open scene; key: what it shows."""

    scene: object
    key: object
    frame: object  # as long as it lives, its id is its own
    users: int = 1


class OpenScenes:
    """The scenes of one engine that somebody uses. take() is for one thread, give_back() for any.

    Only views of a SharedFrame are shared: the picture of another Frame may change.
    """

    def __init__(self, engine):
        self._engine = engine
        self._entries = {}  # id of the scene -> entry
        self._lock = threading.Lock()

    def take(self, view, asker):
        """The scene of a View in a Style, to be given back. Raises what Engine.open raises."""
        key = _key(view, asker)
        with self._lock:
            for entry in self._entries.values():
                if entry.key == key:
                    entry.users += 1
                    return entry.scene
        scene = self._engine.open([view], asker)
        with self._lock:
            self._entries[id(scene)] = _Entry(scene, key, view.frame)
        return scene

    def give_back(self, scene) -> None:
        """Close it if nobody else uses it."""
        with self._lock:
            entry = self._entries[id(scene)]
            entry.users -= 1
            if entry.users:
                return
            del self._entries[id(scene)]
        scene.close()


def _key(view, asker):
    if not isinstance(view.frame, SharedFrame):
        return object()  # equal to no other
    return id(view.frame), view.camera, view.offset, asker.name


class Predictor(Protocol):
    """Whatever answers pixels of a frame."""

    def start(self, frame: Frame, pixels, style="", priority=0, deadline=None):
        """A job whose wait() and snapshot() return Ranges."""

    def ranges(self, frame: Frame, pixels, style="") -> Ranges:
        """start(...).wait()"""


def load_predictor(
    checkpoint="tiny", engine="local", row="", style="", grid_style="", warm_up=True, **options
) -> "AskingPredictor":
    """A predictor for "tiny", a checkpoint folder or a published name.

    engine: see engines.ENGINES; warm_up and options (device, dtype, threads, progress) go to
    make_engine. row: the published row to use for a folder that carries none. style, grid_style:
    how to point, for few pixels and for grids, instead of what the row says. Raises
    CheckpointError, MissingDependency, InputError or OutOfMemory.
    """
    found = choose_checkpoint(checkpoint, row, style, grid_style)
    return AskingPredictor(make_engine(engine, found, warm_up, **options), found)


def choose_checkpoint(checkpoint="tiny", row="", style="", grid_style="") -> Checkpoint:
    """The checkpoint that load_predictor would load, checked as far as goes without loading.

    Raises CheckpointError.
    """
    found = find_checkpoint(checkpoint, row)
    return replace(found, style=style or found.style, grid_style=grid_style or found.grid_style)


class AskingPredictor:
    """Asks an engine about each pixel. start() and the stepping belong to one thread."""

    def __init__(self, engine, checkpoint):
        self.engine = engine
        self.checkpoint = checkpoint
        self.batcher = Batcher(engine)
        self._scenes = OpenScenes(engine)

    def look(self, frame) -> list:
        """The Views in which a frame is asked about, several of a large one; from any thread."""
        view = unify_focal(frame, self.checkpoint.focal_px, self.checkpoint.axes)
        return view.windows(self.checkpoint.largest_view)

    def start(self, frame, pixels, style="", priority=0, deadline=None) -> RangesJob:
        """Ask about frame pixels (N, 2); style "" is the checkpoint's for few pixels."""
        asker = self.checkpoint.asker(style)
        plan = _plan(frame, as_pixels(pixels))
        found = RangesJob([], plan, frame.camera, self.checkpoint, asker.name)
        try:
            for view, rows, places in _shared_out(self.look(frame), plan):
                questions = _questions(asker, view, plan, rows, places)
                scene = self._scenes.take(view, asker)
                job = self.batcher.submit(scene, questions, priority, deadline)
                job.add_done_callback(lambda done: self._scenes.give_back(done.scene))
                found.parts.append((job, rows))
        except Exception:
            found.cancel()  # nobody will read the windows that did open
            raise
        return found

    def ranges(self, frame, pixels, style="") -> Ranges:
        """Ranges of frame pixels (N, 2), all answered."""
        return self.start(frame, pixels, style).wait()

    @property
    def device(self) -> str:
        """Where the model runs; "none" for an engine that has no model."""
        loaded = getattr(self.engine, "loaded", None)
        return str(loaded.device) if loaded else "none"

    def close(self) -> None:
        """Give the model back."""
        self.engine.close()


@dataclass
class _Plan:
    """Per pixel: its status so far and the frame pixel that is asked."""

    status: np.ndarray
    asked: np.ndarray


def _plan(frame, pixels) -> _Plan:
    status = np.full(len(pixels), Status.OK, np.uint8)
    status[~frame.camera.contains(pixels)] = Status.OUTSIDE
    with np.errstate(invalid="ignore"):
        rayless = ~np.isfinite(frame.camera.rays(np.nan_to_num(pixels))).all(axis=1)
    status[rayless & (status == Status.OK)] = Status.INVALID
    status[~np.isfinite(pixels).all(axis=1)] = Status.INVALID
    return _Plan(status, pixels.copy())


def _shared_out(views, plan):
    """(view, rows, their pixels of the view): each pixel goes to the window in whose middle it
    lies best."""
    rows = np.flatnonzero(plan.status == Status.OK)
    if not len(rows):
        return
    centres = np.array([(v.camera.width / 2, v.camera.height / 2) for v in views])
    places = np.stack([v.to_view(plan.asked[rows]) for v in views])  # (views, rows, 2)
    best = np.abs(places - centres[:, None]).max(axis=2).argmin(axis=0)
    for index in np.unique(best):
        mine = best == index
        yield views[index], rows[mine], places[index, mine]


def _questions(asker, view, plan, rows, places) -> "_Questions":
    """One a row; a pixel without room for a marker is snapped, and says so."""
    for i in np.flatnonzero(~asker.can_ask(view, places)):
        places[i] = asker.nearest_askable(view, places[i])
        plan.status[rows[i]] = Status.SNAPPED
        plan.asked[rows[i]] = view.to_frame(places[i])[0]
    return _Questions(asker, view, places)


@dataclass(frozen=True)
class _Questions(Sequence):
    """About pixels (N, 2) of a view, each made when a step takes it: a million at once would keep
    all other callers waiting for seconds, and take hundreds of megabytes."""

    asker: object
    view: View
    places: np.ndarray

    def __len__(self):
        return len(self.places)

    def __getitem__(self, row):
        return self.asker.question(self.view, self.places[row].tolist())
