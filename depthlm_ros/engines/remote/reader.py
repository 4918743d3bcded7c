# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Questions about one scene, asked of one server: digit trees, and whole answers.

All trees of a piece grow together, in arrays: what they want in a round goes out as one request,
each node a conversation whose answer has begun with the node's text. An image goes with the first
request about it and by its key afterwards.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from depthlm_ros.engines.digits import DigitTrees, Grammar
from depthlm_ros.engines.remote.client import Lost, Misfit, Refused
from depthlm_ros.engines.remote.probe import (
    EXACT,
    FREE,
    UNREADABLE,
    Abilities,
    asked,
    resizes,
)
from depthlm_ros.engines.remote.scenes import RemoteScene
from depthlm_ros.engines.remote.servers import Server
from depthlm_ros.engines.remote.wire import (
    BATCH,
    CHAT,
    Asked,
    Next,
    SentImage,
    free_answer,
    next_token,
    read_next,
)
from depthlm_ros.models.prompts import Prompts
from depthlm_ros.question import Question

AT_ONCE = 32  # requests on their way to a server that takes one conversation in each
LARGEST = 1000  # conversations in one request


@dataclass(frozen=True)
class Said:
    """What a server said to some questions.

    trees: of their numbers, with the ids of their first tokens; None where none were read.
    whole: index of a question -> (the whole answer in the server's own words, whether it came to
        its end), of those that were asked for it.
    """

    trees: DigitTrees | None
    firsts: Sequence[int]
    whole: Mapping[int, tuple[str, bool]]


class Reader:
    """Reads numbers by a Grammar, and whole answers of `longest` tokens at most."""

    def __init__(self, prompts: Prompts, grammar: Grammar, longest: int):
        self._prompts = prompts
        self._grammar = grammar
        self._longest = longest
        self._symbols = prompts.loaded.symbol_ids

    async def read(
        self,
        server: Server,
        scene: RemoteScene,
        questions: Sequence[Question],
        spoken: Sequence[bool],
    ) -> Said:
        """What the server says to questions of one form about a scene.

        spoken: whether to ask each for the whole answer too, beside its number.

        Raises Lost or Refused.
        """
        ability = _of(server)
        images = await asyncio.to_thread(lambda: [scene.images(q) for q in questions])
        form = questions[0].form
        if ability.reading == FREE or not form.is_number:
            texts = await self._spoken(server, questions, images)
            return Said(None, (), dict(enumerate(texts)))
        trees, firsts = await self._trees(server, questions, images)
        some = [i for i, wanted in enumerate(spoken) if wanted]
        texts = await self._spoken(server, [questions[i] for i in some], [images[i] for i in some])
        return Said(trees, firsts, dict(zip(some, texts, strict=True)))

    async def check(self, server: Server, scene: RemoteScene, question: Question) -> None:
        """Ask one question about a scene, by which its image is sent. Raises Misfit where the
        server's prompt is not as long as ours, Lost or Refused."""
        images = await asyncio.to_thread(scene.plain)
        if _of(server).reading == FREE:  # nothing is kept, and nothing told
            return
        body = next_token(bool(question.form.opening), self._symbols)
        await self._choices(server, [asked(self._prompts, question, images)], body)

    async def _trees(
        self,
        server: Server,
        questions: Sequence[Question],
        images: Sequence[Sequence[SentImage]],
    ) -> tuple[DigitTrees, list[int]]:
        """(the trees of all questions, their first tokens)."""
        starts = [
            asked(self._prompts, question, own)
            for question, own in zip(questions, images, strict=True)
        ]
        begun = await self._next(server, starts)
        trees = DigitTrees(self._grammar, begun.probabilities, begun.best)
        while len(trees.wanted):
            nodes = zip(trees.wanted.rows.tolist(), trees.wanted.texts, strict=True)
            said = await self._next(server, [starts[row].going_on(text) for row, text in nodes])
            trees.feed(said.probabilities, said.best)
        return trees, begun.tokens

    async def _next(self, server: Server, some: Sequence[Asked]) -> Next:
        symbols = self._symbols if _of(server).reading == EXACT else []
        body = next_token(bool(some[0].said), symbols)
        choices = await self._choices(server, some, body)
        with _readable(server):
            return read_next(choices, self._symbols)

    async def _spoken(
        self,
        server: Server,
        questions: Sequence[Question],
        images: Sequence[Sequence[SentImage]],
    ) -> list[tuple[str, bool]]:
        """(whole answer, whether it came to its end) of each question."""
        if not questions:
            return []
        some = [
            asked(self._prompts, question, own, opened=False)
            for question, own in zip(questions, images, strict=True)
        ]
        choices = await self._choices(server, some, free_answer(self._longest))
        with _readable(server):
            return [
                (choice["message"]["content"] or "", choice["finish_reason"] == "stop")
                for choice in choices
            ]

    # Requests: which images go along.

    async def _choices(
        self, server: Server, some: Sequence[Asked], body: dict[str, Any]
    ) -> list[Mapping[str, Any]]:
        """One choice for each conversation."""
        if not _of(server).keys:
            return await self._sent(server, some, body, frozenset())
        for _ in range(2):
            try:
                return await self._by_key(server, some, body)
            except Refused as error:
                if not error.is_miss:
                    raise
            server.counts["cache misses"] += 1
            for one in some:
                for image in one.images:
                    server.held.pop(image.key, None)
        # It is several servers that do not share what they have.
        return await self._sent(server, some, body, frozenset())

    async def _by_key(
        self, server: Server, some: Sequence[Asked], body: dict[str, Any]
    ) -> list[Mapping[str, Any]]:
        """One choice for each conversation; an image that the server lacks goes along once."""
        alone = _first_about(some, server.held)
        if alone is None:
            return await self._sent(server, some, body, server.held)
        first = await self._sent(server, [some[alone]], body, server.held)
        rest = [*some[:alone], *some[alone + 1 :]]
        found = await self._sent(server, rest, body, server.held)
        return [*found[:alone], *first, *found[alone:]]

    async def _sent(
        self,
        server: Server,
        some: Sequence[Asked],
        body: dict[str, Any],
        held: Mapping[str, None] | frozenset[str],
    ) -> list[Mapping[str, Any]]:
        """One choice for each conversation; afterwards the server holds their images."""
        if not some:
            return []
        ability = _of(server)
        body = {"model": ability.model, **body}
        messages = [one.messages(ability.keys, frozenset(held)) for one in some]
        missed: set[str] = set()
        if ability.batch and len(some) > 1:
            parts = [messages[i : i + LARGEST] for i in range(0, len(messages), LARGEST)]
            replies = [
                await server.client.post(BATCH, {**body, "messages": part}) for part in parts
            ]
        else:
            replies, missed = await _one_by_one(server, some, messages, body)
        choices = _choices_in(replies, server, some)
        if ability.keys:
            for image in (image for one in some for image in one.images):
                server.holds(image.key)
        for key in missed:
            server.held.pop(key, None)
        return choices


