# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The yardstick: transformers' own generate, greedy, as the published models are asked.

Nothing clever, so that the clever engines have something to be compared with: every question is
a whole prompt with its own image, the model computes its own positions, the words are not
given unless asked for. Reads no distribution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from copy import copy
from dataclasses import replace
from math import nan
from typing import Any

import torch
from transformers import GenerationConfig

from depthlm_ros.answer import parse
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines import CLOSED, LONGEST, Reply
from depthlm_ros.engines.capacity import Pace, threads_for
from depthlm_ros.engines.digits import Grammar
from depthlm_ros.models.loading import Loaded, load
from depthlm_ros.models.memory import give_back, used_bytes
from depthlm_ros.models.positions import batch_positions
from depthlm_ros.models.prompts import Prompts
from depthlm_ros.models.vision import ImageTensors
from depthlm_ros.question import PositionStyle, Question, Style
from depthlm_ros.view import View

LARGEST_BATCH = 32


class ReferenceScene:
    """One view, or two, to be asked in a style."""

    def __init__(self, views: Sequence[View], style: Style):
        self.views = [replace(view, image=view.image.copy()) for view in views]
        self.style = style

    @property
    def nbytes(self) -> int:
        """Memory held: the images."""
        return sum(view.image.nbytes for view in self.views)

    def close(self) -> None:
        """Give the images back."""
        self.views = []


Asked = tuple[ReferenceScene, Question]


class ReferenceEngine:
    """Asks a model by its generate.

    checkpoint: a Checkpoint, or a Loaded to share.
    device, dtype, options: see loading.load.
    max_new_tokens: of a free answer.
    force_opening: give the answer's first words and generate the number alone, so that its digits
        can be compared with those of an engine that forces.
    check: accepted and without meaning, since it speaks freely anyhow.

    counts: stays empty, since nothing needs to be checked.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | Loaded,
        device: str = "auto",
        dtype: str = "auto",
        max_new_tokens: int = LONGEST,
        force_opening: bool = False,
        check: str = "",
        **options: Any,
    ):
        self.loaded = load(checkpoint, device, dtype, **options)
        found = self.loaded.checkpoint
        self.prompts = Prompts(self.loaded, forced=force_opening)
        self.grammar = Grammar(found.integer_digits, found.decimals)
        longest = found.integer_digits + 1 + found.decimals
        self.max_new_tokens = longest if force_opening else max_new_tokens
        self.counts: Counter[str] = Counter()
        self.device = str(self.loaded.device)
        self.limits = self.loaded.vision.limits
        self._pace = Pace()

    @property
    def memory_bytes(self) -> int:
        """What torch allocated on a GPU, or what this process holds on a CPU."""
        return used_bytes(self.device)

    def supports(self, style: Style, images: int = 1) -> str:
        """Why it cannot be asked in this style about so many images; empty if it can."""
        return self.prompts.unsupported(style, images)

    def open(self, images: Sequence[View], style: Style) -> ReferenceScene:
        """A scene of views as LocalEngine.open takes them, with its errors."""
        self.prompts.check_style(style, len(images))
        for view in images:  # EngineError where one would be resized again
            self.loaded.vision.prepare([view.image])
        return ReferenceScene(images, style)

    def room(self, scene: ReferenceScene, seconds: float) -> int:
        """How many questions about the scene one step of `seconds` may take, at least 1."""
        return min(self._pace.room(scene.style.name, seconds), LARGEST_BATCH)

    @torch.inference_mode()
    def step(self, batch: Sequence[Asked]) -> list[Reply]:
        """Replies to (scene, question) pairs, scenes may mix; reply i answers pair i."""
        replies = [Reply(nan, CLOSED)] * len(batch)
        groups: dict[tuple[Hashable, ...], list[int]] = {}
        held = [(copy(scene), question) for scene, question in batch]  # may be closed meanwhile
        for index, (scene, _) in enumerate(held):
            if scene.views:
                kind = scene.style.name, *(view.image.shape for view in scene.views)
                groups.setdefault(kind, []).append(index)
        for (style, *_), indices in groups.items():
            with self._pace.measured(style, len(indices)), threads_for(self.loaded):
                answers = self._answers([held[index] for index in indices])
            for index, reply in zip(indices, answers, strict=True):
                replies[index] = reply
        return replies

    def close(self) -> None:
        """Give the model back."""
        self.loaded = self.prompts = None  # type: ignore[assignment]
        give_back()

    def _answers(self, members: Sequence[Asked]) -> list[Reply]:
        inputs = self.inputs(members)
        said = self.loaded.model.generate(
            **inputs, generation_config=self._greedy(self.loaded.model.generation_config)
        )
        new = said[:, inputs["input_ids"].shape[1] :]
        texts = self.loaded.tokenizer.batch_decode(new, skip_special_tokens=True)
        return [
            self._reply(question, text) for (_, question), text in zip(members, texts, strict=True)
        ]

    def inputs(self, members: Sequence[Asked]) -> dict[str, torch.Tensor]:
        """What generate takes for (scene, question) pairs of one style and size of views."""
        loaded, device = self.loaded, self.loaded.device
        prepared = [
            loaded.vision.prepare([scene.style.image(view, question.pixel)])
            for scene, question in members
            for view in scene.views
        ]
        count = len(members[0][0].views)
        grids = [one.grid for one in prepared[:count]]
        ids, mask = self._padded([self.prompts.question_ids(q, count) for _, q in members], grids)
        found = {"input_ids": ids, "attention_mask": mask, **loaded.vision.joined(prepared)}
        if members[0][0].style.name == "position":
            found["position_ids"] = self._pointed(members, ids, mask, prepared)
        elif loaded.vision.multimodal_positions:
            found["mm_token_type_ids"] = (ids == loaded.vision.image_id).int()
        return {name: tensor.to(device) for name, tensor in found.items()}

    def _padded(
        self, prompts: list[list[int]], grids: list[tuple[int, int]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(ids, mask), each (N, L), padded on the left as generate needs it."""
        rows = [self.prompts.with_images(prompt, *grids) for prompt in prompts]
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self._pad())
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(rows):
            ids[row, longest - len(prompt) :] = prompt
            mask[row, longest - len(prompt) :] = 1
        return ids, mask

    def _pointed(
        self,
        members: Sequence[Asked],
        ids: torch.Tensor,
        mask: torch.Tensor,
        prepared: list[ImageTensors],
    ) -> torch.Tensor:
        """(3, N, L): the model has no rule of its own for a token that points."""
        vision = self.loaded.vision
        grid = prepared[0].grid
        places = [PositionStyle.place(scene.views[0], q.pixel, grid) for scene, q in members]
        grids = vision.grids(prepared[0], len(members))
        point = self.loaded.point_id
        return batch_positions(ids, vision.image_id, grids, vision.merge, point, places, mask)

    def _pad(self) -> int:
        pad = self.loaded.tokenizer.pad_token_id
        return self.loaded.tokenizer.eos_token_id if pad is None else pad

    def _greedy(self, models: GenerationConfig) -> GenerationConfig:
        """Greedy and nothing else: published configs sample and punish repeated digits."""
        return GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            eos_token_id=models.eos_token_id,
            pad_token_id=self._pad(),
        )

    def _reply(self, question: Question, text: str) -> Reply:
        if not question.form.is_number:
            return Reply(nan, text)
        if self.prompts.forced:
            return Reply(self.grammar.metres(text), question.form.opening + text)
        return Reply(parse(text).metres, text)
