# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Predictor: a frame and pixels in, Ranges out. What node, command line and evaluation hold.

load_predictor makes one. AskingPredictor is the one that asks an engine about each pixel; of the
engine it uses the contract alone (engines/engine.py).
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import nan
from operator import attrgetter
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike

from depthlm_ros.batcher import Batcher, Job
from depthlm_ros.camera import Camera, as_pixels
from depthlm_ros.checkpoints import AVERAGES, DENSE, Checkpoint, find_checkpoint
from depthlm_ros.engines import ENGINES, make_engine
from depthlm_ros.engines.engine import Engine, OnServers, Reply, Scene, ServerState
from depthlm_ros.engines.progress import silent, span
from depthlm_ros.errors import DepthLMError, EngineError, InputError, UnsupportedError
from depthlm_ros.question import PointingStyle, Question, Style
from depthlm_ros.ranges import Both, Part, RangeMap, Ranges, RangesJob, Status
from depthlm_ros.view import Frame, SharedFrame, View, ViewLimits, usual_frame

# Styles that an engine cannot do, and why; local does all.
_STATES = {DENSE: "the head needs hidden states of the model, which engine local alone has"}
_ROTARY = "it gives a token a rotary position of its own, which no server takes"
LACKING: dict[str, dict[str, str]] = {
    "reference": _STATES,
    "scripted": _STATES,
    "remote": {**_STATES, "position": _ROTARY},
}
STEP_S = 0.1  # seconds of a step, which a new question waits for
# A remote step waits for the network several times, however many questions it takes; so many
# share it, and the server, not the step, decides who computes when.
REMOTE_STEP_S = 1.0
NO_AVERAGE = "none"


@dataclass(frozen=True)
class PredictorStats:
    """What a predictor did so far and holds now.

    batch_size: pixels that the newest step answered.
    checked: replies that were checked, see engines.engine.Engine.
    fell_back: those of them that were decoded freely, since the model would not have said the
        given words.
    memory_bytes: allocated on a GPU, or held by this process on a CPU; 0 without a model.
    servers: of a model that is on servers.
    """

    batch_size: int = 0
    checked: int = 0
    fell_back: int = 0
    memory_bytes: int = 0
    servers: tuple[ServerState, ...] = ()

    @property
    def fall_back_rate(self) -> float:
        """The share of the checked replies that fell back; NaN where none was checked."""
        return self.fell_back / self.checked if self.checked else nan


class Predictor(Protocol):
    """Whatever answers pixels of a frame; who holds one uses nothing else of it.

    checkpoint: what it expects, and in which styles it can be asked.
    device: where it runs, as torch writes it ("cpu", "cuda:0"); "none" without a model.

    start(), ask() and run_once() belong to one thread, the others to any.
    """

    @property
    def checkpoint(self) -> Checkpoint: ...

    @property
    def device(self) -> str: ...

    def start(
        self,
        frame: Frame,
        pixels: ArrayLike,
        *,
        style: str = "",
        priority: int = 0,
        deadline: float | None = None,
    ) -> RangesJob:
        """Ask about pixels (N, 2) of a frame.

        style: a style of the checkpoint, "" for the one for few pixels.
        priority: higher goes first.
        deadline: time.monotonic() seconds at which what is not answered is TIMED_OUT.

        Raises InputError, CheckpointError, EngineError or OutOfMemory.
        """

    def ranges(self, frame: Frame, pixels: ArrayLike, *, style: str = "") -> Ranges:
        """Ranges of pixels (N, 2) of a frame, all answered: start(...).wait(). Raises what start
        raises."""

    def map(self, frame: Frame) -> RangeMap:
        """Every pixel; UnsupportedError, with the reason, where the checkpoint cannot."""

    def ask(self, images: Sequence[View], style: Style, question: Question) -> Reply:
        """The reply to one question about one view, or two in PlainStyle, which need not be about
        a distance. UnsupportedError, with the reason, where it cannot be asked; else as start."""

    def prepare(self, frame: Frame) -> None:
        """Do now, in any thread, what the first question about this frame would wait for."""

    def run_once(self) -> bool:
        """One step; whether there was one to take. The thread that calls this drives it for all
        others, which from then on only wait."""

    def stats(self) -> PredictorStats:
        """What it did so far and holds now."""

    def close(self) -> None:
        """Give the model back."""


