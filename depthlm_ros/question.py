# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Ways to point at a pixel of a view, and the question that results.

MarkerStyle draws an arrow (DepthLM), CoordinateStyle writes the place into the text (VLM3),
PositionStyle gives it to one token as its rotary position (ours), PlainStyle points at nothing.
WORDINGS holds the words of every question and the form of its answer, published ones and ours.
Pixels here are view pixels (u, v), integers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike

from depthlm_ros.answer import FORMS, FREE, AnswerForm
from depthlm_ros.errors import InputError
from depthlm_ros.view import View

# The special token that carries a place: Qwen's vocabularies have it and never use it alone.
POINT = "<|box_start|>"

_TAGS = (
    "Output the thinking process in <think> </think> and final answer (the meter number only,"
    " without the unit) in <answer> </answer> tags."
)
# style -> wording -> (question, form of the answer)
WORDINGS = {
    "marker": {
        # The released DepthLM code, for training and evaluation alike.
        "tags": (
            "Given this image, how far is the point pointed by the red arrow from the camera? "
            + _TAGS,
            "tags",
        ),
        # DepthLM, section 3.1.
        "sentence": ("How many meters is this point from the camera?", "sentence"),
    },
    "coordinates": {
        # The released VLM3 form.
        "tags": (
            "Given this image, how far is the point at coordinates ({x}, {y}) from the camera?"
            " The coordinates are in normalised [0, {range}] format relative to image width and"
            " height. " + _TAGS,
            "tags",
        ),
        # VLM3, the paper's form.
        "meters": (
            (
                "How far is the pixel at ({x}, {y}) from the camera? Both x and y are normalized"
                " to between [0, {range})."
            ),
            "meters",
        ),
    },
    # Ours: every word stands before the token that points, so that pixels share them all.
    "position": {
        "number": ("How many meters is this point from the camera?" + POINT, "number"),
    },
}


@dataclass(frozen=True)
class Question:
    """What is asked about one pixel.

    pixel: (u, v) of the view, () for none.
    text: the user's words.
    form: of the answer: one of FORMS, or FREE for what is no number in known words.
    """

    pixel: tuple[int, ...]
    text: str
    form: AnswerForm


class Style(Protocol):
    """A way to ask about images.

    name: of the style.
    shares_image: whether all questions see the same image.
    images: about how many images a question may be.
    """

    name: ClassVar[str]
    images: ClassVar[tuple[int, ...]]

    @property
    def shares_image(self) -> bool: ...

    def probes(self, view: View) -> list[Question]:
        """Two questions that differ as early as any."""

    def image(self, view: View, pixel: ArrayLike) -> np.ndarray:
        """(h, w, 3) uint8: what the model sees for this pixel."""


class PointingStyle(Style, Protocol):
    """A way to point at a pixel of a view."""

    def can_ask(self, view: View, pixel: ArrayLike) -> np.ndarray:
        """Whether view pixels (N, 2) can be pointed at, (N,) bool."""

    def nearest_askable(self, view: View, pixel: ArrayLike) -> tuple[int, ...]:
        """The closest view pixel that can be asked; InputError if the view has none."""

    def question(self, view: View, pixel: Sequence[float]) -> Question:
        """The question about a view pixel (u, v)."""

    def questions(self, view: View, pixels: ArrayLike) -> list[Question]:
        """Those about view pixels (N, 2)."""


