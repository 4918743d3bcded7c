# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Pictures with true distances -> rows to train on: one view, its questions, their answers.

Asks with the same Style objects as the predictor and renders the same answers. Item i is a pure
function of (seed, i). Knows nothing about tokens.
"""

from dataclasses import dataclass, replace

import numpy as np
from torch.utils.data import Dataset

from depthlm_ros.question import Question
from depthlm_ros.view import View, unify_focal


@dataclass(frozen=True)
class Asked:
    """One question with its answer. style: its Style; metres: the true distance."""

    style: object
    question: Question
    metres: float

    @property
    def answer(self) -> str:
        """The text that the model learns to say."""
        return self.question.form.render(self.metres)


@dataclass(frozen=True)
class Row:
    """A shot's view with questions. image: what the model sees, with an arrow if one asks so."""

    shot: object
    view: View
    image: np.ndarray
    asked: tuple


class QuestionRows(Dataset):
    """`length` rows drawn from the first `count` shots. ask: style -> questions per picture.

    A picture carries one arrow at most, so "marker" asks 0 or 1; a fraction is a probability.
    vary: mirror and recolour, see varied().
    """

    def __init__(self, shots, count, checkpoint, ask, seed, length, vary=False):
        self.shots = shots
        self.count = count
        self.checkpoint = checkpoint
        self.ask = ask
        self.seed = seed
        self.length = length
        self.vary = vary

    def __len__(self):
        return self.length

    def __getitem__(self, index) -> Row:
        rng = np.random.default_rng([self.seed, index])
        shot = self.shots[int(rng.integers(self.count))]
        return make_row(varied(shot, rng) if self.vary else shot, self.checkpoint, self.ask, rng)


def varied(shot, rng):
    """The shot as another camera might have taken it: mirrored or not, other colours.

    Exposure, white balance and contrast change what a picture shows and no distance.
    """
    shot = shot.mirrored() if rng.random() < 0.5 else shot
    levels = (np.arange(256) / 255) ** rng.uniform(0.7, 1.4)
    gains = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
    table = np.clip(np.round(levels[:, None] * gains * 255), 0, 255).astype(np.uint8)
    image = table[shot.frame.image, np.arange(3)]
    return replace(shot, frame=replace(shot.frame, image=image))


def make_row(shot, checkpoint, ask, rng) -> Row:
    """A row about one shot; rng chooses the pixels."""
    view = unify_focal(shot.frame, checkpoint.focal_px, checkpoint.axes)
    asked, image = [], view.image
    for name, count in ask.items():
        style = checkpoint.asker(name)
        for _ in range(int(count) + (rng.random() < count % 1)):
            asked.append(_ask(style, view, shot, rng))
            if not style.shares_picture:
                image = style.picture(view, asked[-1].question.pixel)
    return Row(shot, view, image, tuple(asked))


def _ask(style, view, shot, rng) -> Asked:
    while True:
        pixel = rng.integers((view.camera.width, view.camera.height))
        if style.can_ask(view, pixel):
            metres = float(true_distances(shot, view, pixel)[0])
            if np.isfinite(metres):
                return Asked(style, style.question(view, pixel), metres)


def true_distances(shot, view, pixels) -> np.ndarray:
    """(N,) metres along the ray at view pixels (N, 2), NaN where unknown (sky)."""
    places = np.floor(view.to_frame(pixels)).astype(int)
    height, width = shot.distance_m.shape
    u, v = np.clip(places, 0, (width - 1, height - 1)).T
    return shot.distance_m[v, u].astype(np.float64)
