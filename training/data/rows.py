# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Examples -> rows to train on: one view or crop of it, its questions, their answers.

Asks with the same Style objects as the predictor and renders the same answers. Item i of the
data is a pure function of (seed, i). Knows nothing about tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Literal

import numpy as np
from torch.utils.data import Dataset

from depthlm_ros.errors import InputError, RecordError
from depthlm_ros.question import PlainStyle, Question
from depthlm_ros.view import View, bicubic
from training.data.examples import (
    Sparse,
    Unmeasured,
    brought_nearer,
    no_map,
    of_record,
    of_shot,
    quarter_turned,
    sometimes_zoomed,
    varied,
)
from training.data.lessons import lessons
from training.data.mixture import Mixture, Source
from training.data.shards import Shot
from training.data.sources import opened

Shown = Literal["own", "another", "nothing"]


@dataclass(frozen=True)
class Asked:
    """One question with its answer. style: its Style; metres: the truth, in the asked kind."""

    style: object
    question: Question
    metres: float

    @property
    def answer(self) -> str:
        """The text that the model learns to say."""
        return self.question.form.render(self.metres)


@dataclass(frozen=True)
class Taught:
    """One question of a task (depthlm_ros.tasks), or for a map, with its answer."""

    style: object
    question: Question
    answer: str


@dataclass(frozen=True)
class Row:
    """An example's view with questions.

    image: what the model sees, with an arrow if one asks so; more: a second image, if any.
    weights: of the losses. skipped: the records that could not be used on the way to this one.
    shown: what a dense head is shown of what the model makes of images: that of this image, of
        "another" or "nothing".
    """

    example: object
    view: View
    image: np.ndarray
    asked: tuple
    weights: dict
    skipped: tuple = ()
    more: tuple = ()
    shown: Shown = "own"


def make_row(example, checkpoint, stage, rng, crop=None, multiple=1, aspect=None) -> Row:
    """A row about one example; rng chooses crop and pixels. crop, multiple: see cropped(); aspect:
    see stretched(), instead of a crop."""
    if isinstance(example, Sparse) and not (stage.ask or stage.reply):
        raise no_map(example.name)
    view = _looked(example.frame, rng, crop, checkpoint, multiple, aspect)
    asked, image = [], view.image
    for name, count in stage.ask.items():
        style = checkpoint.asker(name)
        wanted = int(count) + (rng.random() < count % 1)
        for pixel, distance_m in example.drawn(view, style, wanted, rng) if wanted else ():
            metres = _in_kind(checkpoint.kind, view, pixel, distance_m)
            if metres >= 10**checkpoint.integer_digits:
                raise RecordError(
                    f"{example.name}: {metres:g} m has over {checkpoint.integer_digits} digits"
                )
            asked.append(Asked(style, style.question(view, pixel), metres))
            if not style.shares_image:
                image = style.image(view, pixel)
    if stage.reply:
        head = checkpoint.head
        asked.append(Taught(PlainStyle(), PlainStyle.ask(head.prompt), head.reply))
    return Row(example, view, image, tuple(asked), stage.weights)


def task_row(item, stage) -> Row:
    """A row about one Item of a task."""
    image, *more = item.images
    asked = (Taught(item.style, item.question, item.answer),)
    example = Unmeasured(item.where)
    return Row(example, item.views[0], image, asked, stage.weights, more=tuple(more))


def _in_kind(kind, view, pixel, distance_m) -> float:
    return float(view.camera.z_from_distance(pixel, distance_m)[0]) if kind == "z" else distance_m