async def _one_by_one(
    server: Server, some: Sequence[Asked], messages: Sequence[list[Any]], body: dict[str, Any]
) -> tuple[list[Any], set[str]]:
    """(the replies, a request for each conversation; the keys of images that were missed).

    An image is missed by one of several servers behind one address: it goes along now, and with
    the next request too, which reaches another of them.
    """
    limit = asyncio.Semaphore(AT_ONCE)
    missed: set[str] = set()

    async def replied(one: Asked, conversation: list[Any]) -> Any:
        async with limit:
            try:
                return await server.client.post(CHAT, {**body, "messages": conversation})
            except Refused as error:
                if not error.is_miss:
                    raise
            server.counts["cache misses"] += 1
            missed.update(image.key for image in one.images)
            whole = one.messages(_of(server).keys)
            return await server.client.post(CHAT, {**body, "messages": whole})

    return await _all(*map(replied, some, messages)), missed


def _choices_in(
    replies: Sequence[Mapping[str, Any]], server: Server, some: Sequence[Asked]
) -> list[Mapping[str, Any]]:
    """One choice for each conversation. Raises Lost, or Misfit where the server's prompts are not
    as long as ours."""
    with _readable(server):
        choices = [choice for reply in replies for choice in _in_order(reply)]
        if len(choices) != len(some):
            raise ValueError(f"{len(choices)} answers to {len(some)} questions")
        got = sum(reply["usage"]["prompt_tokens"] for reply in replies)
    expected = sum(one.length for one in some)
    if got != expected and _of(server).reading != FREE:
        raise Misfit(resizes(server.url, got, expected))
    return choices


def _of(server: Server) -> Abilities:
    """Of a server that was chosen, so it has been seen."""
    assert server.abilities is not None
    return server.abilities


def _first_about(some: Sequence[Asked], held: Mapping[str, None]) -> int | None:
    """The first conversation about an image that the server lacks and others speak of too."""
    counts = Counter(image.key for one in some for image in one.images)
    for index, one in enumerate(some):
        if any(counts[image.key] > 1 and image.key not in held for image in one.images):
            return index
    return None


def _in_order(reply: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return sorted(reply["choices"], key=lambda choice: choice["index"])


@contextmanager
def _readable(server: Server) -> Iterator[None]:
    """Lost where what is read here is otherwise than asked for."""
    try:
        yield
    except UNREADABLE as error:
        reason = f"{type(error).__name__}: {error}"
        raise Lost(f"{server.url} answers otherwise than it was asked ({reason})") from error


async def _all(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """What all return; where one fails the others are cancelled."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
