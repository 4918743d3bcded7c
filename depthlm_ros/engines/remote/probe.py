# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a server can do, found out by asking it one question before anybody else's.

The token ids of the prompt that it made are compared with our own: equal ids prove that it has the
template, the tokenizer and the image size of the checkpoint. A server that is not vLLM tells no
ids; it is asked freely, in the model's own words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from depthlm_ros.engines.remote.client import Client, Misfit, Refused
from depthlm_ros.engines.remote.wire import (
    BATCH,
    CHAT,
    Asked,
    SentImage,
    free_answer,
    holds_all,
    next_token,
    read_next,
)
from depthlm_ros.models.loading import Parts
from depthlm_ros.models.prompts import Prompts
from depthlm_ros.question import Question, Style
from depthlm_ros.view import View, usual_frame

EXACT, TOP, FREE = "exact", "top 20", "free"
READINGS = {
    EXACT: "exact probabilities of the digits",
    TOP: "the 20 most probable tokens alone, so that intervals are coarser",
    FREE: "answers in the model's own words, without intervals (it is no vLLM, or an old one)",
}
# Behind one address there may be several servers, asked in turn: one of so many has the image.
REPLICAS = 8
# What a reply that is otherwise than asked for raises where it is read.
UNREADABLE = KeyError, IndexError, TypeError, ValueError, AttributeError


@dataclass(frozen=True)
class Abilities:
    """What one server can do.

    model: the name under which it is asked. context: tokens of a prompt and its answer, 0 where
    it does not say. reading: one of READINGS. batch: whether it takes many conversations in one
    request. keys: whether it knows images again.
    """

    model: str
    context: int = 0
    reading: str = FREE
    batch: bool = False
    keys: bool = False

    def __str__(self) -> str:
        many = "many questions a request" if self.batch else "one question a request"
        images = "an image is sent once" if self.keys else "an image is sent with every request"
        return f"model {self.model}, {READINGS[self.reading]}, {many}, {images}"