def load_predictor(
    checkpoint: str | Checkpoint = "tiny",
    engine: str = "local",
    entry: str = "",
    style: str = "",
    grid_style: str = "",
    axes: str = "",
    warm_up: bool = True,
    average: str = "",
    **options: Any,
) -> Predictor:
    """A predictor of a checkpoint.

    checkpoint: "tiny", a folder, a published name, or a Checkpoint.
    engine: a key of PREDICTORS.
    entry: the published checkpoint entry to use for a folder that carries none.
    style, grid_style: how to point, for few pixels and for grids, instead of what the entry says.
    axes: see view.unify_focal; "" as the entry says.
    warm_up: ask once in each style first, so that the first question takes no longer than others.
    average: "mirror": every pixel is asked twice, the second time in the view with left and right
        exchanged, and the answer is the mean in log metres of both, of each quantile too. The
        arrow of marker style stands left of its pixel in both, as published, so the second comes
        from the other side of the thing. A pixel needs both: where one has no number, or does
        not come in time, the status says so. "none": never; "": as the entry says for each style.
    options: device, dtype, threads, check, graphs, progress; see engines.make_engine.

    Raises CheckpointError, MissingDependency, InputError or OutOfMemory.
    """
    if engine not in PREDICTORS:
        raise InputError(f"engine '{engine}' is unknown, allowed: {', '.join(PREDICTORS)}")
    named = _named(checkpoint, entry, style, grid_style, axes, average, engine)
    found = _askable(named, engine, style, grid_style)
    for lost, instead in _replaced(named, found).items():
        logging.getLogger(__name__).warning(
            "%s where checkpoint '%s' has %s, which engine '%s' cannot do: %s",
            *(" and ".join(instead), found.name, lost, engine, _lacking(engine)[lost]),
        )
    return PREDICTORS[engine](found, warm_up=warm_up, **options)


def choose_checkpoint(
    checkpoint: str | Checkpoint = "tiny",
    entry: str = "",
    style: str = "",
    grid_style: str = "",
    axes: str = "",
    average: str = "",
    engine: str = "local",
) -> Checkpoint:
    """The checkpoint that load_predictor would load, checked as far as goes without loading it.

    Where the engine cannot do the checkpoint's own style for few pixels or for grids, it is one
    that it can, see Checkpoint.speaking.

    Raises CheckpointError; UnsupportedError for a style that the engine cannot do; InputError
    for an unknown average.
    """
    named = _named(checkpoint, entry, style, grid_style, axes, average, engine)
    return _askable(named, engine, style, grid_style)


def _named(
    checkpoint: str | Checkpoint,
    entry: str,
    style: str,
    grid_style: str,
    axes: str,
    average: str,
    engine: str,
) -> Checkpoint:
    if average not in ("", NO_AVERAGE, *AVERAGES):
        allowed = ", ".join((NO_AVERAGE, *AVERAGES))
        raise InputError(f"average is '{average}', allowed: {allowed}, or empty")
    if isinstance(checkpoint, Checkpoint):
        found = checkpoint
    else:
        found = find_checkpoint(checkpoint, entry, weights=engine != "remote")
    return replace(
        found,
        style=style or found.style,
        grid_style=grid_style or found.grid_style,
        axes=axes or found.axes,
        average=_averages(found, average),
    )


def _averages(checkpoint: Checkpoint, average: str) -> dict[str, str]:
    """style -> average, as the entry says unless `average` is one for all styles."""
    if average == NO_AVERAGE:
        return {}
    return dict.fromkeys(checkpoint.styles, average) if average else checkpoint.average


