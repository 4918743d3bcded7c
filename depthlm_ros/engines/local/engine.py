# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The engine in this process: the answer's words are given, only the number is decoded.

Styles that share the picture compute it once a scene, and a question costs its own few tokens;
marker style draws and computes a picture a question. The number is read as a distribution
(digits.py). Exact: engines/reference.py says the same, and tests hold it to that. Knows nothing
about cameras, or about who asks and when.

LocalScene: what the engine of this process keeps of a picture that is asked about.

Knows nothing about how it is computed.
"""

from collections import Counter
from copy import copy
from dataclasses import replace
from functools import partial

import torch

from depthlm_ros.answer import parse
from depthlm_ros.engines import CHECKS, CLOSED, LONGEST, Reply, is_checked
from depthlm_ros.engines.capacity import SHARE, Pace, image_bytes, question_bytes, threads_for
from depthlm_ros.engines.digits import Grammar
from depthlm_ros.engines.local.free import Speaker
from depthlm_ros.engines.local.marked import Canvas, drawn
from depthlm_ros.engines.local.reader import Begun, Checker, NumberReader
from depthlm_ros.engines.local.rows import Rows, prefill
from depthlm_ros.errors import InputError
from depthlm_ros.models.linear import fast_products, linear_patches
from depthlm_ros.models.loading import load
from depthlm_ros.models.memory import (
    at_once,
    check_fits,
    free_bytes,
    give_back,
    in_passes,
    used_bytes,
)
from depthlm_ros.models.prompts import Prompts


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


class LocalEngine:
    """Asks a Checkpoint, or a Loaded, in this process. device, dtype, options: see loading.load.

    check: whether a pass over the closing words proves that the model would have said the words
    that are given, and lets it speak freely where not; "auto": see is_checked. longest: tokens of
    a reply that is decoded freely. counts: see Engine. seen_focal_px: (fx, fy) of the last opened
    picture after the image processor's snapping.
    """

    def __init__(
        self, checkpoint, device="auto", dtype="auto", check="auto", longest=LONGEST, **options
    ):
        if check not in CHECKS:
            raise InputError(f"check is {check!r}, allowed: {', '.join(CHECKS)}")
        self.loaded = load(checkpoint, device, dtype, **options)
        self.device = str(self.loaded.device)
        checkpoint = self.loaded.checkpoint
        linear_patches(self.loaded.model)
        fast_products(self.loaded.model)
        self.prompts = Prompts(self.loaded)
        self.grammar = Grammar(checkpoint.integer_digits, checkpoint.decimals)
        self.reader = NumberReader(self.loaded, self.grammar)
        self.speaker = Speaker(self.loaded, longest)
        self.checker = Checker(self.loaded, self.speaker)
        self.check = check
        self.counts = Counter()
        self.seen_focal_px = None
        self._pace = Pace()

    @property
    def memory_bytes(self) -> int:
        """Allocated on a GPU, or held by this process on a CPU."""
        return used_bytes(self.device)

    def supports(self, style, images=1) -> str:
        """Why this model cannot be asked in a style about so many images, "" if it can."""
        return self.prompts.unsupported(style, images)

    @torch.inference_mode()
    def open(self, pictures, style) -> LocalScene:
        """A scene of one View, of one or two in PlainStyle. Raises EngineError if the processor
        would resize one again or a question about it would be longer than the model's context,
        OutOfMemory, or InputError if the model cannot be asked in this style."""
        self.prompts.check_style(style, len(pictures))
        prepared = [self.loaded.vision.prepare([view.image]) for view in pictures]
        self.prompts.check_room(style, pictures[0], [one.grid for one in prepared])
        self.seen_focal_px = prepared[-1].focal_px(pictures[-1].camera)
        scene = LocalScene(pictures[0], style, prepared[0].grid, len(pictures))
        at_once("the picture", self._fill, scene, prepared)
        return scene

    def room(self, scene, seconds) -> int:
        """How many questions of this scene's kind one step of `seconds` may take."""
        if scene.closed:
            return 1
        return max(1, min(self._pace.room(_kind(scene), seconds), self._fits(scene)))

    @torch.inference_mode()
    def step(self, batch) -> list:
        """Replies to [(scene, question), ...]; scenes may mix, row i answers row i."""
        replies = [Reply(float("nan"), CLOSED)] * len(batch)
        groups = {}
        held = [(copy(scene), question) for scene, question in batch]  # may be closed meanwhile
        for row, (scene, question) in enumerate(held):
            if not scene.closed:
                groups.setdefault(self._group(scene, question), []).append(row)
        for rows in groups.values():
            members = [held[row] for row in rows]
            for row, reply in zip(rows, self._fitting(members), strict=True):
                replies[row] = reply
        return replies

    def close(self) -> None:
        """Give the model back."""
        self.loaded = self.prompts = self.reader = self.speaker = self.checker = None
        give_back()

    def _fits(self, scene) -> int:
        """Questions that memory has room for."""
        fits = free_bytes(self.loaded.device) * SHARE / question_bytes(self.loaded, scene)
        return int(min(fits, self._pace.most(_kind(scene))))

    def _fitting(self, members) -> list:
        """Replies to the (scene, question) of one group, in passes that fit into memory."""
        scene, kind = members[0][0], _kind(members[0][0])
        rows, columns = scene.grid
        what = f"a question in {scene.style.name} style ({rows} x {columns} picture tokens)"
        check_fits(what, question_bytes(self.loaded, scene), self.loaded.device)

        def answers(part):
            with self._pace.measured(kind, len(part)), threads_for(self.loaded):
                return self._answers(part)

        return in_passes(answers, members, self._fits(scene), partial(self._pace.limit, kind))

    def _group(self, scene, question):
        """Rows that one forward can take: same scene, or equal prompts about equal sizes."""
        if scene.style.shares_picture:
            return id(scene.prompt), question.form
        return scene.view.image.shape, question.text, question.form

    def _fill(self, scene, prepared):
        """Keep in the scene what its questions need of the pictures."""
        if scene.style.shares_picture:
            with threads_for(self.loaded):
                self._share(scene, prepared)
        else:
            on_device = prepared[0].to(self.loaded.device)
            scene.canvas = Canvas(self.loaded.vision, scene.view, scene.style, on_device)

    def _share(self, scene, prepared):
        """Compute the pictures and the words that all questions begin with."""
        prompts, device = self.prompts, self.loaded.device
        scene.beginning = prompts.shared_beginning(scene.view, scene.style, scene.pictures)
        ids = prompts.with_pictures(scene.beginning, *(one.grid for one in prepared))
        scene.placed = prompts.placed(ids, *prepared)
        needed = sum(image_bytes(self.loaded, one.grid) for one in prepared)
        check_fits("opening the picture", needed, device)
        positions = scene.placed.positions[:, None].to(device)
        moved = [one.to(device) for one in prepared]
        _, scene.prompt = prefill(self.loaded, ids[None].to(device), positions, *moved)

    def _answers(self, members) -> list:
        """Replies to the (scene, question) of one group."""
        shared = members[0][0].style.shares_picture
        begun = self._shared(members) if shared else self._drawn(members)
        style, form = members[0][0].style, members[0][1].form
        if not form.is_number:
            return [Reply(float("nan"), text) for text in self.speaker.say(begun)]
        found = self.reader.read(begun)
        if is_checked(self.check, style):
            return self._checked(begun, form, [tree for tree, _ in found])
        return [self._unchecked(form, *one) for one in found]

    def _shared(self, members) -> Begun:
        """The questions of one scene behind its picture."""
        scene = members[0][0]
        rests = [self.prompts.rest(q, scene.beginning, scene.pictures) for _, q in members]
        ids, positions, lengths = self.prompts.words(
            rests, scene.placed.end, scene.placed.picture_start, _places(scene, members)
        )
        rows = Rows(self.loaded, scene.prompt)
        states = rows.begin(ids, positions, lengths, 1 + self._given(*members[0]))
        return Begun(rows, states, scene.placed.end + lengths.float())

    def _drawn(self, members) -> Begun:
        """A picture a question; all of one size and with the same words."""
        prepared = drawn([(scene.canvas, question.pixel) for scene, question in members])
        ids = self.prompts.question_ids(members[0][1])
        ids = self.prompts.with_pictures(ids, prepared.grid)
        placed = self.prompts.placed(ids, prepared)
        count, device = len(members), self.loaded.device
        positions = placed.positions[:, None].expand(-1, count, -1).to(device)
        rows = ids.expand(count, -1).to(device)
        hidden, prompt = prefill(self.loaded, rows, positions, prepared)
        ends = torch.full((count,), float(placed.end))
        states = hidden[:, -1 - self._given(*members[0]) :]
        return Begun(Rows.of_prompts(self.loaded, prompt), states, ends)

    def _given(self, scene, question) -> int:
        """How many tokens of the answer are given and looked at again."""
        if not is_checked(self.check, scene.style):
            return 0
        return self.prompts.opening_length(question.form)

    def _checked(self, begun, form, trees) -> list:
        """Replies that free decoding would have given too."""
        said = self.checker.said(begun, trees, form)
        self.counts += Counter(checked=len(said), fell_back=sum(free for _, free in said))
        return [
            self._reply(parse(text).metres, text, tree, free)
            for tree, (text, free) in zip(trees, said, strict=True)
        ]

    def _unchecked(self, form, tree, first) -> Reply:
        said = tree.greedy or self.loaded.tokenizer.decode([first])
        return self._reply(self.grammar.metres(tree.greedy), form.opening + said, tree)

    def _reply(self, value, text, tree, free=False) -> Reply:
        """A reply with the tree's distribution, unless that is of another number."""
        found = tree.reading()
        spread = (found.median, found.mean, found.lower, found.upper)
        if free and value != self.grammar.metres(found.text):
            spread = (float("nan"),) * 4
        return Reply(value, text, *spread, found.mass, found.off_grammar, free)


def _kind(scene):
    """Scenes whose questions cost about the same."""
    return scene.style.name, scene.grid


def _places(scene, members):
    """(N, 2) places of position style on the grid of picture tokens, None for other styles."""
    if scene.style.name != "position":
        return None
    return [scene.style.place(scene.view, q.pixel, scene.grid) for _, q in members]
