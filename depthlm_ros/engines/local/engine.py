# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The engine in this process: the answer's words are given, only the number is decoded.

Styles that share the image compute it once a scene, and a question costs its own few tokens;
marker style draws and computes an image per question. The number is read as a distribution
(digits.py). Exact: engines/reference.py says the same, and tests hold it to that.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Sequence
from copy import copy
from functools import partial
from math import nan
from typing import Any, cast

import numpy as np
import torch

from depthlm_ros.answer import AnswerForm, parse
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines import CLOSED, LONGEST, Reply
from depthlm_ros.engines.capacity import SHARE, Pace, image_bytes, question_bytes, threads_for
from depthlm_ros.engines.checks import Checks
from depthlm_ros.engines.digits import DigitTrees, Grammar
from depthlm_ros.engines.local.drawing import Canvas, drawn
from depthlm_ros.engines.local.free_decoding import Speaker
from depthlm_ros.engines.local.graphs import Graphs, cuda_graphs
from depthlm_ros.engines.local.reader import Begun, Checker, NumberReader
from depthlm_ros.engines.local.rows import Rows
from depthlm_ros.engines.local.scenes import LocalScene
from depthlm_ros.errors import InputError
from depthlm_ros.models.compat import KeysValues
from depthlm_ros.models.decoder import prefill
from depthlm_ros.models.linear import fast_products, join_products, linear_patches
from depthlm_ros.models.loading import Loaded, find_device, load
from depthlm_ros.models.memory import (
    at_once,
    check_fits,
    free_bytes,
    give_back,
    in_passes,
    used_bytes,
)
from depthlm_ros.models.prompts import Prompts
from depthlm_ros.models.vision import ImageTensors, Preparer
from depthlm_ros.question import MarkerStyle, PositionStyle, Question, Style
from depthlm_ros.view import View

Asked = tuple[LocalScene, Question]