def cropped(view, crop, multiple, rng) -> View:
    """The middle of the view at a random size (DepthLM: 1000-1400 x 700-1200, always centred).

    crop: a config's Crop. A side is cut to whole tokens of
    `multiple` pixels, so that the image processor resamples nothing.
    """
    lengths = []
    for name, whole in (("width", view.camera.width), ("height", view.camera.height)):
        length = int(min(whole, rng.uniform(*getattr(crop, name))))
        lengths.append(max(length // multiple, 1) * multiple if whole >= multiple else whole)
    width, height = lengths
    left, top = (view.camera.width - width) // 2, (view.camera.height - height) // 2
    return view.cropped(left, top, width, height)


def stretched(view, aspect, rng) -> View:
    """The view with its height changed so that width over height is a number drawn between the two
    of aspect; the camera follows, distances stay (DepthLM's release, of Taskonomy)."""
    camera = view.camera
    height = int(camera.width / rng.uniform(*aspect))
    more = height / camera.height
    return View(
        bicubic(view.image, camera.width, height),
        camera.scaled(1.0, more, camera.width, height),
        view.frame,
        (view.scale[0], view.scale[1] * more),
    )


class Stages(Dataset):
    """The rows of all stages end to end: `batch` for each step. read: (stage, i) -> Row."""

    def __init__(self, mixtures):
        self._mixtures = mixtures
        self._starts = list(accumulate((len(m) for m in mixtures), initial=0))

    def __len__(self):
        return self._starts[-1]

    def __getitem__(self, index) -> Row:
        for mixture, (start, end) in zip(self._mixtures, pairwise(self._starts), strict=True):
            if index < end:
                row, skipped = mixture[index - start]
                return replace(row, skipped=skipped)
        raise IndexError(f"{len(self)} rows, asked for number {index}")


def stage_rows(config, checkpoint, multiple=1) -> Stages:
    """The rows of a config; InputError where its data are empty or not there."""
    rows = []
    for number, stage in enumerate(config.stages):
        seed, length = config.seed * 1000 + number, stage.steps * config.batch
        drawn = _of_tasks if stage.tasks else _of_questions
        rows.append(drawn(config, stage, checkpoint, multiple, seed, length))
    return Stages(rows)


def _of_questions(config, stage, checkpoint, multiple, seed, length) -> Mixture:
    make = partial(_made, config=config, stage=stage, checkpoint=checkpoint, multiple=multiple)
    return Mixture(_sources(config.data, stage.images), make, seed, length, config.bad)


def _of_tasks(config, stage, checkpoint, multiple, seed, length) -> Mixture:
    look = partial(_looked, crop=config.crop, checkpoint=checkpoint, multiple=multiple)
    make = partial(task_row, stage=stage)
    data, tasks = config.data, stage.tasks
    return lessons(data, tasks, checkpoint, seed, length, stage.style, config.bad, look, make)


def _looked(frame, rng, crop, checkpoint, multiple, aspect=None) -> View:
    """A frame as training sees it."""
    view = checkpoint.view(frame)
    if aspect:
        return stretched(view, aspect, rng)
    return cropped(view, crop, multiple, rng) if crop else view


def _made(drawn, rng, config, stage, checkpoint, multiple) -> Row:
    item, entry = drawn
    example = of_shot(item) if isinstance(item, Shot) else of_record(item)
    example = varied(example, rng) if config.vary else example
    if entry.nearer:
        example = brought_nearer(example, entry.nearer, rng)
    elif config.zoom:
        example = sometimes_zoomed(example, config.zoom, rng)
    is_turned = config.turned > 0 and rng.random() < config.turned
    if is_turned:
        example = quarter_turned(example, int(rng.integers(1, 4)))
    row = make_row(example, checkpoint, stage, rng, config.crop, multiple, entry.aspect)
    is_hidden = is_turned and config.hides_turned
    return replace(row, shown="nothing" if is_hidden else _shown(entry, rng))


def _shown(entry, rng) -> Shown:
    drawn = rng.random()
    if drawn < entry.hidden:
        return "nothing"
    return "another" if drawn < entry.hidden + entry.swapped else "own"


def _sources(data, images) -> dict:
    """name -> Source of a config's data, see First; only the first `images` of each, 0 for all."""
    parts = opened(data)
    if any(part.pairs for part in parts):
        raise InputError("a stage that asks has no use for data with pairs: give it tasks")
    return {
        part.name: Source(First(part.items, images or len(part.items), entry), part.weight)
        for part, entry in zip(parts, data, strict=True)
    }


class First(Sequence):
    """(item, entry) of the first `count` of some items; entry: the config's DataEntry."""

    def __init__(self, items, count, entry):
        self._items, self._count, self._entry = items, min(count, len(items)), entry

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        return self._items[index], self._entry
