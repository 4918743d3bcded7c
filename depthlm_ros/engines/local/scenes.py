# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the engine of this process keeps of an image while it is asked about."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from depthlm_ros.engines.local.drawing import Canvas
from depthlm_ros.models.compat import KeysValues
from depthlm_ros.models.positions import Placed
from depthlm_ros.question import Style
from depthlm_ros.view import View


class LocalScene:
    """One view, or two, opened in a style.

    view, grid: the first view, None once closed, and the rows and columns of its image tokens.
    images: how many views there are.
    beginning: the ids that all questions share.
    prompt: their keys and values, for each layer.
    placed: their positions.
    canvas: what markers are drawn on, in a style that draws.
    tally: how many questions were "answered" so far; copies of the scene share it.

    prompt and placed are there in styles that share the image, canvas in the others, and all of it
    while the scene is open: whoever reads them has looked at `closed`.
    """

    def __init__(self, view: View, style: Style, grid: tuple[int, int], images: int = 1):
        # A copy: a camera may reuse its buffer.
        self.view: View = replace(view, image=view.image.copy())
        self.style = style
        self.grid = grid
        self.images = images
        self.tally: Counter[str] = Counter()
        self.beginning: list[int] = []
        self.prompt: list[KeysValues] | None = None
        self.placed: Placed = None  # type: ignore[assignment]
        self.canvas: Canvas = None  # type: ignore[assignment]

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self.view is None

    @property
    def nbytes(self) -> int:
        """Memory held: the image and what its questions share."""
        view, prompt, canvas = self.view, self.prompt, self.canvas
        own = 0 if view is None else view.image.nbytes
        own += 0 if canvas is None else canvas.nbytes
        return own + sum(tensor.nbytes for layer in prompt or () for tensor in layer)

    def close(self) -> None:
        """Give everything back; questions still waiting get a reply without a number.

        From any thread, also while a step is under way: that step keeps what it has begun with.
        """
        self.view = self.placed = self.canvas = None  # type: ignore[assignment]
        self.prompt = None