class LocalEngine:
    """Asks a model in this process.

    checkpoint: a Checkpoint, or a Loaded to share.
    device, dtype, options: see loading.load.
    check: for which answers a pass over the closing words proves that the model would have said
        the words that are given, and lets it speak freely where not; see checks.Checks.
    longest: tokens of a reply that is decoded freely.
    graphs: whether the rounds of few questions are started as CUDA graphs, see graphs.py;
        InputError where the model is on a processor.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | Loaded,
        device: str = "auto",
        dtype: str = "auto",
        check: str = "auto",
        longest: int = LONGEST,
        graphs: bool = False,
        **options: Any,
    ):
        self.checks = Checks(check)
        if graphs:
            known = checkpoint.device if isinstance(checkpoint, Loaded) else None
            _check_cuda(known or find_device(device))
        self.loaded = load(checkpoint, device, dtype, **options)
        self.graphs = Graphs(self.loaded, cuda_graphs(self.loaded.device)) if graphs else None
        linear_patches(self.loaded.model)
        fast_products(self.loaded.model)
        join_products(self.loaded.products)
        found = self.loaded.checkpoint
        self.preparer = Preparer(self.loaded.vision, self.loaded.device)
        self.prompts = Prompts(self.loaded)
        self.grammar = Grammar(found.integer_digits, found.decimals)
        self.reader = NumberReader(self.loaded, self.grammar)
        self.speaker = Speaker(self.loaded, longest)
        self.checker = Checker(self.loaded, self.prompts, self.speaker)
        self.device = str(self.loaded.device)
        self.limits = self.loaded.vision.limits
        self._pace = Pace()

    @property
    def counts(self) -> Counter[str]:
        """See Engine."""
        return self.checks.counts

    @property
    def memory_bytes(self) -> int:
        """What torch allocated on a GPU, or what this process holds on a CPU."""
        return used_bytes(self.device)

    def supports(self, style: Style, images: int = 1) -> str:
        """Why it cannot be asked in this style about so many images; empty if it can."""
        return self.prompts.unsupported(style, images)

    @torch.inference_mode()
    def open(self, images: Sequence[View], style: Style) -> LocalScene:
        """A scene of one view, of one or two in PlainStyle. Raises EngineError if the processor
        would resize one again or a question about it would be longer than the model's context,
        OutOfMemory, or InputError if the model cannot be asked in this style."""
        self.prompts.check_style(style, len(images))
        with threads_for(self.loaded):
            prepared = [at_once("the image", self.preparer.prepare, one.image) for one in images]
        self.prompts.check_length(style, images[0], [one.grid for one in prepared])
        scene = LocalScene(images[0], style, prepared[0].grid, len(images))
        at_once("the image", self._fill, scene, prepared)
        return scene

    def room(self, scene: LocalScene, seconds: float) -> int:
        """How many questions about the scene one step of `seconds` may take, at least 1."""
        if scene.closed:
            return 1
        return max(1, min(self._pace.room(_kind(scene), seconds), self._fits(scene)))

    @torch.inference_mode()
    def step(self, batch: Sequence[Asked]) -> list[Reply]:
        """Replies to (scene, question) pairs, scenes may mix; reply i answers pair i."""
        replies = [Reply(nan, CLOSED)] * len(batch)
        groups: dict[Hashable, list[int]] = {}
        scenes = {id(scene): scene for scene, _ in batch}
        kept = {own: copy(scene) for own, scene in scenes.items()}  # may be closed meanwhile
        held = [(kept[id(scene)], question) for scene, question in batch]
        for index, (scene, question) in enumerate(held):
            if not scene.closed:
                groups.setdefault(_group(scene, question), []).append(index)
        for indices in groups.values():
            found = self._in_passes([held[index] for index in indices])
            for index, reply in zip(indices, found, strict=True):
                replies[index] = reply
        return replies

    def close(self) -> None:
        """Give the model back."""
        self.loaded = self.preparer = self.prompts = None  # type: ignore[assignment]
        self.reader = self.speaker = self.checker = None  # type: ignore[assignment]
        self.graphs = None
        give_back()

    # Opening a scene.

    def _fill(self, scene: LocalScene, prepared: list[ImageTensors]) -> None:
        """Keep in the scene what its questions need of the images."""
        if scene.style.shares_image:
            with threads_for(self.loaded):
                self._share(scene, prepared)
        else:
            style = cast(MarkerStyle, scene.style)  # the only one that draws
            scene.canvas = Canvas(self.loaded.vision, scene.view, style, prepared[0])

    def _share(self, scene: LocalScene, prepared: list[ImageTensors]) -> None:
        """Compute the images and the words that all questions begin with."""
        prompts, device = self.prompts, self.loaded.device
        scene.beginning = prompts.shared_beginning(scene.view, scene.style, scene.images)
        ids = prompts.with_images(scene.beginning, *(one.grid for one in prepared))
        scene.placed = prompts.placed(ids, *prepared)
        needed = sum(image_bytes(self.loaded, one.grid) for one in prepared)
        check_fits("opening the image", needed, device)
        ids, positions = (
            host.to(device, non_blocking=True) for host in (ids[None], scene.placed.positions)
        )
        _, scene.prompt = self._prefilled(ids, positions[:, None], *prepared, last=1)

    # A step: groups that one forward can take, in passes that fit into memory.

    def _fits(self, scene: LocalScene) -> int:
        """Questions that memory has room for."""
        fits = free_bytes(self.loaded.device) * SHARE / question_bytes(self.loaded, scene)
        return int(min(fits, self._pace.most(_kind(scene))))

    def _in_passes(self, members: list[Asked]) -> list[Reply]:
        """Replies to one group, in passes that fit into memory."""
        scene, kind = members[0][0], _kind(members[0][0])
        rows, columns = scene.grid
        what = f"a question in {scene.style.name} style ({rows} x {columns} image tokens)"
        check_fits(what, question_bytes(self.loaded, scene), self.loaded.device)

        def answers(some: Sequence[Asked]) -> list[Reply]:
            with self._pace.measured(kind, len(some)), threads_for(self.loaded):
                return self._answers(some)

        return in_passes(answers, members, self._fits(scene), partial(self._pace.limit, kind))

    def _answers(self, members: Sequence[Asked]) -> list[Reply]:
        """Replies to one group, in one pass."""
        style, form = members[0][0].style, members[0][1].form
        given = self._given(*members[0])
        begin = self._shared if style.shares_image else self._drawn
        begun = begin(members, given)
        if not form.is_number:
            return [Reply(nan, text) for text in self.speaker.say(begun)]
        trees, firsts = self.reader.read(begun)
        if self.checks.all_in(style):
            return self._checked(style, begun, form, trees)
        if self._sample_falls_back(members, trees):
            return self._answers(members)  # all checked
        return self._unchecked(form, trees, firsts)

    def _shared(self, members: Sequence[Asked], given: int) -> Begun:
        """The questions of one scene behind its image; given: tokens of the answer."""
        scene = members[0][0]
        questions = [question for _, question in members]
        rests = self.prompts.rests(questions, scene.beginning, scene.images)
        ids, positions, lengths = self.prompts.words(
            rests, scene.placed.end, scene.placed.image_start, _places(scene, members)
        )
        rows = Rows(self.loaded, scene.prompt, self.graphs)
        states = rows.begin(ids, positions, lengths, 1 + given)
        return Begun(rows, states, scene.placed.end + lengths.float())

    def _drawn(self, members: Sequence[Asked], given: int) -> Begun:
        """An image per question; all of one size and with the same words."""
        prepared = drawn([(scene.canvas, question.pixel) for scene, question in members])
        ids = self.prompts.question_ids(members[0][1])
        ids = self.prompts.with_images(ids, prepared.grid)
        placed = self.prompts.placed(ids, prepared)
        count, device = len(members), self.loaded.device
        ids, positions = (host.to(device, non_blocking=True) for host in (ids, placed.positions))
        states, prompt = self._prefilled(
            ids.expand(count, -1),
            positions[:, None].expand(-1, count, -1),
            prepared,
            last=1 + given,
        )
        ends = torch.full((count,), float(placed.end))
        return Begun(Rows.of_prompts(self.loaded, prompt, self.graphs), states, ends)

    def _prefilled(
        self, ids: torch.Tensor, positions: torch.Tensor, *images: ImageTensors, last: int
    ) -> tuple[torch.Tensor, list[KeysValues]]:
        """See decoder.prefill."""
        if self.graphs is None:
            return prefill(self.loaded, ids, positions, *images, last=last)
        return self.graphs.prefill(ids, positions, *images, last=last)

    def _given(self, scene: LocalScene, question: Question) -> int:
        """How many tokens of the answer are given and looked at again."""
        if not self.checks.all_in(scene.style):
            return 0
        return self.prompts.opening_length(question.form)

    # The check.

    def _sample_falls_back(self, members: Sequence[Asked], trees: DigitTrees) -> bool:
        """Whether one of the questions that are sampled, of one scene, had to be decoded freely;
        then all answers in its style are checked from now on."""
        scene, form = members[0][0], members[0][1].form
        sample = self.checks.sample(scene.tally, len(members))
        if not sample:
            return False
        some, numbers = [members[i] for i in sample], [trees.greedy[i] for i in sample]
        if all(numbers) and all(self._holds(some, numbers)):
            for _ in sample:
                self.checks.note(scene.style, free=False)
            return False
        # That was a pass of its own, in which a tie may have ended otherwise: now as all are.
        begun = self._shared(some, self.prompts.opening_length(form))
        found, _ = self.reader.read(begun)
        return any(reply.free for reply in self._checked(scene.style, begun, form, found))

    def _holds(self, members: Sequence[Asked], numbers: Sequence[str]) -> list[bool]:
        """Whether questions of one scene, given their whole answers, are answered so by the model:
        one pass, which touches nothing that their numbers were read from."""
        scene, form = members[0][0], members[0][1].form
        closings = [self.prompts.behind_opening(form, number) for number in numbers]
        questions = [question for _, question in members]
        rests = self.prompts.rests(questions, scene.beginning, scene.images)
        words = self.prompts.words(
            [rest + closing for rest, closing in zip(rests, closings, strict=True)],
            scene.placed.end,
            scene.placed.image_start,
            _places(scene, members),
        )
        return self.checker.holds(
            Rows(self.loaded, scene.prompt, self.graphs), *words, form, closings
        )

    def _warn(self, style: Style, given: str, said: str) -> None:
        """Once a style: the words that are given to the model are not its own."""
        logging.getLogger(__name__).warning(
            "asked in %s style, checkpoint '%s' says %r where its entry has it say %r: from now on"
            " every answer is checked, and decoded freely, which takes many times as long, where"
            " it differs; compare both with `depthlm checkpoints --verify %s`",
            style.name,
            self.loaded.checkpoint.name,
            said,
            given,
            self.loaded.checkpoint.model,
        )

    def _checked(
        self, style: Style, begun: Begun, form: AnswerForm, trees: DigitTrees
    ) -> list[Reply]:
        """Replies that free decoding would have given too."""
        said = self.checker.said(begun, trees, form)
        for number, (text, free) in zip(trees.greedy, said, strict=True):
            if self.checks.note(style, free):
                self._warn(style, self.prompts.worded(form, number), text)
        texts, alone = zip(*said, strict=True)
        return trees.replies([parse(text).metres for text in texts], texts, alone)

    def _unchecked(
        self, form: AnswerForm, trees: DigitTrees, firsts: Sequence[int]
    ) -> list[Reply]:
        texts = self.prompts.begun(form, trees.greedy, firsts)
        return trees.replies(trees.metres(), texts, [False] * len(texts))


def _check_cuda(device: torch.device) -> None:
    if device.type != "cuda":
        raise InputError(
            f"graphs are CUDA's and the model would be on {device}: leave them out (graphs: false,"
            " no --graphs), or name a GPU with device (--device)"
        )


def _kind(scene: LocalScene) -> Hashable:
    """Equal for scenes whose questions cost about the same."""
    return scene.style.name, scene.grid


def _group(scene: LocalScene, question: Question) -> Hashable:
    """Equal for what one forward can take: one scene, or equal prompts about equal sizes."""
    if scene.style.shares_image:
        return id(scene.prompt), question.form
    return scene.view.image.shape, question.text, question.form


def _places(scene: LocalScene, members: Sequence[Asked]) -> np.ndarray | None:
    """(N, 2) places of position style on the grid of image tokens, None for other styles."""
    if scene.style.name != "position":
        return None
    pixels = np.array([question.pixel for _, question in members])
    return np.stack(PositionStyle.place(scene.view, pixels.T, scene.grid), 1)
