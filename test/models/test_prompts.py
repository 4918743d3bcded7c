# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The ids of prompts whose digits are filled in are those that the tokenizer makes."""

import pytest

pytest.importorskip("torch")

from testing.tiny_models import tokenizer_of

from depthlm_ros.models.chat import Chat
from depthlm_ros.models.prompts import Encoded
from depthlm_ros.question import WORDINGS

QUESTION = WORDINGS["coordinates"]["tags"][0]
PLACES = [(0, 0), (7, 1234), (2000, 2000), (98, 765), (12, 3), (3, 12), (1907, 1)]


@pytest.fixture(params=["qwen2_5_vl", "llava"])
def chat(request):
    return Chat(tokenizer_of(request.param), "It is the year 2026.")


def digits_of(chat):
    return [chat.encode(digit)[0] for digit in "0123456789"]


@pytest.mark.parametrize("images", [1, 2])
def test_digits_are_filled_in_as_the_tokenizer_would(chat, images):
    encoded = Encoded(chat, digits_of(chat))
    texts = [QUESTION.format(x=x, y=y, range=2000) for x, y in PLACES]
    for text in [*texts, *texts[::-1], "no number", "1", "a 1 b 22 c"]:
        assert encoded.prompt(text, images) == chat.ids(text, images)


def test_a_question_of_a_known_layout_is_not_tokenized_again(chat, monkeypatch):
    encoded, plain = Encoded(chat, digits_of(chat)), chat.ids
    first, second = (QUESTION.format(x=x, y=y, range=2000) for x, y in ((123, 45), (678, 90)))
    encoded.prompt(first, 1)
    expected = plain(second, 1)
    monkeypatch.setattr(chat, "ids", None)
    assert encoded.prompt(second, 1) == expected


def test_where_digits_cannot_be_told_apart_all_is_tokenized(chat, monkeypatch):
    """As with a vocabulary in which some digits make one token with a word before them."""
    encoded, plain = Encoded(chat, digits_of(chat)), chat.ids

    def merging(text, images=1):
        ids = plain(text, images)
        return ids[1:] if "at 7" in text else ids

    monkeypatch.setattr(chat, "ids", merging)
    for text in ("at 1", "at 7", "at 3"):
        assert encoded.prompt(text, 1) == merging(text)
