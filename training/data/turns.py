# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A question with its answer as tokens, in the words of a checkpoint's chat template.

The same layout that the engines ask in (engines.chat); here the answer is filled in. Knows
nothing about images but their placeholder, and nothing about batches.
"""

from dataclasses import dataclass
from os.path import commonprefix

from depthlm_ros.errors import CheckpointError
from depthlm_ros.models.chat import put_images

_SLOTS = ("<<question 1>>", "<<answer 1>>", "<<question 2>>")


@dataclass(frozen=True)
class Span:
    """One question behind the image: its tokens, where its answer and its number begin."""

    ids: list
    answer_start: int
    number_start: int


class Turns:
    """Spans of one base's Parts. multi_turn: questions after the first are further turns."""

    def __init__(self, parts, multi_turn=False):
        self.chat = parts.chat
        self.image_id = parts.vision.image_id
        self.end_id = parts.tokenizer.eos_token_id
        self._shared = commonprefix([self._behind(text) for text in ("a", "1", "I")])
        self._between = _between(parts) if multi_turn else None

    def prefix(self, *images) -> list:
        """The tokens up to the end of the last image, the same for all questions about it.

        images: the ids of each.
        """
        prompt = self.chat.ids("a", len(images))
        last = len(prompt) - 1 - prompt[::-1].index(self.image_id)
        return put_images(prompt[: last + 1], self.image_id, images) + self._shared

    def span(self, asked, first=True) -> Span:
        """The tokens of an Asked behind the prefix, or behind the turn before it."""
        if first or self._between is None:
            ids = self.question(asked.question.text)
        else:
            before, after = self._between
            ids = self.chat.encode(before + asked.question.text + after)
        opening = self.chat.encode(asked.question.form.opening)
        start = len(ids)
        ids = ids + self.chat.encode(asked.answer) + [self.end_id]
        return Span(ids, start, start + len(opening))

    def question(self, text) -> list:
        """The tokens of a question's words behind the prefix, up to where its answer begins."""
        return self._behind(text)[len(self._shared) :]

    def _behind(self, text) -> list:
        """The ids behind the image of a question's prompt."""
        prompt = self.chat.ids(text)
        return prompt[prompt.index(self.image_id) + 1 :]


def _between(parts) -> tuple:
    """The words between the end of an answer and the next question, and from there to the next
    answer, as the chat template writes them."""
    user, assistant, again = _SLOTS
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": user}]},
        {"role": "assistant", "content": [{"type": "text", "text": assistant}]},
        {"role": "user", "content": [{"type": "text", "text": again}]},
    ]
    text = parts.tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    _, found, rest = text.partition(assistant)
    end = parts.tokenizer.eos_token
    before, found_again, after = rest.partition(again)
    if not (found and found_again) or not before.startswith(end):
        raise CheckpointError(
            f"the chat template does not end an assistant's turn with {end}, which ends answers"
            " here: multi_turn cannot be used with it"
        )
    return before.removeprefix(end), after
