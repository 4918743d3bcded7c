# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What the remote engine keeps of an image while it is asked about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from depthlm_ros.engines.remote.wire import SentImage
from depthlm_ros.models.vision import QwenVision
from depthlm_ros.question import Question, Style
from depthlm_ros.view import View


class RemoteScene:
    """One view, or two in PlainStyle, to be asked about in a style. Thread-safe.

    shared: the images that all questions see; none in a style that draws.
    tally: how many questions were "answered" so far.
    """

    def __init__(
        self,
        views: Sequence[View],
        style: Style,
        vision: QwenVision,
        settings: str,
        on_close: Callable[[RemoteScene], None] = lambda scene: None,
    ):
        # Copies: a camera may reuse its buffer.
        self._views = [replace(view, image=view.image.copy()) for view in views]
        self._seen = partial(SentImage, vision=vision, settings=settings)
        self._on_close = on_close
        self.style = style
        self.tally: Counter[str] = Counter()
        self.closed = False
        self.shared = [self._seen(view.image) for view in views] if style.shares_image else []

    @property
    def key(self) -> str:
        """Equal for scenes about equal images; "" in a style that draws."""
        return " ".join(image.key for image in self.shared)

    @property
    def views(self) -> list[View]:
        """What it shows; none once it is closed."""
        return self._views

    @property
    def nbytes(self) -> int:
        """Memory held: the images."""
        own = sum(view.image.nbytes for view in self._views)
        return own + sum(image.nbytes for image in self.shared)

    def images(self, question: Question) -> Sequence[SentImage]:
        """What the model sees with a question; drawn now in a style that draws."""
        if self.style.shares_image:
            return self.shared
        return [self._seen(self.style.image(view, question.pixel)) for view in self._views]

    def plain(self) -> Sequence[SentImage]:
        """The images with nothing drawn on them."""
        return self.shared or [self._seen(view.image) for view in self._views]

    def close(self) -> None:
        """Give the images back, and end the requests about them."""
        self.closed = True
        self._views, self.shared = [], []
        self._on_close(self)