def has_map(checkpoint: Checkpoint, engine: str) -> bool:
    """Whether a predictor of this checkpoint and engine has maps: a dense head, and the hidden
    states that it reads."""
    return engine == "local" and checkpoint.head is not None


def _askable(checkpoint: Checkpoint, engine: str, style: str, grid_style: str) -> Checkpoint:
    """The entry with styles that the engine can do. style, grid_style: those that were wanted."""
    lacking = _lacking(engine)
    left = checkpoint.spoken(lacking)
    for parameter, own, wanted in (
        ("style", checkpoint.style, style),
        ("grid.style", checkpoint.grid_style, grid_style),
    ):
        if own in lacking and (wanted or not left):
            other = f"set {parameter} (--style) to {' or '.join(left)}, or " if left else ""
            raise UnsupportedError(
                f"engine '{engine}' cannot do style {own} of checkpoint '{checkpoint.name}':"
                f" {lacking[own]}; {other}take engine local"
            )
    return checkpoint.speaking(lacking)


def _lacking(engine: str) -> Mapping[str, str]:
    """Style -> why the engine cannot do it; one that was added to PREDICTORS has no head."""
    return {} if engine == "local" else LACKING.get(engine, _STATES)


def _replaced(before: Checkpoint, now: Checkpoint) -> dict[str, list[str]]:
    """Style that was given up -> what is done instead, in words."""
    found: dict[str, list[str]] = {}
    for parameter, lost, instead in (
        ("style", before.style, now.style),
        ("grid.style", before.grid_style, now.grid_style),
    ):
        if instead != lost:
            found.setdefault(lost, []).append(f"{parameter} is {instead}")
    return found


def _asking(
    engine: str,
    checkpoint: Checkpoint,
    *,
    warm_up: bool = True,
    progress: Callable[[float, str], None] = silent,
    **options: Any,
) -> "AskingPredictor":
    warm_up = warm_up and engine == "local"  # a fake needs none, and the yardstick is slow
    loading = span(progress, 0.0, 0.9 if warm_up else 1.0)
    found: Any = make_engine(engine, checkpoint, loading, **options)
    if has_map(checkpoint, engine):
        from depthlm_ros.dense.predictor import DensePredictor

        made: AskingPredictor = DensePredictor(found, checkpoint)
    else:
        step_s = REMOTE_STEP_S if engine == "remote" else STEP_S
        made = AskingPredictor(found, checkpoint, step_s)
    if warm_up:
        _warm_up(made, span(progress, 0.9, 1.0))
    return made


# engine -> (Checkpoint, warm_up=, progress=, **options) -> Predictor. A predictor that is added
# here can be named wherever an engine can, and is asked in styles of questions alone.
PREDICTORS: dict[str, Callable[..., Predictor]] = {
    name: partial(_asking, name) for name in ENGINES
}


def _warm_up(predictor: Predictor, progress: Callable[[float, str], None]) -> None:
    """Ask once in each style: else the first user would wait for what happens once, weights
    fetched from disk and kernels compiled, and the pace of this machine would be unknown.

    What fails is logged and no error: the user's own images may be smaller.
    """
    checkpoint = predictor.checkpoint
    frame = usual_frame(checkpoint.focal_px, checkpoint.largest_view)
    middle = [(frame.camera.cx, frame.camera.cy)]
    styles = checkpoint.styles
    for index, style in enumerate(styles):
        progress(index / len(styles), f"warming up, {style}")
        try:
            predictor.ranges(frame, middle, style=style)
        except DepthLMError as error:
            logging.getLogger(__name__).warning("no warm-up in %s style: %s", style, error)
    progress(1.0, "ready")


