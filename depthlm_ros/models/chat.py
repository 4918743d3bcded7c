# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A question in the words of a checkpoint's chat template, as tokens.

One layout for trainer and engines: system, then the image (or two), then the question, then the
assistant's turn begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from depthlm_ros.engines.digits import SYMBOLS
from depthlm_ros.errors import CheckpointError

_SLOT = "<<the question>>"


class Chat:
    """The chat layout of one tokenizer. system: the system prompt, or None for the template's."""

    def __init__(self, tokenizer: Any, system: str | None = None):
        self.tokenizer = tokenizer
        self._system = [{"role": "system", "content": system}] if system else []
        if not tokenizer.chat_template:
            raise CheckpointError(
                f"the tokenizer in {tokenizer.name_or_path} has no chat template: copy"
                " tokenizer_config.json or chat_template.jinja of the model it was trained from"
            )
        self._around = cache(self._layout)
        self._around(1)

    def ids(self, question: str, images: int = 1) -> list[int]:
        """Token ids of the prompt for a question's text, one token standing for each image."""
        return self.encode(question.join(self._around(images)))

    def encode(self, text: str) -> list[int]:
        """Token ids of a text as it stands."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def symbol_ids(self, question: str, opening: str) -> list[int]:
        """The tokens of the digits and the point (SYMBOLS), each one token of its own.

        Raises CheckpointError if a number after question and opening is split otherwise: then
        it could not be read digit by digit.
        """
        single = [self.encode(symbol) for symbol in SYMBOLS]
        number = "2.35"
        apart = [single[SYMBOLS.index(c)] for c in number]
        whole = self.encode(question.join(self._around(1)) + opening + number)
        joined = self.ids(question) + self.encode(opening)
        if any(len(ids) != 1 for ids in single) or whole != joined + [i for (i,) in apart]:
            raise CheckpointError(
                f"the tokenizer does not keep the digits of {opening + number!r} apart: a"
                " checkpoint must have each digit and the point as one token"
            )
        return [ids[0] for ids in single]

    def _layout(self, images: int) -> tuple[str, str]:
        """(what stands before the question, what stands behind it)."""
        content = [{"type": "image"}] * images + [{"type": "text", "text": _SLOT}]
        messages = [*self._system, {"role": "user", "content": content}]
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        before, slot, after = text.partition(_SLOT)
        if not slot:
            raise CheckpointError("the chat template drops the words of the user")
        return before, after


def put_images(ids: list[int], image_id: int, images: Iterable[list[int]]) -> list[int]:
    """ids with each placeholder image_id replaced by the next of `images` (lists of ids)."""
    runs = iter(images)
    return [token for i in ids for token in (next(runs) if i == image_id else (i,))]
