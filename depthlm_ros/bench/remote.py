# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The engine remote measured as users ask it: n questions about images, on one server and on all,
beside the engine of this process, with the bytes that each question cost and what the server alone
takes for it."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from depthlm_ros.bench.predictors import random_pixels
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines import make_engine
from depthlm_ros.predict import REMOTE_STEP_S, STEP_S, AskingPredictor
from depthlm_ros.view import Frame

STYLES = "coordinates", "marker"
MOST_LOCAL = 100  # marker questions in this process, of which a thousand take minutes
OWN = "local"


class Asked(NamedTuple):
    """n questions about one image. where: "local", or the number of servers. seconds: until all
    were answered. own_s: processor time of this process meanwhile, all of its threads. server_s:
    what one server takes for the same questions about another image, where nothing else is waited
    for: all of a round of digits in one request; 0 where that was not measured."""

    where: str
    style: str
    n: int
    seconds: float
    own_s: float
    bytes_per_question: float = 0.0
    requests: int = 0
    server_s: float = 0.0

    def line(self) -> str:
        """For a table."""
        told = (
            f"{self.where:<12}{self.style:<13}{self.n:>6}{self.seconds:>10.2f} s"
            f"{1e3 * self.seconds / self.n:>10.1f} ms{self.n / self.seconds:>9.0f}/s"
            f"{1e3 * self.own_s / self.n:>10.1f} ms"
            f"{self.bytes_per_question / 1e3:>10.1f} kB{self.requests:>10}"
        )
        if self.server_s:
            told += f"{self.server_s:>12.2f} s{self.seconds / self.server_s:>8.2f}x"
        return told


HEADER = (
    f"{'where':<12}{'style':<13}{'n':>6}{'time':>12}{'a question':>13}{'rate':>11}{'own cpu':>13}"
    f"{'a question':>13}{'requests':>10}{'server alone':>14}{'ratio':>9}"
)


def rows(
    checkpoint: Checkpoint,
    frame: Frame,
    options: dict[str, Any],
    styles: Sequence[str],
    counts: Sequence[int],
) -> Iterator[Asked]:
    """An Asked for each engine, style and number of questions. options: of the engine remote."""
    urls = options["urls"]
    choices = [urls[:1], urls] if len(urls) > 1 else [urls]
    for some in [(), *choices]:
        name = "remote" if some else "local"
        given = {**options, "urls": some} if some else {"device": options.get("device", "auto")}
        where = OWN if not some else f"{len(some)} server" + "s" * (len(some) > 1)
        step_s = REMOTE_STEP_S if some else STEP_S
        engine = make_engine(name, checkpoint, check="off", **given)
        predictor = AskingPredictor(engine, checkpoint, step_s)
        alone = None
        try:
            if len(some) == 1:
                alone = make_engine(name, checkpoint, check="off", whole=True, **given)
            for style in [s for s in styles if s in checkpoint.wording]:
                yield from _of_style(predictor, alone, where, frame, style, counts)
        finally:
            predictor.close()
            if alone is not None:
                alone.close()


def _of_style(
    predictor: AskingPredictor,
    alone: Any,
    where: str,
    frame: Frame,
    style: str,
    counts: Sequence[int],
) -> Iterator[Asked]:
    predictor.ranges(
        _another(frame), random_pixels(frame.camera, 64), style=style
    )  # what happens once
    for n in counts:
        if where == OWN and style == "marker" and n > MOST_LOCAL:
            continue
        own, pixels = _another(frame), random_pixels(frame.camera, n)
        before, begin, busy = _traffic(predictor), time.perf_counter(), time.process_time()
        predictor.ranges(own, pixels, style=style)
        seconds, own_s = time.perf_counter() - begin, time.process_time() - busy
        sent = _traffic(predictor)
        sent = {name: count - before.get(name, 0) for name, count in sent.items()}
        server_s = alone and _server_s(alone, predictor.checkpoint, _another(frame), style, pixels)
        costs = sent.get("bytes", 0) / n, sent.get("requests", 0), server_s or 0.0
        yield Asked(where, style, n, seconds, own_s, *costs)


def _server_s(
    engine: Any, checkpoint: Checkpoint, frame: Frame, style: str, pixels: np.ndarray
) -> float:
    """Seconds of one server for questions about a frame that is no larger than a view. engine:
    remote, which asks all of them at once."""
    asker = checkpoint.asker(style)
    if not asker.shares_image:
        return 0.0
    view = checkpoint.view(frame)
    before = engine.waited_s
    scene = engine.open([view], asker)
    places = view.to_view(pixels).tolist()
    engine.step([(scene, asker.question(view, place)) for place in places])
    scene.close()
    return engine.waited_s - before


def _traffic(predictor: AskingPredictor) -> dict[str, int]:
    return dict(getattr(predictor.engine, "traffic", {}))


def _another(frame: Frame) -> Frame:
    """The frame with an image that no server has seen: a pixel of it is another one."""
    image = frame.image.copy()
    image[:1, :1] = np.random.default_rng(time.monotonic_ns()).integers(0, 256, 3)
    return Frame(image, frame.camera)
