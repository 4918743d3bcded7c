# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A question in the words of a checkpoint's chat template, as tokens.

One layout for trainer and engines: system, then picture, then the question, then the assistant's
turn begins. Knows nothing about models or pixels.
"""

from depthlm_ros.engines.digits import SYMBOLS
from depthlm_ros.errors import CheckpointError

_SLOT = "<<the question>>"


class Chat:
    """The chat layout of one tokenizer. system: the system prompt, or None for the template's."""

    def __init__(self, tokenizer, system=None):
        self.tokenizer = tokenizer
        content = [{"type": "image"}, {"type": "text", "text": _SLOT}]
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": content})
        if not tokenizer.chat_template:
            raise CheckpointError(
                f"the tokenizer in {tokenizer.name_or_path} has no chat template: copy"
                " tokenizer_config.json or chat_template.jinja of the model it was trained from"
            )
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        self._before, slot, self._after = text.partition(_SLOT)
        if not slot:
            raise CheckpointError("the chat template drops the words of the user")

    def ids(self, question) -> list:
        """Token ids of the prompt for a question's text, one token standing for the picture."""
        return self.encode(self._before + question + self._after)

    def encode(self, text) -> list:
        """Token ids of a text as it stands."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def symbol_ids(self, question, opening) -> list:
        """The tokens of the digits and the point (SYMBOLS), each one token of its own.

        Raises CheckpointError if a number after question and opening is split otherwise: then
        it could not be read digit by digit.
        """
        single = [self.encode(symbol) for symbol in SYMBOLS]
        number = "2.35"
        apart = [single[SYMBOLS.index(c)] for c in number]
        whole = self.encode(self._before + question + self._after + opening + number)
        joined = self.ids(question) + self.encode(opening)
        if any(len(ids) != 1 for ids in single) or whole != joined + [i for (i,) in apart]:
            raise CheckpointError(
                f"the tokenizer does not keep the digits of {opening + number!r} apart: a"
                " checkpoint must have each digit and the point as one token"
            )
        return [ids[0] for ids in single]


def put_pictures(ids, image_id, pictures) -> list:
    """ids with each placeholder image_id replaced by the next of `pictures` (lists of ids)."""
    runs = iter(pictures)
    return [token for i in ids for token in (next(runs) if i == image_id else (i,))]