class _Style:
    """What the styles that point have in common.

    wording: a key of WORDINGS of the style.
    words: (text, AnswerForm) of another question about the pixel, instead of a wording's; the
    text holds the places that the style's wordings hold.
    """

    name: ClassVar[str] = ""
    images: ClassVar[tuple[int, ...]] = (1,)

    # Fields of the styles, which are dataclasses.
    wording: str
    words: tuple[str, AnswerForm] | tuple[()]

    @property
    def margin(self) -> int:
        """The border that cannot be asked, in view pixels."""
        return 0

    def _limits(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest askable (u, v). Without a margin the sliver that truncating
        the size cut off belongs to the view (VLM3's coordinates include their upper end)."""
        size = np.array([view.camera.width, view.camera.height])
        return np.full(2, self.margin), size - self.margin - (1 if self.margin else 0)

    def can_ask(self, view: View, pixel: ArrayLike) -> np.ndarray:
        """Whether this view pixel can be pointed at; of pixels (N, 2): (N,) bool."""
        low, high = self._limits(view)
        place = np.asarray(pixel)
        return np.asarray(np.all((low <= place) & (place <= high), axis=-1))

    def nearest_askable(self, view: View, pixel: ArrayLike) -> tuple[int, ...]:
        """The closest view pixel that can be asked; InputError if the view has none."""
        low, high = self._limits(view)
        if np.any(high < low):
            raise InputError(
                f"a view of {view.camera.width} x {view.camera.height} has no room for a"
                f" {self.name} with {self.margin} px on each side: give a larger image"
            )
        return tuple(int(c) for c in np.clip(np.asarray(pixel), low, high))

    def image(self, view: View, pixel: ArrayLike) -> np.ndarray:
        """(h, w, 3) uint8: what the model sees for this pixel."""
        return view.image

    def question(self, view: View, pixel: Sequence[float]) -> Question:
        """The question about a view pixel (u, v)."""
        return self.questions(view, [pixel])[0]

    def questions(self, view: View, pixels: ArrayLike) -> list[Question]:
        """Those about view pixels (N, 2)."""
        text, form = self.words or self._published()
        places = np.asarray(pixels)
        texts = self._filled(view, places, text)
        whole = places.astype(int).tolist()
        return [Question((u, v), own, form) for (u, v), own in zip(whole, texts, strict=True)]

    def _published(self) -> tuple[str, AnswerForm]:
        text, form = WORDINGS[self.name][self.wording]
        return text, FORMS[form]

    def probes(self, view: View) -> list[Question]:
        """Two questions that have no more in common than all have."""
        corners = ((0, 0), (view.camera.width - 1, view.camera.height - 1))
        return [self.question(view, corner) for corner in corners]

    def _filled(self, view: View, pixels: np.ndarray, text: str) -> list[str]:
        """The text about each of the pixels (N, 2)."""
        return [text] * len(pixels)


@dataclass(frozen=True)
class MarkerStyle(_Style):
    """A red arrow whose tip is left of the pixel (DepthLM, section 3.2 and released code).

    Nine cells: a shaft of five and a head of four; the pixel's own cell stays unpainted.

    scale: view pixels that a cell is wide and high, 1 in the published checkpoints.
    wording, words: see _Style.
    """

    scale: int = 1
    wording: str = "tags"
    words: tuple[str, AnswerForm] | tuple[()] = ()

    name: ClassVar[str] = "marker"
    shares_image: ClassVar[bool] = False
    CELLS = tuple((-i, 0) for i in range(1, 6)) + ((-2, -1), (-2, 1), (-3, -2), (-3, 2))
    COLOUR = (255, 0, 0)

    @property
    def margin(self) -> int:
        """5 px at scale 1, as published."""
        return 5 * self.scale + self.scale // 2

    def painted(self, pixel: ArrayLike) -> np.ndarray:
        """(9 * scale**2, 2) int: the view pixels (u, v) that the arrow covers."""
        inside = np.arange(self.scale) - self.scale // 2
        du, dv = np.meshgrid(inside, inside)
        block = np.stack([du.ravel(), dv.ravel()], axis=1)
        cells = np.array(self.CELLS) * self.scale + np.asarray(pixel)
        return (cells[:, None] + block[None]).reshape(-1, 2)

    def check_room(self, view: View, pixel: ArrayLike) -> None:
        """InputError too near the border."""
        if not self.can_ask(view, pixel):
            raise InputError(
                f"an arrow at {tuple(np.asarray(pixel).tolist())} extends outside the view of"
                f" {view.camera.width} x {view.camera.height}: it needs {self.margin} px to every"
                " border"
            )

    def paint(self, image: np.ndarray, pixel: ArrayLike) -> None:
        """Paint the arrow onto a view's image (h, w, 3) uint8, or a cut of it, in place; pixel
        (u, v) there."""
        u, v = self.painted(pixel).T
        image[v, u] = self.COLOUR

    def drawn(self, view: View, pixel: ArrayLike) -> np.ndarray:
        """(h, w, 3) uint8: a copy of the view with the arrow; InputError too near the border."""
        self.check_room(view, pixel)
        image = view.image.copy()
        self.paint(image, pixel)
        return image

    def image(self, view: View, pixel: ArrayLike) -> np.ndarray:
        """See drawn."""
        return self.drawn(view, pixel)


@dataclass(frozen=True)
class CoordinateStyle(_Style):
    """The pixel as integers in [0, range], each axis relative to its length (VLM3).

    range: of a coordinate, 2000 in the published checkpoints.
    wording, words: see _Style.
    """

    range: int = 2000
    wording: str = "tags"
    words: tuple[str, AnswerForm] | tuple[()] = ()

    name: ClassVar[str] = "coordinates"
    shares_image: ClassVar[bool] = True

    def normalised(self, view: View, pixels: ArrayLike) -> np.ndarray:
        """(N, 2) int (x, y): view pixels (N, 2) as the integers that the text holds."""
        size = view.camera.width, view.camera.height
        return np.rint(np.asarray(pixels) / size * self.range).astype(int)

    def _filled(self, view: View, pixels: np.ndarray, text: str) -> list[str]:
        places = self.normalised(view, pixels).tolist()
        return [text.format(x=x, y=y, range=self.range) for x, y in places]


@dataclass(frozen=True)
class PositionStyle(_Style):
    """The pixel as the rotary position, along height and width, of the token POINT (ours).

    For models with multimodal rotary positions; the model must have been trained for it.

    wording, words: see _Style.
    """

    wording: str = "number"
    words: tuple[str, AnswerForm] | tuple[()] = ()

    name: ClassVar[str] = "position"
    shares_image: ClassVar[bool] = True

    @staticmethod
    def place(view: View, pixel: Any, grid: tuple[int, int]) -> tuple[Any, Any]:
        """(row, column), fractional, of a view pixel (u, v) on the grid (rows, columns) of merged
        image tokens: the middle of the first token is 0, 0. Of pixels (2, N): each (N,)."""
        column = (pixel[0] + 0.5) / view.camera.width * grid[1] - 0.5
        row = (pixel[1] + 0.5) / view.camera.height * grid[0] - 0.5
        return row, column


@dataclass(frozen=True)
class PlainStyle:
    """Points at nothing: what is asked, about one image or two, stands in the words alone.

    For questions whose answer is no distance of one pixel: camera poses, correspondences. Not a
    style of Predictors, which ask about pixels.
    """

    name: ClassVar[str] = "plain"
    shares_image: ClassVar[bool] = True
    images: ClassVar[tuple[int, ...]] = (1, 2)

    @staticmethod
    def ask(text: str, form: AnswerForm = FREE) -> Question:
        """The question in these words."""
        return Question((), text, form)

    def probes(self, view: View) -> list[Question]:
        """Two questions that differ from the first word on."""
        return [self.ask("How?"), self.ask("1")]

    def image(self, view: View, pixel: ArrayLike) -> np.ndarray:
        """(h, w, 3) uint8: the view as it is."""
        return view.image


STYLES: dict[str, type[MarkerStyle | CoordinateStyle | PositionStyle]] = {
    "marker": MarkerStyle,
    "coordinates": CoordinateStyle,
    "position": PositionStyle,
}
