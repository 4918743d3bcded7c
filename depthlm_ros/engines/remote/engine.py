# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The engine on other machines: asks vLLM, on one server or several, what LocalEngine computes.

The same questions, the same digit trees, the same replies; of the checkpoint it needs the
tokenizer, the image processor and the chat template alone, no weights. All that waits for servers
runs in one event loop, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Coroutine, Hashable, Sequence
from copy import copy
from dataclasses import dataclass
from math import ceil, nan
from typing import Any, TypeVar

from depthlm_ros.answer import AnswerForm, parse
from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines import CLOSED, LONGEST, Reply, ServerState
from depthlm_ros.engines.capacity import Pace
from depthlm_ros.engines.checks import Checks
from depthlm_ros.engines.digits import Grammar
from depthlm_ros.engines.progress import Progress, silent
from depthlm_ros.engines.remote.addresses import clean_urls, read_key
from depthlm_ros.engines.remote.client import Client, Refused
from depthlm_ros.engines.remote.probe import Probe
from depthlm_ros.engines.remote.reader import Reader, Said
from depthlm_ros.engines.remote.scenes import RemoteScene
from depthlm_ros.engines.remote.servers import Server, Servers
from depthlm_ros.engines.remote.wire import SentImage
from depthlm_ros.errors import EngineError, InputError
from depthlm_ros.models.compat import quiet
from depthlm_ros.models.loading import load_parts
from depthlm_ros.models.memory import used_bytes
from depthlm_ros.models.prompts import Prompts
from depthlm_ros.question import Question, Style
from depthlm_ros.view import View

Asked = tuple[RemoteScene, Question]
Result = TypeVar("Result")

TIMEOUT_S = 30.0
# Questions about one image that a server is asked at once. They go out in two pieces for each
# server, so that it has something to do while the answers to one piece are on the line; where a
# step holds few, in one piece for each.
PIECE, SMALLEST = 64, 8
OWN = 32  # so many questions about one image are worth no other server than its own
DRAWN = 8  # questions with an image of their own that a server is asked at once
# A step is several rounds, each over the network and back, however few questions it has: it is
# worth filling up to so many times what one question takes, and a first one costs no memory here.
PATIENCE, GROWTH = 8.0, 8


@dataclass(frozen=True)
class _Piece:
    """Questions of one step, of one scene and one form, for one server.

    scene: a copy of `own`, which keeps the images where that is closed meanwhile. indices: their
    places in the step. pinned: whether the server that the image chooses is asked.
    """

    scene: RemoteScene
    own: RemoteScene
    key: str
    questions: list[Question]
    indices: list[int]
    spoken: list[bool]
    pinned: bool


