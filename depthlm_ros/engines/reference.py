# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The yardstick: transformers' own generate, greedy, as the published models are asked.

Nothing clever, so that the clever engines have something to be compared with: every question is
a whole prompt with its own picture, the model computes its own positions, the words are not
given unless asked for. Reads no distribution.
"""

from collections import Counter
from copy import copy
from dataclasses import replace

import torch
from transformers import GenerationConfig

from depthlm_ros.answer import parse
from depthlm_ros.engines import CLOSED, LONGEST, Reply
from depthlm_ros.engines.capacity import Pace, threads_for
from depthlm_ros.engines.digits import Grammar
from depthlm_ros.models.loading import load
from depthlm_ros.models.memory import give_back, used_bytes
from depthlm_ros.models.positions import batch_positions
from depthlm_ros.models.prompts import Prompts

LARGEST_BATCH = 32


class ReferenceScene:
    """One view, or two, to be asked in a style. nbytes: of the pictures."""

    def __init__(self, views, style):
        self.views = [replace(view, image=view.image.copy()) for view in views]
        self.style = style

    @property
    def nbytes(self) -> int:
        """Memory held: the pictures."""
        return sum(view.image.nbytes for view in self.views)

    def close(self) -> None:
        """Give the pictures back."""
        self.views = []


class ReferenceEngine:
    """Asks a Checkpoint, or a Loaded, by model.generate. device, dtype, options: see
    loading.load.

    max_new_tokens: of a free answer. force_opening: give the answer's first words and generate
    the number alone, so that its digits can be compared with those of an engine that forces.
    check: accepted and without meaning, since it speaks freely anyhow.
    """

    def __init__(
        self,
        checkpoint,
        device="auto",
        dtype="auto",
        max_new_tokens=LONGEST,
        force_opening=False,
        check="",
        **options,
    ):
        self.loaded = load(checkpoint, device, dtype, **options)
        self.device = str(self.loaded.device)
        checkpoint = self.loaded.checkpoint
        self.prompts = Prompts(self.loaded, forced=force_opening)
        self.grammar = Grammar(checkpoint.integer_digits, checkpoint.decimals)
        longest = checkpoint.integer_digits + 1 + checkpoint.decimals
        self.max_new_tokens = longest if force_opening else max_new_tokens
        self.seen_focal_px = None
        self.counts = Counter()
        self._pace = Pace()

    @property
    def memory_bytes(self) -> int:
        """Allocated on a GPU, or held by this process on a CPU."""
        return used_bytes(self.device)

    def supports(self, style, images=1) -> str:
        """Why this model cannot be asked in a style about so many images, "" if it can."""
        return self.prompts.unsupported(style, images)

    def open(self, pictures, style) -> ReferenceScene:
        """A scene of Views as LocalEngine.open takes them, with its errors."""
        self.prompts.check_style(style, len(pictures))
        prepared = [self.loaded.vision.prepare([view.image]) for view in pictures]
        self.seen_focal_px = prepared[-1].focal_px(pictures[-1].camera)
        return ReferenceScene(pictures, style)

    def room(self, scene, seconds) -> int:
        """How many questions one step of `seconds` may take."""
        return min(self._pace.room(scene.style.name, seconds), LARGEST_BATCH)

    @torch.inference_mode()
    def step(self, batch) -> list:
        """Replies to [(scene, question), ...]; row i answers row i."""
        replies = [Reply(float("nan"), CLOSED)] * len(batch)
        groups = {}
        held = [(copy(scene), question) for scene, question in batch]  # may be closed meanwhile
        for row, (scene, _) in enumerate(held):
            if scene.views:
                kind = scene.style.name, *(view.image.shape for view in scene.views)
                groups.setdefault(kind, []).append(row)
        for (style, *_), rows in groups.items():
            with self._pace.measured(style, len(rows)), threads_for(self.loaded):
                answers = self._answers([held[row] for row in rows])
            for row, reply in zip(rows, answers, strict=True):
                replies[row] = reply
        return replies

    def close(self) -> None:
        """Give the model back."""
        self.loaded = self.prompts = None
        give_back()

    def _answers(self, members) -> list:
        inputs = self.inputs(members)
        said = self.loaded.model.generate(
            **inputs, generation_config=self._greedy(self.loaded.model.generation_config)
        )
        new = said[:, inputs["input_ids"].shape[1] :]
        texts = self.loaded.tokenizer.batch_decode(new, skip_special_tokens=True)
        return [
            self._reply(question, text) for (_, question), text in zip(members, texts, strict=True)
        ]

    def inputs(self, members) -> dict:
        """What generate takes for (scene, question) pairs of one style and size of views."""
        loaded, device = self.loaded, self.loaded.device
        prepared = [
            loaded.vision.prepare([scene.style.picture(view, question.pixel)])
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

    def _padded(self, prompts, grids):
        """(ids, mask), each (N, L), padded on the left as generate needs it."""
        rows = [self.prompts.with_pictures(prompt, *grids) for prompt in prompts]
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self._pad())
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(rows):
            ids[row, longest - len(prompt) :] = prompt
            mask[row, longest - len(prompt) :] = 1
        return ids, mask

    def _pointed(self, members, ids, mask, prepared):
        """(3, N, L): the model has no rule of its own for a token that points."""
        vision = self.loaded.vision
        grid = prepared[0].grid
        places = [scene.style.place(scene.views[0], q.pixel, grid) for scene, q in members]
        grids = vision.grids(prepared[0], len(members))
        point = self.loaded.point_id
        return batch_positions(ids, vision.image_id, grids, vision.merge, point, places, mask)

    def _pad(self) -> int:
        pad = self.loaded.tokenizer.pad_token_id
        return self.loaded.tokenizer.eos_token_id if pad is None else pad

    def _greedy(self, models) -> GenerationConfig:
        """Greedy and nothing else: published configs sample and punish repeated digits."""
        return GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            eos_token_id=models.eos_token_id,
            pad_token_id=self._pad(),
        )

    def _reply(self, question, text) -> Reply:
        if not question.form.is_number:
            return Reply(float("nan"), text)
        if self.prompts.forced:
            return Reply(self.grammar.metres(text), question.form.opening + text)
        return Reply(parse(text).metres, text)
