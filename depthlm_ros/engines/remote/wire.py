# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What is written to a server and read from it: images, conversations, log-probabilities.

Field names are those of vLLM 0.32; what is not part of OpenAI's protocol is marked (vLLM).
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
from PIL import Image

from depthlm_ros.engines.digits import SYMBOLS
from depthlm_ros.models.vision import QwenVision

CHAT, BATCH = "/chat/completions", "/chat/completions/batch"
TOKEN = "token_id:"  # before the id of a token (vLLM)
MOST_TOP = 20  # log-probabilities of the most probable tokens, that every server gives


class SentImage:
    """An image as the model is to see it, at the size that no processor changes.

    key: by which a server knows it again: the only thing it goes by, so a hash of all that matters
        (pixels, size, settings of the processor), never a stamp.
    grid: (rows, columns) of its image tokens.
    """

    def __init__(self, image: np.ndarray, vision: QwenVision, settings: str):
        """image: (h, w, 3) uint8, resized here as the processor would. settings: of the processor.
        Raises EngineError."""
        height, width = vision.snapped(*image.shape[:2])
        if image.shape[:2] != (height, width):
            resample = Image.Resampling(vision.processor.resample)
            image = np.asarray(Image.fromarray(image).resize((width, height), resample))
        digest = hashlib.sha256(f"{width} {height} {settings} ".encode())
        digest.update(image.tobytes())
        self.key = digest.hexdigest()
        self.grid = height // vision.side, width // vision.side
        self._image = image
        self._url = ""

    @staticmethod
    def settings_of(vision: QwenVision) -> str:
        """The settings of a processor, as a text."""
        return json.dumps(vision.processor.to_dict(), sort_keys=True, default=str)

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return self._image.nbytes + len(self._url)

    def url(self) -> str:
        """The image itself, as a PNG in a data URL; made once."""
        if not self._url:
            buffer = io.BytesIO()
            Image.fromarray(self._image).save(buffer, "PNG", compress_level=1)
            code = base64.b64encode(buffer.getvalue()).decode()
            self._url = f"data:image/png;base64,{code}"
        return self._url


@dataclass(frozen=True)
class Asked:
    """One conversation: images, the user's words, and the beginning of the answer.

    said: the answer goes on behind it; "": it begins. length: tokens of all of it, as the
    checkpoint's own files make them. system: the messages before.
    """

    images: Sequence[SentImage]
    text: str
    said: str
    length: int
    system: Sequence[Mapping[str, Any]] = ()

    def going_on(self, digits: str) -> Asked:
        """The same with digits or points behind it, each one token."""
        return replace(self, said=self.said + digits, length=self.length + len(digits))

    def messages(self, by_key: bool, held: Collection[str] = ()) -> list[Any]:
        """The conversation. by_key: name images by their keys (vLLM); held: keys of those that
        the server has, which are not sent again."""
        content = [_item(image, by_key, image.key in held) for image in self.images]
        content.append({"type": "text", "text": self.text})
        found: list[Any] = [*self.system, {"role": "user", "content": content}]
        if self.said:
            found.append({"role": "assistant", "content": self.said})
        return found


def _item(image: SentImage, by_key: bool, held: bool) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "image_url", "image_url": None}
    if not held:
        item["image_url"] = {"url": image.url()}
    if by_key:
        item["uuid"] = image.key
    return item


def next_token(continues: bool, symbol_ids: Sequence[int]) -> dict[str, Any]:
    """Fields that ask for the next token and the probabilities of the symbols.

    continues: whether the conversations end with the beginning of an answer.
    symbol_ids: the tokens of SYMBOLS (vLLM), empty for the most probable tokens instead.
    """
    found: dict[str, Any] = {"temperature": 0, "max_tokens": 1, "logprobs": True}
    found |= {"add_generation_prompt": not continues, "continue_final_message": continues}  # vLLM
    found["return_tokens_as_token_ids"] = True  # vLLM
    if symbol_ids:
        found["logprob_token_ids"] = list(symbol_ids)  # vLLM
    else:
        found["top_logprobs"] = MOST_TOP
    return found


def free_answer(longest: int) -> dict[str, Any]:
    """Fields that ask for a whole answer in the model's own words."""
    return {"temperature": 0, "max_tokens": longest}


@dataclass(frozen=True)
class Next:
    """What a model says next in N conversations.

    probabilities: (N, 11) of SYMBOLS. best: (N,) index of the most probable token of all among
    them, -1 if it is another. tokens: that token's id.
    """

    probabilities: np.ndarray
    best: list[int]
    tokens: list[int]


def read_next(choices: Sequence[Mapping[str, Any]], symbol_ids: Sequence[int]) -> Next:
    """Of N choices. Raises KeyError, IndexError, TypeError or ValueError where one is otherwise
    than asked for."""
    columns = {f"{TOKEN}{symbol}": column for column, symbol in enumerate(symbol_ids)}
    known, best, tokens = [], [], []
    for choice in choices:
        told = choice["logprobs"]["content"][0]
        row = [-inf] * len(symbol_ids)
        for entry in (told, *told["top_logprobs"]):
            column = columns.get(entry["token"], -1)
            if column >= 0:
                row[column] = entry["logprob"]
        known.append(row)
        best.append(columns.get(told["token"], -1))
        tokens.append(_id(told["token"]))
    logprobs = np.array(known, np.float64).reshape(len(known), len(symbol_ids))
    return Next(np.exp(logprobs), best, tokens)


def holds_all(choice: Mapping[str, Any], symbol_ids: Sequence[int]) -> bool:
    """Whether a choice has the log-probability of every symbol."""
    told = choice["logprobs"]["content"][0]["top_logprobs"]
    assert len(symbol_ids) == len(SYMBOLS)
    return set(symbol_ids) <= {_id(entry["token"]) for entry in told}


def _id(token: str) -> int:
    return int(token.removeprefix(TOKEN))