class RemoteEngine:
    """Asks a model on servers.

    urls: of the servers, all with the same model, such as "http://gpu:8000".
    model: its name there, "" for the only one that a server has.
    key_file: a file with the key that they want, "" for none.
    timeout: seconds that a server may take for one request; then it is taken for lost.
    check: for which answers a whole one is asked for beside the number; see checks.Checks.
    longest: tokens of a reply that is decoded freely.
    whole: send all questions of a step about one image at once instead of in pieces that overlap;
        the yardstick of `depthlm bench --remote`.
    device, dtype, threads: accepted and without meaning here: the servers' own count.

    Raises InputError, CheckpointError, or EngineError where every server answers and none can be
    used. Servers that do not answer are waited for: they are asked once they come.
    """

    device = "remote"

    def __init__(
        self,
        checkpoint: Checkpoint,
        urls: Sequence[str] = (),
        model: str = "",
        key_file: str = "",
        timeout: float = TIMEOUT_S,
        check: str = "auto",
        longest: int = LONGEST,
        whole: bool = False,
        progress: Progress = silent,
        device: str = "",
        dtype: str = "",
        threads: int = 0,
    ):
        self._checks = Checks(check)
        if not timeout > 0:
            raise InputError(f"remote.timeout is {timeout:g}, it must be above 0 seconds")
        addresses, key = clean_urls(urls), read_key(key_file)
        progress(0.0, "reading the tokenizer")
        with quiet():
            parts = load_parts(checkpoint, weights=False)
        self.prompts = Prompts(parts)
        self.grammar = Grammar(checkpoint.integer_digits, checkpoint.decimals)
        self.limits = parts.vision.limits
        self._whole = whole
        self._settings = SentImage.settings_of(parts.vision)
        self._reader = Reader(self.prompts, self.grammar, longest)
        self._sized: set[Hashable] = set()  # sizes of views that a server sees as they are
        self._pace = Pace(growth=GROWTH, patience=PATIENCE)
        self._running: dict[int, set[asyncio.Task[Any]]] = {}  # by id of the scene
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="remote servers", daemon=True
        )
        self._thread.start()
        progress(0.5, "asking the servers what they can do")
        try:
            self._wait(self._begin(addresses, key, timeout, model))
        except BaseException:
            self.close()
            raise

    @property
    def counts(self) -> Counter[str]:
        """See Engine."""
        return self._checks.counts

    @property
    def memory_bytes(self) -> int:
        """What this process holds; the model's memory is the servers'."""
        return used_bytes("cpu")

    @property
    def servers(self) -> tuple[ServerState, ...]:
        """Each server as it is now."""
        return tuple(
            ServerState(s.url, s.usable, str(s), s.client.traffic["bytes"]) for s in self._servers
        )

    @property
    def traffic(self) -> Counter[str]:
        """ "requests" sent so far, "bytes" of their bodies, and "cache misses": images that a
        server had lost."""
        found: Counter[str] = Counter()
        for server in self._servers:
            found += server.client.traffic + server.counts
        return found

    @property
    def waited_s(self) -> float:
        """Seconds that requests were at a server so far, summed over the requests."""
        return sum(server.client.waited_s for server in self._servers)

    def supports(self, style: Style, images: int = 1) -> str:
        """Why it cannot be asked in this style about so many images; empty if it can."""
        if style.name == "position":
            return (
                "position style gives a token a rotary position of its own, which no server takes"
                " through its interface: with the engine remote ask by marker or coordinates"
                " (style and grid.style, --style)"
            )
        return self.prompts.unsupported(style, images)

    def open(self, images: Sequence[View], style: Style) -> RemoteScene:
        """A scene of one view, or of two in PlainStyle; what its questions share is sent now.
        Raises InputError, or EngineError where a question would be longer than the context, a
        server sees the image in another size, or none answers."""
        reason = self.supports(style, len(images))
        if reason:
            raise InputError(reason)
        vision = self.prompts.loaded.vision
        scene = RemoteScene(images, style, vision, self._settings, self._end)
        probe = style.probes(images[0])[0]
        size = style.name, *(view.image.shape for view in images)
        if size not in self._sized:
            side = vision.side
            shapes = [vision.snapped(*view.image.shape[:2]) for view in images]
            grids = [(height // side, width // side) for height, width in shapes]
            self.prompts.check_length(style, images[0], grids)
        if style.shares_image or size not in self._sized:
            self._wait(self._seen(scene, probe))
            self._sized.add(size)
        return scene

    def room(self, scene: RemoteScene, seconds: float) -> int:
        """How many questions about the scene one step of `seconds` may take, at least 1."""
        return self._pace.room(_kind(scene), seconds)

    def step(self, batch: Sequence[Asked]) -> list[Reply]:
        """Replies to (scene, question) pairs, scenes may mix; reply i answers pair i.

        Raises EngineError where no server answers, or one refuses a question.
        """
        replies = [Reply(nan, CLOSED)] * len(batch)
        pieces = self._pieces(batch)
        if pieces:
            with self._pace.measured(_kind(batch[0][0]), len(batch)):
                found = self._wait(self._answered(pieces))
            for piece, said in zip(pieces, found, strict=True):
                for index, reply in zip(piece.indices, self._replies(piece, said), strict=True):
                    replies[index] = reply
        return replies

    def close(self) -> None:
        """End all connections."""
        if self._loop.is_closed():
            return
        self._wait(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # The event loop.

    def _wait(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """What the coroutine returns in the loop's thread."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except Refused as error:
            raise EngineError(str(error)) from error
        finally:
            future.cancel()

    async def _begin(self, urls: list[str], key: str, timeout: float, model: str) -> None:
        loaded = self.prompts.loaded
        styles = [s for s in loaded.checkpoint.wording if s != "position"]
        if not styles:
            raise InputError(self.supports(loaded.checkpoint.speaking().asker()))
        probe = Probe(self.prompts, loaded.checkpoint.asker(styles[0]), model)
        servers = [Server(Client(url, key, timeout)) for url in urls]
        self._servers = Servers(servers, probe)
        await self._servers.look()
        if self._servers.problem and all(server.is_misfit for server in servers):
            raise EngineError("; ".join(server.problem for server in servers))
        self._looking = asyncio.ensure_future(self._servers.keep_looking())

    async def _finish(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in getattr(self, "_servers", ()):
            await server.client.close()

    async def _seen(self, scene: RemoteScene, probe: Question) -> None:
        """Send what the questions of a scene share, and look whether it is seen in its size."""
        await self._servers.answer(
            scene.key, bool(scene.key), lambda server: self._reader.check(server, scene, probe)
        )

    async def _answered(self, pieces: list[_Piece]) -> list[Said | None]:
        """What was said to the questions of each piece; None where its scene was closed."""
        tasks = [asyncio.ensure_future(self._said(piece)) for piece in pieces]
        for piece, task in zip(pieces, tasks, strict=True):
            self._running.setdefault(id(piece.own), set()).add(task)
            if piece.own.closed:
                task.cancel()
        try:
            found = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for task in tasks:
                task.cancel()
            self._running.clear()
        for said in found:
            if isinstance(said, BaseException) and not isinstance(said, asyncio.CancelledError):
                raise said
        return [said if isinstance(said, Said) else None for said in found]

    async def _said(self, piece: _Piece) -> Said:
        return await self._servers.answer(
            piece.key,
            piece.pinned,
            lambda server: self._reader.read(server, piece.scene, piece.questions, piece.spoken),
        )

    def _end(self, scene: RemoteScene) -> None:
        """The scene is closed: end its requests, in whatever thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel, id(scene))

    def _cancel(self, scene: int) -> None:
        for task in self._running.get(scene, ()):
            task.cancel()

    # A step: pieces of it, and what becomes of what was said.

    def _pieces(self, batch: Sequence[Asked]) -> list[_Piece]:
        groups: dict[tuple[int, AnswerForm], list[int]] = {}
        held = {id(scene): copy(scene) for scene, _ in batch}
        for index, (scene, question) in enumerate(batch):
            if not held[id(scene)].closed:
                groups.setdefault((id(scene), question.form), []).append(index)
        return [
            piece
            for (scene_id, _), indices in groups.items()
            for piece in self._cut(held[scene_id], batch, indices)
        ]

    def _cut(self, scene: RemoteScene, batch: Sequence[Asked], indices: list[int]) -> list[_Piece]:
        """The pieces of a group: the first for the server of its image, and the rest for any."""
        own, key, total = batch[indices[0]][0], scene.key, len(indices)
        is_shared = scene.tally["answered"] + total > OWN  # a step of slow servers holds few
        count = ceil(total / (PIECE if key else DRAWN))
        if key and self._whole:
            count = 1
        elif key:
            servers = sum(server.usable for server in self._servers) if is_shared else 1
            count = max(count, min(2 * servers, total // SMALLEST), min(servers, total))
        length = ceil(total / count)
        are_all, sample = self._checks.all_in(scene.style), self._checks.sample(scene.tally, total)
        spoken = [are_all or number in sample for number in range(total)]
        pieces = []
        for start in range(0, total, length):
            part = slice(start, start + length)
            questions = [batch[index][1] for index in indices[part]]
            pinned = bool(key) and (start == 0 or not is_shared)
            pieces.append(_Piece(scene, own, key, questions, indices[part], spoken[part], pinned))
        return pieces

    def _replies(self, piece: _Piece, said: Said | None) -> list[Reply]:
        if said is None:
            return [Reply(nan, CLOSED)] * len(piece.indices)
        form, trees = piece.questions[0].form, said.trees
        if trees is None:
            texts = [text for text, _ in said.whole.values()]
            if not form.is_number:
                return [Reply(nan, text) for text in texts]
            return [Reply(parse(text).metres, text, free=True) for text in texts]
        texts = self.prompts.begun(form, trees.greedy, said.firsts)
        values, free = trees.metres(), [False] * len(texts)
        for row, (text, ended) in said.whole.items():
            free[row] = self._is_free(form, trees.greedy[row], text, ended, piece.scene.style)
            values[row], texts[row] = parse(text).metres, text
        return trees.replies(values, texts, free)

    def _is_free(
        self, form: AnswerForm, number: str, text: str, ended: bool, style: Style
    ) -> bool:
        """Whether the model's whole answer is another one than its number in the given words."""
        given = self.prompts.worded(form, number)
        free = not number or text != given or not ended
        if self._checks.note(style, free):
            logging.getLogger(__name__).warning(
                "asked in %s style, the servers' model says %r where the entry of checkpoint '%s'"
                " has it say %r: from now on every answer is checked, which takes many times as"
                " long",
                *(style.name, text, self.prompts.loaded.checkpoint.name, given),
            )
        return free


def _kind(scene: RemoteScene) -> Hashable:
    """Equal for scenes whose questions cost about the same."""
    return scene.style.name