class AskingPredictor:
    """A Predictor that asks an engine about each pixel; see there for the methods.

    step_s: seconds that one step should take.
    """

    def __init__(self, engine: Engine, checkpoint: Checkpoint, step_s: float = STEP_S) -> None:
        self.engine = engine
        self.checkpoint = _within(checkpoint, engine.limits)
        self._batcher = Batcher(engine, step_s)
        self._scenes = OpenScenes(engine)
        self._is_closed = False

    @property
    def device(self) -> str:
        """Where the model runs."""
        return self.engine.device

    def start(
        self,
        frame: Frame,
        pixels: ArrayLike,
        *,
        style: str = "",
        priority: int = 0,
        deadline: float | None = None,
    ) -> RangesJob:
        """Ask about pixels (N, 2) of a frame; views that are cut into windows take a job each,
        two where answers are averaged."""
        asker = self.checkpoint.asker(style)
        self._check_support(asker, 1)
        plan = _Plan(frame, self._views(frame), asker, as_pixels(pixels))
        is_mirrored = bool(self.checkpoint.average_of(style))
        jobs: list[list[Job]] = []  # of each window
        try:
            for questions in plan.questions:
                jobs.append([])
                for half in [questions, *([questions.mirrored()] if is_mirrored else [])]:
                    scene = self._scenes.take(half.view, asker)
                    job = self._batcher.submit(scene, half, priority, deadline)
                    job.add_done_callback(lambda done: self._scenes.give_back(done.scene))
                    jobs[-1].append(job)
        except Exception:
            for job in chain.from_iterable(jobs):  # nobody will read the windows that did open
                job.cancel()
            raise
        return RangesJob(paired(jobs), partial(_read, jobs, plan, self.checkpoint))

    def ranges(self, frame: Frame, pixels: ArrayLike, *, style: str = "") -> Ranges:
        """Ranges of pixels (N, 2) of a frame, all answered."""
        job = self.start(frame, pixels, style=style)
        with cancelled_by_errors([job]):
            return job.wait()

    def map(self, frame: Frame) -> RangeMap:
        """Raises UnsupportedError: this predictor asks pixel by pixel."""
        raise UnsupportedError(
            f"checkpoint '{self.checkpoint.name}' is asked pixel by pixel and gives no whole map:"
            " ask for a grid, or take a checkpoint for dense maps"
        )

    def ask(self, images: Sequence[View], style: Style, question: Question) -> Reply:
        """The reply to one question about one view or two."""
        self._check_support(style, len(images))
        scene = self.engine.open(images, style)
        try:
            job = self._batcher.submit(scene, [question])
            with cancelled_by_errors([job]):
                reply: Reply = job.wait()[0]
                return reply
        finally:
            scene.close()

    def prepare(self, frame: Frame) -> None:
        """Resize the image; kept where the frame is a SharedFrame."""
        self._views(frame)

    def run_once(self) -> bool:
        """One step of the engine; see Predictor."""
        return self._batcher.drive()

    def stats(self) -> PredictorStats:
        """Of the engine and its steps."""
        counts = self.engine.counts
        return PredictorStats(
            batch_size=self._batcher.batch_size,
            checked=counts["checked"],
            fell_back=counts["fell_back"],
            memory_bytes=self.engine.memory_bytes,
            servers=self.engine.servers if isinstance(self.engine, OnServers) else (),
        )

    def close(self) -> None:
        """Give the model back; what is asked from then on is an EngineError."""
        self._is_closed = True
        self.engine.close()

    def _views(self, frame: Frame) -> list[View]:
        """The views in which a frame is asked about, several of a large one."""
        self._check_open()
        view = self.checkpoint.view(frame)
        return view.windows(self.checkpoint.largest_view, self.engine.limits)

    def _check_open(self) -> None:
        if self._is_closed:
            raise EngineError("this predictor was closed: load another one")

    def _check_support(self, style: Style, images: int) -> None:
        self._check_open()
        reason = self.engine.supports(style, images)
        if reason:
            raise UnsupportedError(reason)


