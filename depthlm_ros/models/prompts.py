# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Questions about images and their answers, as token ids and rotary positions, and what they
share.

A full prompt is chat layout, image tokens, words and the forced opening of the answer; where a
style shares its images, all questions have the same beginning, found here by probing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from os.path import commonprefix

import numpy as np
import torch

from depthlm_ros.answer import AnswerForm
from depthlm_ros.engines.digits import SYMBOLS
from depthlm_ros.errors import EngineError, InputError
from depthlm_ros.models.chat import Chat, put_images
from depthlm_ros.models.loading import Parts
from depthlm_ros.models.positions import Placed, prompt_positions, question_positions
from depthlm_ros.models.vision import ImageTensors, QwenVision
from depthlm_ros.question import Question, Style
from depthlm_ros.view import View

ZEROS = str.maketrans("123456789", "000000000")
Shape = tuple[int, int]  # rows and columns of image tokens


class Prompts:
    """The prompts of one model. forced: give the opening of the answer too."""

    def __init__(self, loaded: Parts, forced: bool = True):
        self.loaded = loaded
        self.forced = forced
        self._encoded = Encoded(loaded.chat, loaded.symbol_ids[:10])

    def with_images(self, ids: list[int], *grids: Shape) -> torch.Tensor:
        """(L,) ids with the images' own tokens in place, a (rows, columns) for each."""
        vision = self.loaded.vision
        whole = put_images(ids, vision.image_id, map(vision.token_ids, grids))
        self._check_length(len(whole))
        return torch.tensor(whole)

    def placed(self, ids: torch.Tensor, *images: ImageTensors) -> Placed:
        """Positions (3, L) of the ids (L,) of a prompt that holds these images."""
        return placed(self.loaded.vision, ids, images)

    def unsupported(self, style: Style, images: int) -> str:
        """Why this model cannot be asked in the style about so many images; empty if it can."""
        if images not in style.images:
            return (
                f"a question in {style.name} style is about one image, got {images}: two are"
                " asked in plain style"
            )
        if style.name != "position":
            return ""
        if not self.loaded.vision.multimodal_positions:
            return (
                "position style needs a model with multimodal rotary positions, and"
                f" '{self.loaded.checkpoint.architecture}' has one-dimensional ones: ask by"
                " marker or coordinates"
            )
        if self.loaded.point_id is None:
            return "position style needs the token that points, and the vocabulary lacks it"
        return ""

    def check_style(self, style: Style, images: int) -> None:
        """InputError if this model cannot be asked in the style about so many images."""
        reason = self.unsupported(style, images)
        if reason:
            raise InputError(reason)

    def check_length(self, style: Style, view: View, grids: Sequence[Shape]) -> None:
        """EngineError if questions in the style are longer than the model's context, beside
        images of grids [(rows, columns)]: known now, it fails no step that others share."""
        for probe in style.probes(view):
            self.with_images(self.question_ids(probe, len(grids)), *grids)

    def shared_beginning(self, view: View, style: Style, images: int = 1) -> list[int]:
        """The ids with which every question about the view begins, an image as one token."""
        probes = [self._ids(probe.text, "", images) for probe in style.probes(view)]
        beginning = list(commonprefix(probes))
        if self.loaded.point_id in beginning:
            beginning = beginning[: beginning.index(self.loaded.point_id)]
        return beginning[: min(map(len, probes)) - 1]

    def question_ids(self, question: Question, images: int = 1) -> list[int]:
        """The ids of a question's prompt, an image as one token."""
        return self._ids(question.text, question.form.opening, images)

    def _ids(self, text: str, opening: str, images: int) -> list[int]:
        ids = self._encoded.prompt(text, images)
        return ids + self._encoded.opening(opening) if self.forced else ids

    def opening_length(self, form: AnswerForm) -> int:
        """How many tokens of the answer are given."""
        return len(self._encoded.opening(form.opening)) if self.forced else 0

    def behind_opening(self, form: AnswerForm, number: str) -> list[int]:
        """The ids of an answer behind its opening: the number's digits and the closing words."""
        symbols = self.loaded.symbol_ids
        digits = [symbols[SYMBOLS.index(character)] for character in number]
        return digits + self.loaded.chat.encode(form.closing(number))

    def worded(self, form: AnswerForm, number: str) -> str:
        """The whole answer in the given words, as the tokenizer gives it back."""
        ids = self.loaded.chat.encode(form.opening) + self.behind_opening(form, number)
        text: str = self.loaded.tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def begun(self, form: AnswerForm, numbers: Sequence[str], firsts: Sequence[int]) -> list[str]:
        """The texts of answers that end with their numbers; of one that has none, with the token
        (of firsts) that came in its place."""
        decode = self.loaded.tokenizer.decode
        said = zip(numbers, firsts, strict=True)
        return [form.opening + (number or decode([first])) for number, first in said]

    def rests(
        self, questions: Sequence[Question], beginning: list[int], images: int = 1
    ) -> list[list[int]]:
        """The ids of questions of one form behind the beginning that they share."""
        texts, shared = [question.text for question in questions], len(beginning)
        opening = self._encoded.opening(questions[0].form.opening) if self.forced else []
        found = []
        for text, ids in zip(texts, self._encoded.prompts(texts, images), strict=True):
            if ids[:shared] != beginning or len(ids) + len(opening) == shared:
                raise EngineError(
                    f"the question {text[:60]!r} does not begin as the scene's others: make it by"
                    " the style that the scene was opened with"
                )
            found.append(ids[shared:] + opening)
        return found

    def words(
        self,
        rests: Sequence[list[int]],
        start: int,
        image_start: int,
        places: np.ndarray | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(ids (N, L) right padded with 0, positions (3, N, L), lengths (N,)) of what follows a
        shared beginning that ends at `start`; places (N, 2) for position style, else None."""
        lengths = torch.tensor([len(rest) for rest in rests])
        self._check_length(int(start + lengths.max()))
        ids = torch.zeros((len(rests), int(lengths.max())), dtype=torch.long)
        own = torch.arange(ids.shape[1]) < lengths[:, None]
        tokens = np.fromiter(chain.from_iterable(rests), np.int64, int(lengths.sum()))
        ids[own] = torch.from_numpy(tokens)
        point = self.loaded.point_id
        return ids, question_positions(start, ids, point, image_start, places), lengths

    def _check_length(self, length: int) -> None:
        config = self.loaded.config.get_text_config()
        limits = (config.max_position_embeddings, getattr(config, "sliding_window", None))
        limit = min(value for value in limits if value)
        if length > limit:
            raise EngineError(
                f"a question of {length} tokens is longer than the model's context of {limit}:"
                " give a smaller image or fewer words"
            )


def placed(vision: QwenVision, ids: torch.Tensor, images: Sequence[ImageTensors]) -> Placed:
    """Positions (3, L) of the ids (L,) of a prompt with these images, by any architecture."""
    if not vision.multimodal_positions:  # image tokens are words to such a model
        return prompt_positions(ids, -1, [], 1)
    grids = [grid for one in images for grid in vision.grids(one, 1)]
    return prompt_positions(ids, vision.image_id, grids, vision.merge)


class Encoded:
    """The token ids of prompts and openings. digit_ids: the token of each digit.

    A question in coordinates style has numbers of its own and all other words in common with
    thousands: what differs in digits alone is tokenized once, and the digits of all are filled in
    at once. That it may be done is looked at with each digit, in the place of all others.
    """

    def __init__(self, chat: Chat, digit_ids: Sequence[int]):
        self._chat, self._digit_ids = chat, np.array(digit_ids)
        self.opening = lru_cache(maxsize=64)(chat.encode)
        self._layout = lru_cache(maxsize=256)(self._made_layout)

    def prompt(self, text: str, images: int) -> list[int]:
        """The ids of a question's prompt, an image as one token."""
        return self.prompts([text], images)[0]

    def prompts(self, texts: Sequence[str], images: int) -> list[list[int]]:
        """Those of several questions."""
        alike: dict[str, list[int]] = {}
        for index, text in enumerate(texts):
            alike.setdefault(text.translate(ZEROS), []).append(index)
        found: list[list[int]] = [[]] * len(texts)
        for zeros, indices in alike.items():
            filled = self._filled(zeros, [texts[index] for index in indices], images)
            for index, ids in zip(indices, filled, strict=True):
                found[index] = ids
        return found

    def _filled(self, zeros: str, texts: Sequence[str], images: int) -> list[list[int]]:
        """The ids of texts that are `zeros` with other digits."""
        layout = self._layout(zeros, images)
        if layout is None:
            return [self._chat.ids(text, images) for text in texts]
        first, places = layout
        ids = np.tile(first, (len(texts), 1))
        if len(places):
            characters = np.array(texts)[:, None].view(np.uint32)
            digits = characters[:, [i for i, c in enumerate(zeros) if c == "0"]] - ord("0")
            ids[:, places] = self._digit_ids[digits]
        return ids.tolist()

    def _made_layout(self, zeros: str, images: int) -> tuple[np.ndarray, np.ndarray] | None:
        """(ids of the prompt for a text with 0 for every digit, where its digits stand); None
        where digits cannot be filled in."""
        first = np.array(self._chat.ids(zeros, images))
        if "0" not in zeros:
            return first, np.zeros(0, np.int64)
        each = [self._chat.ids(zeros.replace("0", digit), images) for digit in "0123456789"]
        if any(len(ids) != len(first) for ids in each):
            return None
        places = np.flatnonzero(first != each[1])
        filled = np.tile(first, (10, 1))
        filled[:, places] = self._digit_ids[:, None]
        fits = np.array_equal(filled, each) and len(places) == zeros.count("0")
        return (first, places) if fits else None