class Probe:
    """Asks servers what they can do with one model. model: the name wanted, "" for the only one
    there."""

    def __init__(self, prompts: Prompts, style: Style, model: str):
        loaded = prompts.loaded
        self._prompts = prompts
        self._wanted = model
        view = _usual_view(loaded)
        self._question = style.probes(view)[0]
        settings = SentImage.settings_of(loaded.vision)
        self._image = SentImage(view.image, loaded.vision, settings)
        self._asked = asked(prompts, self._question, [self._image])

    async def abilities(self, client: Client) -> Abilities:
        """Raises Lost where the server does not answer, Misfit where it cannot be used."""
        found = await self._model(client)
        try:
            found = await self._first(client, found)
        except Refused as error:
            found = await self._freely(client, found, error)
        if found.reading == FREE:
            return found
        keys = await self._knows_again(client, found)
        found = replace(found, keys=keys)
        some = [self._asked.messages(keys, {self._key} if keys else frozenset())] * 2
        return replace(found, batch=await self._takes_many(client, found, some))

    @property
    def _key(self) -> str:
        return self._image.key

    async def _model(self, client: Client) -> Abilities:
        try:
            listed = await client.get("/models")
            models = {entry["id"]: entry.get("max_model_len") or 0 for entry in listed["data"]}
        except (Refused, *UNREADABLE) as error:
            raise Misfit(
                f"{client.url} does not list its models at /v1/models ({error}): is it a server of"
                " models, and is its address given without a path?"
            ) from None
        name = self._wanted or (next(iter(models)) if len(models) == 1 else "")
        if name not in models:
            what = f"has no model '{name}'" if name else "has several models"
            raise Misfit(
                f"{client.url} {what}, it has: {', '.join(sorted(models)) or 'none'}: name one of"
                " them in remote.model"
            )
        return Abilities(name, models[name])

    async def _first(self, client: Client, found: Abilities) -> Abilities:
        """Ask the first question, and see how numbers can be read."""
        symbols = self._prompts.loaded.symbol_ids
        body = self._body(found, symbols)
        body["return_token_ids"] = True  # vLLM
        reply = await client.post(CHAT, body)
        try:
            ids, choice = reply.get("prompt_token_ids"), reply["choices"][0]
        except UNREADABLE:
            raise Misfit(f"{client.url} answers a question with {str(reply)[:80]!r}") from None
        if not ids:  # it may have begun an answer of its own
            return replace(found, reading=FREE)
        self._compare(client, found, ids)
        try:
            read_next([choice], symbols)
            if holds_all(choice, symbols):
                return replace(found, reading=EXACT)
            reply = await client.post(CHAT, self._body(found, []))
            read_next(reply["choices"][:1], symbols)
        except (Refused, *UNREADABLE):
            return replace(found, reading=FREE)
        return replace(found, reading=TOP)

    def _body(self, found: Abilities, symbols: Sequence[int]) -> dict[str, Any]:
        body = next_token(bool(self._asked.said), symbols)
        return {"model": found.model, "messages": self._asked.messages(True), **body}

    def _compare(self, client: Client, found: Abilities, ids: Sequence[int]) -> None:
        """Misfit where the server's prompt is not ours."""
        name = self._prompts.loaded.checkpoint.name
        ours = prompt_ids(self._prompts, self._question, [self._image])
        if ids == ours:
            return
        image = self._prompts.loaded.vision.image_id
        got, expected = list(ids).count(image), ours.count(image)
        if got != expected and got:
            raise Misfit(resizes(client.url, got, expected))
        raise Misfit(
            f"{client.url} makes other tokens of a question than checkpoint '{name}' does, so"
            f" '{found.model}' is another model or has another chat template: start the server"
            f" with the folder of '{name}', or give the checkpoint that the server has"
        )

    async def _freely(self, client: Client, found: Abilities, before: Refused) -> Abilities:
        """Of a server that does not take vLLM's fields."""
        if "context length" in str(before) or "longer than" in str(before):
            raise Misfit(
                f"the context of {found.context} tokens at {client.url} is too short for a"
                " question about an image of the usual size: start the server with a larger"
                " --max-model-len"
            )
        plain = asked(self._prompts, self._question, [self._image], opened=False).messages(False)
        try:
            body = {"model": found.model, "messages": plain, **free_answer(16)}
            (await client.post(CHAT, body))["choices"][0]["message"]["content"]
        except (Refused, *UNREADABLE) as error:
            said = f"{before}; and asked plainly: {error}"
            raise Misfit(f"{client.url} cannot be asked about images: {said}") from None
        return replace(found, reading=FREE)

    async def _knows_again(self, client: Client, found: Abilities) -> bool:
        """Whether an image that was sent before can be meant by its key."""
        messages = self._asked.messages(True, {self._key})
        for _ in range(REPLICAS):
            try:
                return await self._is_answered(client, found, CHAT, messages)
            except Refused as error:
                if not error.is_miss:
                    return False
        return False

    async def _takes_many(self, client: Client, found: Abilities, some: list[Any]) -> bool:
        """Whether several conversations may be in one request."""
        try:
            return await self._is_answered(client, found, BATCH, some)
        except Refused as error:
            return error.is_miss  # by a server that has the route, and not the image

    async def _is_answered(
        self, client: Client, found: Abilities, path: str, messages: list[Any]
    ) -> bool:
        """Whether a request is answered as it was asked. Raises Lost or Refused."""
        symbols = self._prompts.loaded.symbol_ids if found.reading == EXACT else []
        body = {**self._body(found, symbols), "messages": messages}
        reply = await client.post(path, body)
        try:
            return len(read_next(reply["choices"], self._prompts.loaded.symbol_ids).tokens) > 0
        except UNREADABLE:
            return False


def asked(
    prompts: Prompts, question: Question, images: Sequence[SentImage], opened: bool = True
) -> Asked:
    """The conversation of a question. opened: whether the answer's first words are given."""
    loaded, opening = prompts.loaded, question.form.opening
    ids = prompts.question_ids(question, len(images))
    of_images = (len(loaded.vision.token_ids(image.grid)) - 1 for image in images)
    length = len(ids) + sum(of_images)
    if not opened:
        length -= prompts.opening_length(question.form)
    said = opening if opened else ""
    return Asked(images, question.text, said, length, loaded.chat.system)


def prompt_ids(prompts: Prompts, question: Question, images: Sequence[SentImage]) -> list[int]:
    """The ids of its prompt, as the checkpoint's own files make them. Raises EngineError where
    they are more than the model's context."""
    ids = prompts.question_ids(question, len(images))
    found: list[int] = prompts.with_images(ids, *(image.grid for image in images)).tolist()
    return found


def resizes(url: str, got: int, expected: int) -> str:
    """What to say of a server that makes another number of image tokens."""
    return (
        f"the server resizes images: {url} made {got} image tokens where {expected} are"
        " expected, which changes the focal length and every distance; start it with the"
        " checkpoint's own preprocessor_config.json and without --mm-processor-kwargs"
    )


def _usual_view(loaded: Parts) -> View:
    """What the model would be shown of most cameras' images, in grey."""
    checkpoint = loaded.checkpoint
    frame = usual_frame(checkpoint.focal_px, checkpoint.largest_view)
    return checkpoint.view(frame).windows(checkpoint.largest_view, loaded.vision.limits)[0]