@contextmanager
def cancelled_by_errors(jobs: Sequence[Job | RangesJob]) -> Iterator[None]:
    """Cancel jobs if the block raises: after Ctrl+C in a notebook later questions would share
    their steps with those that nobody waits for."""
    try:
        yield
    except BaseException:
        for job in jobs:
            job.cancel()
        raise


def _within(checkpoint: Checkpoint, limits: ViewLimits) -> Checkpoint:
    """The entry with a largest_view that the image processor allows too."""
    width, height = (int(min(side, limits.longest_side)) for side in checkpoint.largest_view)
    return replace(checkpoint, largest_view=(width, height))


@dataclass
class _Entry:
    """An open scene; key: what it shows."""

    scene: Scene
    key: object
    frame: Frame  # as long as it lives, its id is its own
    users: int = 1


class OpenScenes:
    """The scenes of one engine that are in use: a view is opened once, however many ask about it.

    take() is for one thread, give_back() for any. Only views of a SharedFrame are shared: the
    image of another Frame may change.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._entries: dict[int, _Entry] = {}  # by id of the scene
        self._lock = threading.Lock()

    def take(self, view: View, style: Style) -> Scene:
        """The scene of a view in a style, to be given back. Raises what Engine.open raises."""
        key = _key(view, style)
        with self._lock:
            for entry in self._entries.values():
                if entry.key == key:
                    entry.users += 1
                    return entry.scene
        scene: Scene = self._engine.open([view], style)
        with self._lock:
            self._entries[id(scene)] = _Entry(scene, key, view.frame)
        return scene

    def give_back(self, scene: Scene) -> None:
        """Close it if nobody else uses it."""
        with self._lock:
            entry = self._entries[id(scene)]
            entry.users -= 1
            if entry.users:
                return
            del self._entries[id(scene)]
        scene.close()


def _key(view: View, style: Style) -> object:
    if not isinstance(view.frame, SharedFrame):
        return object()  # equal to no other
    return id(view.frame), view.camera, view.offset, view.is_mirrored, style.name


class _Plan:
    """Which pixels of a frame are asked, where, and what is known of the others.

    camera: of the frame.
    style: in which they are asked.
    status: (N,) uint8 of Status, of each pixel if it is answered.
    asked: (N, 2) pixels of the frame that are asked.
    questions: those of each window of the frame.
    """

    def __init__(
        self, frame: Frame, views: list[View], style: PointingStyle, pixels: np.ndarray
    ) -> None:
        self.camera = frame.camera
        self.style = style.name
        self.status = checked(frame.camera, pixels)
        self.asked = pixels.copy()
        self.questions = [
            self._snapped(view, style, indices, places)
            for view, indices, places in self._shared_out(views)
        ]

    def _shared_out(self, views: list[View]) -> Iterator[tuple[View, np.ndarray, np.ndarray]]:
        """(view, indices, their pixels of the view): each pixel goes to the window in whose
        middle it lies best."""
        indices = np.flatnonzero(self.status == Status.OK)
        if not len(indices):
            return
        centres = np.array([(v.camera.width / 2, v.camera.height / 2) for v in views])
        places = np.stack([v.to_view(self.asked[indices]) for v in views])  # (views, indices, 2)
        best = np.abs(places - centres[:, None]).max(axis=2).argmin(axis=0)
        for number in np.unique(best):
            mine = best == number
            yield views[number], indices[mine], places[number, mine]

    def _snapped(
        self, view: View, style: PointingStyle, indices: np.ndarray, places: np.ndarray
    ) -> "_Questions":
        """The questions of a window; a pixel without space for a marker is snapped."""
        for i in np.flatnonzero(~style.can_ask(view, places)):
            places[i] = style.nearest_askable(view, places[i])
            self.status[indices[i]] = Status.SNAPPED
            self.asked[indices[i]] = view.to_frame(places[i])[0]
        return _Questions(style, view, indices, places)


def checked(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """(N,) OK, or why a pixel (N, 2) cannot be asked."""
    status = np.full(len(pixels), Status.OUTSIDE, np.uint8)
    status[~np.isfinite(pixels).all(axis=1)] = Status.INVALID
    inside = np.flatnonzero(camera.contains(pixels))
    with np.errstate(invalid="ignore"):
        has_ray = np.isfinite(camera.rays(pixels[inside])).all(axis=1)
    status[inside] = np.where(has_ray, Status.OK, Status.INVALID)
    return status


@dataclass(frozen=True)
class _Questions(Sequence[Question]):
    """About pixels (N, 2) of a view, each made when a step takes it: a million at once would keep
    all other callers waiting for seconds, and take hundreds of megabytes.

    indices: (N,) the pixels of the plan that they are about.
    """

    style: PointingStyle
    view: View
    indices: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Question: ...

    @overload
    def __getitem__(self, index: slice) -> "_Questions": ...

    def __getitem__(self, index: int | slice) -> "Question | _Questions":
        if isinstance(index, slice):
            return replace(self, indices=self.indices[index], places=self.places[index])
        return self.style.question(self.view, self.places[index])

    def __iter__(self) -> Iterator[Question]:
        return iter(self.style.questions(self.view, self.places))

    def mirrored(self) -> "_Questions":
        """The same pixels, asked in the mirrored view."""
        places = self.places.copy()
        # The sliver that truncating the size cut off (question.py) lies one pixel off the view.
        places[:, 0] = np.maximum(self.view.camera.width - 1 - places[:, 0], 0)
        return replace(self, view=self.view.mirrored(), places=places)


def paired(jobs: Sequence[Sequence[Part]]) -> list[Part]:
    """A part for each list of one job, or of two that tell the same pixels."""
    return [Both(*parts) if len(parts) > 1 else parts[0] for parts in jobs]


def averaged(halves: Sequence[np.ndarray]) -> np.ndarray:
    """(N, 3) metres: the mean of one or several (N, 3) in log metres; NaN where one of them is."""
    if len(halves) == 1:
        return halves[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.exp(np.mean(np.log(halves), axis=0))


_NUMBERS = attrgetter("value", "median", "lower", "upper")
_NO_REPLY = Reply(nan, "")


def _read(jobs: list[list[Job]], plan: _Plan, checkpoint: Checkpoint, report: str) -> Ranges:
    """The Ranges of a plan as far as its jobs, those of each window, are answered."""
    use_median = (report or checkpoint.report) == "median"
    status = plan.status.copy()
    values = np.full((len(status), 3), nan)  # value, lower, upper in the checkpoint's kind
    for halves, questions in zip(jobs, plan.questions, strict=True):
        replies, indices = [job.snapshot() for job in halves], questions.indices
        values[indices] = averaged([_numbers(half, use_median) for half in replies])
        lost = Status.CANCELLED if any(job.cancelled for job in halves) else Status.TIMED_OUT
        answered = np.array([None not in each for each in zip(*replies, strict=True)])
        unknown = np.where(answered, Status.NO_NUMBER, lost)
        status[indices] = np.where(np.isfinite(values[indices, 0]), status[indices], unknown)
    return Ranges.of_checkpoint(values, status, plan.asked, plan.camera, checkpoint, plan.style)


def _numbers(replies: list[Reply | None], use_median: bool) -> np.ndarray:
    """(N, 3) number, lower and upper of replies, NaN where there is none yet.

    The number is the median only where there is one: without a distribution there are digits.
    """
    flat = chain.from_iterable(_NUMBERS(reply or _NO_REPLY) for reply in replies)
    value, middle, lower, upper = np.fromiter(flat, float, 4 * len(replies)).reshape(-1, 4).T
    return np.stack([np.where(use_median & np.isfinite(middle), middle, value), lower, upper], 1)
