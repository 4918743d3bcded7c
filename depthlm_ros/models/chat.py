# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A question in the words of a checkpoint's chat template, as tokens.

One layout for trainer and engines: system, then the image (or two), then the question, then the
assistant's turn begins. Also where the template comes from: a checkpoint may hold several.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from itertools import product
from typing import Any

from jinja2 import TemplateError

from depthlm_ros.engines.digits import SYMBOLS
from depthlm_ros.errors import CheckpointError, first_line
from depthlm_ros.models.compat import stored_file

# Of a processor, up to transformers 4.5x and later; a tokenizer reads only the later one.
OLD_FILE, FILE = "chat_template.json", "chat_template.jinja"
TOKENIZER_FILE = "tokenizer_config.json"
# Under which a template looks for words; that of Pixtral from 2024 knows only the second.
TEXT_KEYS = ("text", "content")
_SLOT = "<<the question>>"


class Chat:
    """The chat layout of one tokenizer.

    system: the system prompt, or None for the template's; as an attribute the messages of it.
    template: the template to use, "" for the tokenizer's own.
    source: the file that the template is from.
    image_id: the token that stands for an image, None where it is not known: then it is not
        checked that a prompt holds its images.
    text_key: of TEXT_KEYS, the one that the template reads.

    Raises CheckpointError where the template cannot lay out a question about an image.
    """

    def __init__(
        self,
        tokenizer: Any,
        system: str | None = None,
        template: str = "",
        source: str = TOKENIZER_FILE,
        image_id: int | None = None,
    ):
        self.tokenizer = tokenizer
        self.template = template or _default(tokenizer.chat_template)
        self.source = source
        self.text_key = TEXT_KEYS[0]
        self.system = [{"role": "system", "content": system}] if system else []
        self._image_id = image_id
        if not self.template:
            raise CheckpointError(
                f"{tokenizer.name_or_path} has no chat template: copy {OLD_FILE}, {FILE} or"
                f" {TOKENIZER_FILE} of the model it was trained from"
            )
        self._around = cache(self._layout)
        self._around(1)

    def ids(self, question: str, images: int = 1) -> list[int]:
        """Token ids of the prompt for a question's text, one token standing for each image."""
        return self.encode(question.join(self._around(images)))

    def encode(self, text: str) -> list[int]:
        """Token ids of a text as it stands."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def prompt(self, question: str, images: int = 1) -> str:
        """The prompt for a question's text, as text."""
        return question.join(self._around(images))

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
        pairs = [a + b for a, b in product(SYMBOLS, repeat=2) if (a, b) != (".", ".")]
        encoded = self.tokenizer(pairs, add_special_tokens=False)["input_ids"]
        if one := [pair for pair, ids in zip(pairs, encoded, strict=True) if len(ids) != 2]:
            raise CheckpointError(
                f"the tokenizer makes one token of {one[0]!r}: a checkpoint must have each"
                " digit and the point as one token, since numbers are read digit by digit"
            )
        return [ids[0] for ids in single]

    def _layout(self, images: int) -> tuple[str, str]:
        """(what stands before the question, what stands behind it)."""
        problem = ""
        for key in TEXT_KEYS:
            content = [{"type": "image"}] * images + [{"type": "text", key: _SLOT}]
            messages = [*self.system, {"role": "user", "content": content}]
            try:
                text = self.tokenizer.apply_chat_template(
                    messages,
                    chat_template=self.template,
                    tokenize=False,
                    add_generation_prompt=True,
                )
            except (TemplateError, ValueError, TypeError, AttributeError, LookupError) as error:
                problem = f"cannot lay out a question about an image: {first_line(error)}"
                continue
            before, slot, after = text.partition(_SLOT)
            if slot:
                self.text_key = key
                self._check_images(before + after, images)
                return before, after
            problem = "drops the words of the user"
        raise CheckpointError(f"the chat template in {self.source} {problem}")

    def _check_images(self, text: str, images: int) -> None:
        if self._image_id is None:
            return
        found = self.encode(text).count(self._image_id)
        if found != images:
            token = self.tokenizer.convert_ids_to_tokens(self._image_id)
            raise CheckpointError(
                f"the chat template in {self.source} puts {found} image tokens ({token}) into a"
                f" question about {images}, so the model would not see what it is asked about:"
                " copy the template of the model it was trained from"
            )


def chat_of(
    model: str, tokenizer: Any, system: str | None, image_id: int
) -> tuple[Chat, list[str]]:
    """(the Chat of a folder or hub id, what is doubtful about its template, a sentence each).

    chat_template.json, which the processors of released models carry, wins over the tokenizer's.
    The tokenizer's chat_template is set to what is used, so that it is saved with it.

    Raises CheckpointError where there is no usable template, or where two files are a processor's
    and lay out a question differently.
    """
    own_file = FILE if stored_file(model, FILE) else TOKENIZER_FILE
    old = _read_old(model)
    notes: list[str] = []
    if not old:
        return Chat(tokenizer, system, source=own_file, image_id=image_id), notes
    chat = Chat(tokenizer, system, old, OLD_FILE, image_id)
    if tokenizer.chat_template and _differs(chat, tokenizer, system, own_file, image_id):
        if own_file == FILE:
            raise CheckpointError(
                f"{model} has a {OLD_FILE} and a {FILE} that lay out a question differently:"
                " remove the one that the model was not trained with"
            )
        notes.append(
            f"{OLD_FILE} and {own_file} of {model} lay out a question differently: {OLD_FILE} is"
            " used, as the published evaluations did"
        )
    tokenizer.chat_template = old
    return chat, notes


def _differs(chat: Chat, tokenizer: Any, system: str | None, source: str, image_id: int) -> bool:
    """Whether the tokenizer's own template lays out a question otherwise than `chat`; not where
    it cannot: it was then made for text alone."""
    try:
        own = Chat(tokenizer, system, source=source, image_id=image_id)
    except CheckpointError:
        return False
    return own.prompt("?") != chat.prompt("?")


def _read_old(model: str) -> str:
    """The template of chat_template.json, empty where there is no such file."""
    path = stored_file(model, OLD_FILE)
    if path is None:
        return ""
    try:
        return _default(json.loads(path.read_text(encoding="utf-8"))["chat_template"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: copy it again") from error


def _default(template: Any) -> str:
    """One template of what may be several by name: the one called default, or the only one."""
    if isinstance(template, list):  # as files hold them
        template = {one["name"]: one["template"] for one in template}
    if isinstance(template, dict):
        only = next(iter(template.values())) if len(template) == 1 else ""
        template = template.get("default", only)
    return str(template or "")


def put_images(ids: list[int], image_id: int, images: Iterable[list[int]]) -> list[int]:
    """ids with each placeholder image_id replaced by the next of `images` (lists of ids)."""
    runs = iter(images)
    return [token for i in ids for token in (next(runs) if i == image_id else (i,))]
