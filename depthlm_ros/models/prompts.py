# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Questions about pictures, as token ids and rotary positions, and what they share.

A full prompt is chat layout, picture tokens, words and the forced opening of the answer; where a
style shares its pictures, all questions have the same beginning, found here by probing. Knows the
Loaded model's vocabulary and position rule and nothing of its weights.
"""

from functools import lru_cache, partial
from os.path import commonprefix

import torch

from depthlm_ros.errors import EngineError, InputError
from depthlm_ros.models.chat import put_pictures
from depthlm_ros.models.positions import Placed, prompt_positions, question_positions


class Prompts:
    """The prompts of one Loaded model. forced: give the opening of the answer too."""

    def __init__(self, loaded, forced=True):
        self.loaded = loaded
        self.forced = forced
        self._ids = lru_cache(maxsize=8192)(partial(_prompt_ids, loaded.chat, forced))

    def with_pictures(self, ids, *grids) -> torch.Tensor:
        """(L,) ids with the pictures' own tokens in place, a (rows, columns) for each."""
        vision = self.loaded.vision
        whole = put_pictures(ids, vision.image_id, map(vision.token_ids, grids))
        self._check_length(len(whole))
        return torch.tensor(whole)

    def placed(self, ids, *pictures) -> Placed:
        """Positions (3, L) of the ids (L,) of a prompt with a picture of each Pictures."""
        vision = self.loaded.vision
        if not vision.multimodal_positions:  # picture tokens are words to such a model
            return prompt_positions(ids, -1, [], 1)
        grids = [grid for one in pictures for grid in vision.grids(one, 1)]
        return prompt_positions(ids, vision.image_id, grids, vision.merge)

    def check_style(self, style, images) -> None:
        """InputError if this model cannot be asked in the style about so many images."""
        reason = self.unsupported(style, images)
        if reason:
            raise InputError(reason)

    def unsupported(self, style, images) -> str:
        """Why this model cannot be asked in a style about so many images, "" if it can."""
        if images not in style.pictures:
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
            return "position style needs the token that points in the vocabulary"
        return ""

    def check_room(self, style, view, grids) -> None:
        """EngineError if questions in the style are longer than the model's context, beside
        pictures of grids [(rows, columns)]: known now, it fails no step that others share."""
        for probe in style.probes(view):
            self.with_pictures(self.question_ids(probe, len(grids)), *grids)

    def shared_beginning(self, view, style, pictures=1) -> list:
        """The ids with which every question about the view begins, a picture as one token."""
        probes = [self._ids(probe.text, "", pictures) for probe in style.probes(view)]
        beginning = commonprefix(probes)
        if self.loaded.point_id in beginning:
            beginning = beginning[: beginning.index(self.loaded.point_id)]
        return beginning[: min(map(len, probes)) - 1]

    def question_ids(self, question, pictures=1) -> list:
        """The ids of a question's prompt, a picture as one token."""
        return self._ids(question.text, question.form.opening, pictures)

    def opening_length(self, form) -> int:
        """How many tokens of the answer are given."""
        return len(self.loaded.chat.encode(form.opening)) if self.forced else 0

    def rest(self, question, beginning, pictures=1) -> list:
        """The ids of a question behind the beginning that it shares."""
        ids = self.question_ids(question, pictures)
        if ids[: len(beginning)] != beginning or len(ids) == len(beginning):
            raise EngineError(
                f"the question {question.text[:60]!r} does not begin as the scene's others: make"
                " it by the style that the scene was opened with"
            )
        return ids[len(beginning) :]

    def words(self, rests, start, picture_start, places):
        """(ids (N, L) right padded with 0, positions (3, N, L), lengths (N,)) of what follows a
        shared beginning that ends at `start`; places (N, 2) for position style, else None."""
        lengths = torch.tensor([len(rest) for rest in rests])
        self._check_length(int(start + lengths.max()))
        ids = torch.zeros((len(rests), int(lengths.max())), dtype=torch.long)
        for row, rest in enumerate(rests):
            ids[row, : len(rest)] = torch.tensor(rest)
        point = self.loaded.point_id
        return ids, question_positions(start, ids, point, picture_start, places), lengths

    def _check_length(self, length):
        config = self.loaded.config.get_text_config()
        limits = (config.max_position_embeddings, getattr(config, "sliding_window", None))
        limit = min(value for value in limits if value)
        if length > limit:
            raise EngineError(
                f"a question of {length} tokens is longer than the model's context of {limit}:"
                " give a smaller picture or fewer words"
            )


def _prompt_ids(chat, forced, text, opening, pictures) -> list:
    """A prompt's ids; a function, since a cached method would keep its model alive."""
    return chat.ids(text, pictures) + (chat.encode(opening) if forced else [])
