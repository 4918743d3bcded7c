# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The local engine with a dense head beside it, on one copy of the weights: it answers questions
as without the head, and computes maps.

A view of a SharedFrame passes through the model once for both: where a style of questions shares
its image, opening a scene keeps the features that the map needs, and the other way round.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any
from weakref import ReferenceType, ref

import torch

from depthlm_ros.dense.head import HEADS, DepthMap
from depthlm_ros.dense.model import load_dense
from depthlm_ros.engines import CLOSED, Reply
from depthlm_ros.engines.capacity import image_bytes, threads_for
from depthlm_ros.engines.local.engine import LocalEngine
from depthlm_ros.engines.local.scenes import LocalScene
from depthlm_ros.errors import EngineError, OutOfMemory
from depthlm_ros.models.memory import at_once, check_fits
from depthlm_ros.question import Question, Style
from depthlm_ros.view import SharedFrame, View, ViewLimits

RECENT = 4  # views of which something is kept: those of the newest frames of a few cameras


@dataclass
class Seen:
    """What is known of one view; for the batcher a scene, whose only question is its map.

    view: None once its map is computed.
    features: feature map of each tap, kept when a scene of questions was opened, on the model's
        device; None where there are none, or no longer needed.
    scenes: style -> open scene in a style that shares its image; whoever asks takes a copy.
    map: of the view, on the CPU; None until it is computed.
    """

    view: View | None
    features: list[torch.Tensor] | None = None
    scenes: dict[str, LocalScene] = field(default_factory=dict)
    map: DepthMap | None = None

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        own = 0 if self.view is None else self.view.image.nbytes
        kept = [*(self.features or ()), *([self.map.value] if self.map else ())]
        return own + sum(tensor.nbytes for tensor in kept)

    def close(self) -> None:
        """Does nothing: other callers may share it."""


class Recent:
    """The Seen of the newest views, each as long as its frame lives. For one thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[object, tuple[ReferenceType[Any], Seen]] = OrderedDict()

    def of(self, view: View) -> Seen:
        """What is known of a view; of a Frame whose image may change, nothing is ever kept."""
        if not isinstance(view.frame, SharedFrame):
            return Seen(view)
        key = id(view.frame), view.offset, view.image.shape, view.is_mirrored
        frame, seen = self._kept.get(key, (lambda: None, Seen(view)))
        if frame() is not view.frame:  # the id of a frame that died, given to another
            seen = Seen(view)
        self._kept[key] = ref(view.frame), seen
        self._kept.move_to_end(key)
        for old in [k for k, (alive, _) in self._kept.items() if alive() is None]:
            del self._kept[old]
        while len(self._kept) > RECENT:
            self._kept.popitem(last=False)
        return seen

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()


class DenseEngine:
    """Answers questions as its engine does; the only question about a Seen has its DepthMap for
    reply.

    engine: a LocalEngine whose checkpoint has a head. model: the engine's model with that head.

    Raises CheckpointError where the head is not as the entry says.
    """

    def __init__(self, engine: LocalEngine):
        self._engine = engine
        self.model = load_dense(engine.loaded)
        self._recent = Recent()
        self.loaded, self.device = engine.loaded, engine.device
        entry = self.loaded.checkpoint
        style = entry.asker() if entry.style in entry.wording else None
        self._sharing = style if style and style.shares_image else None

    @property
    def counts(self) -> Counter[str]:
        """How many questions were answered, by how; see LocalEngine."""
        return self._engine.counts

    @property
    def memory_bytes(self) -> int:
        """Memory that the engine holds."""
        return self._engine.memory_bytes

    @property
    def limits(self) -> ViewLimits:
        """The engine's."""
        return self._engine.limits

    def supports(self, style: Style, images: int = 1) -> str:
        """Why the engine cannot ask so, "" if it can."""
        return self._engine.supports(style, images)

    def seen(self, view: View) -> Seen:
        """The scene of a view's map."""
        return self._recent.of(view)

    def open(self, images: Sequence[View], style: Style) -> LocalScene:
        """A scene for questions, see LocalEngine.open. Of a SharedFrame, in a style that shares
        its image, it is opened once and keeps the features that the map needs."""
        (view, *others), shares = images, style.shares_image
        if others or not shares or not isinstance(view.frame, SharedFrame):
            return self._engine.open(images, style)
        return copy(self._shared(self._recent.of(view), view, style))

    def room(self, scene: Seen | LocalScene, seconds: float) -> int:
        """One map, or as many questions as LocalEngine says."""
        return 1 if isinstance(scene, Seen) else self._engine.room(scene, seconds)

    def step(self, batch: Sequence[tuple[Any, Question]]) -> list[Any]:
        """Replies of the engine, or DepthMaps; the batcher puts one map into a step."""
        if not isinstance(batch[0][0], Seen):
            return self._engine.step(batch)
        return [self._map(scene) for scene, _ in batch]

    def close(self) -> None:
        """Give the model back."""
        self._recent.clear()
        self._engine.close()
        self.model = self.loaded = None  # type: ignore[assignment]

    def _shared(self, seen: Seen, view: View, style: Style) -> LocalScene:
        """The scene of a view in a style that shares its image, opened the first time."""
        found = seen.scenes.get(style.name)
        if found is None:
            try:
                found = self._opened(seen, view, style)
            except OutOfMemory:  # what is kept of other views may be what is missing
                self._recent.clear()
                found = self._opened(seen, view, style)
            seen.scenes[style.name] = found
        return found

    @torch.inference_mode()
    def _opened(self, seen: Seen, view: View, style: Style) -> LocalScene:
        if seen.map is not None or seen.features is not None:
            return self._engine.open([view], style)
        with self.model.taps.collecting() as found:
            scene = self._engine.open([view], style)
        ids = self._engine.prompts.with_images(scene.beginning, scene.grid)
        given = ids[None].to(self.loaded.device)
        seen.features = self.model.maps(found, given, [scene.grid])
        return scene

    def _map(self, seen: Seen) -> DepthMap | Reply:
        """The map of a view, computed the first time."""
        view = seen.view
        if seen.map is None:
            if view is None:
                raise EngineError(CLOSED)
            what = f"a map of {view.camera.width} x {view.camera.height}"
            check_fits(what, self._needed(seen, view), self.loaded.device)
            seen.map = at_once(what, self._computed, seen, view)
            seen.view = seen.features = None
        return seen.map

    def _needed(self, seen: Seen, view: View) -> int:
        """Bytes that the map of a view needs: first the model, unless its features are kept, then
        the head."""
        height, width = self.loaded.vision.snapped(*view.image.shape[:2])
        of_head = 4 * HEADS[self.model.spec.type].floats * height * width
        if seen.features is not None:
            return of_head
        token = self.loaded.vision.side
        return max(of_head, image_bytes(self.loaded, (height // token, width // token)))

    @torch.inference_mode()
    def _computed(self, seen: Seen, view: View) -> DepthMap:
        model = self.model
        style = self._sharing if isinstance(view.frame, SharedFrame) else None
        if seen.features is None and style is not None:
            self._shared(seen, view, style)
        with threads_for(self.loaded):
            images = self._engine.preparer.prepare(view.image)
            found = model.map_of(seen.features or model.features(images), images)
        scale = found.log_scale
        return DepthMap(found.value.cpu(), None if scale is None else scale.cpu(), found.is_log)
