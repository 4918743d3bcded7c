# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""LocalScene: what the engine of this process keeps of a picture that is asked about.

Knows nothing about how it is computed.
"""

from dataclasses import replace


class LocalScene:
    """One view, or two, opened in a style. view, grid: of the first. pictures: how many;
    beginning: the ids that all questions share; prompt: their keys and values per layer; placed:
    their positions; canvas: what markers are drawn on."""

    def __init__(self, view, style, grid, pictures=1):
        self.view = replace(view, image=view.image.copy())  # a camera may reuse its buffer
        self.style = style
        self.grid = grid
        self.pictures = pictures
        self.beginning = self.prompt = self.placed = self.canvas = None

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self.view is None

    @property
    def nbytes(self) -> int:
        """Memory held: the picture and what its questions share."""
        view, prompt, canvas = self.view, self.prompt, self.canvas
        own = 0 if view is None else view.image.nbytes
        own += 0 if canvas is None else canvas.nbytes
        return own + sum(tensor.nbytes for layer in prompt or () for tensor in layer)

    def close(self) -> None:
        """Give everything back; questions still waiting get a reply without a number.

        From any thread, also while a step is under way: that step keeps what it has begun with.
        """
        self.view = self.prompt = self.placed = self.canvas = None
