# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Engines side by side: the same model, image and questions, one after the other in one run.

reference answers in the published way: a whole prompt with its own image for each question,
preprocessing included, and as many tokens as the published answer has. Both engines are given
one model, reference first, since a fast engine may change how the model computes.
"""

import os
from dataclasses import dataclass
from itertools import chain

from depthlm_ros.bench.shapes import build, find_size, view_of
from depthlm_ros.bench.timing import (
    Contestant,
    Stopwatch,
    memory_of,
    questions_about,
    with_ratios,
    yardstick,
)
from depthlm_ros.bench.weights import TREE
from depthlm_ros.bench.work import peak_flops, work_of
from depthlm_ros.engines import is_checked
from depthlm_ros.errors import InputError, MissingDependency

PUBLISHED_TOKENS = 35  # of an answer in tags, the end included
COUNTED = 32  # questions over which lengths are averaged


@dataclass(frozen=True)
class Setting:
    """What was compared. load_before: processes that kept the machine busy before, on average;
    peak_flops: measured on the device; work: style -> work.Work; check: which answers of local
    were checked; tree: how the number was read.
    """

    size: str
    parameters: int
    dtype: str
    device: str
    limit_s: float
    load_before: float
    peak_flops: float
    work: dict
    check: str
    tree: str = TREE

    def roofline_s(self, style, n) -> float:
        """Seconds that n questions take at the peak."""
        return self.work[style].total(n) / self.peak_flops

    def achieved_flops(self, row) -> float:
        """The least operations for a row's answers over the time they took."""
        return self.work[row.style].total(row.n) / (row.n * row.seconds_per_question)


def compare(name, styles, ns, limit_s=60.0, device="auto", check="auto"):
    """(Setting, an iterator over timing.Rows that measures as it goes) of the size `name`.

    styles: names, empty for all that the model speaks.
    ns: numbers of questions.
    check: see engines.is_checked.

    Raises InputError for an unknown size or style, OutOfMemory where the model does not fit, and
    MissingDependency without torch and transformers.
    """
    size = find_size(name)
    styles, load_before = _checked(name, size, styles), os.getloadavg()[0]
    loaded = _built(size, name, device)
    watch = Stopwatch(view_of(size), memory_of(loaded.device), limit_s)
    setting = Setting(
        size=name,
        parameters=loaded.parameters,
        dtype=str(loaded.model.dtype).removeprefix("torch."),
        device=loaded.device.type,
        limit_s=limit_s,
        load_before=load_before,
        peak_flops=peak_flops(loaded.device, loaded.model.dtype),
        work=_work(loaded, watch, styles),
        check=_told(loaded.checkpoint, styles, check),
    )
    local = _local(loaded, watch, styles, ns, check)
    rows = chain(_reference(loaded, watch, styles, ns), local)
    return setting, with_ratios(rows)


def _told(checkpoint, styles, check) -> str:
    """Which styles are checked, in words."""
    checked = [name for name in styles if is_checked(check, checkpoint.asker(name))]
    return f"on for {', '.join(checked)} (made, and taken for passed)" if checked else "off"


def _built(size, name, device):
    try:
        return build(size, name, device)
    except ImportError as error:
        raise MissingDependency(
            f"comparing engines needs a package that is not installed ({error}): run `make setup`"
            " and activate .venv"
        ) from error


def _checked(name, size, styles) -> list:
    unknown = [style for style in styles if style not in size.wording]
    if unknown:
        spoken = ", ".join(size.wording)
        raise InputError(f"{name} cannot be asked by '{unknown[0]}', only by {spoken}")
    return list(styles or size.wording)


def _work(loaded, watch, styles) -> dict:
    from depthlm_ros.models.prompts import Prompts

    prompts = Prompts(loaded)
    askers = {style: loaded.checkpoint.asker(style) for style in styles}
    return {
        style: work_of(
            loaded, prompts, watch.view, asker, questions_about(watch.view, asker, COUNTED)
        )
        for style, asker in askers.items()
    }


def _reference(loaded, watch, styles, ns):
    """Rows at batch 1 and, for enough questions, at the best batch."""
    from depthlm_ros.engines.reference import ReferenceEngine

    engine = ReferenceEngine(loaded, max_new_tokens=PUBLISHED_TOKENS)
    for style in dict.fromkeys(map(yardstick, styles)):
        asker = loaded.checkpoint.asker(style)
        contestant = Contestant("reference", engine, asker, opening_counts=False)
        watch.sample(contestant, 1, 1)  # the first one warms up
        for row in watch.rows(contestant, ns, 1):
            yield row
        best = watch.best_batch(contestant, max(ns), row.seconds_per_question)
        if best > 1:
            yield from watch.rows(contestant, [n for n in ns if n >= best], best)
    engine.close()


def _local(loaded, watch, styles, ns, check):
    """Rows of the fast engine, its steps as large as it likes."""
    from depthlm_ros.engines.local.engine import LocalEngine

    engine = convinced(LocalEngine(loaded, check=check))
    for style in styles:
        contestant = Contestant("local", engine, loaded.checkpoint.asker(style))
        watch.sample(contestant, 1, 1)
        yield from watch.rows(contestant, ns)
    engine.close()


def convinced(engine):
    """The LocalEngine, which makes every check and takes it for passed, as nearly all of a trained
    model's are: random weights never say the closing words, and free decoding would be timed
    instead."""
    checker = engine.checker
    agreed, holds = checker.agreed, checker.holds
    checker.agreed = lambda *asked: [True for _ in agreed(*asked)]
    checker.holds = lambda *asked: [True for _ in holds(*asked)]
    return engine
