# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Several servers as one: who is asked about what, and what happens when one fails.

Questions that share an image go to the server that a rendezvous hash of the image chooses, since
that one keeps it; the same image always meets the same server, and one that fails or comes back
moves its own images alone. Other questions go where there is room. A server that fails is taken
out, what it was asked is asked elsewhere, and it is looked at again until it answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from depthlm_ros.engines.remote.client import Client, Lost, Misfit
from depthlm_ros.engines.remote.probe import Abilities, Probe
from depthlm_ros.errors import EngineError

Answer = TypeVar("Answer")

LOOK_S = 2.0  # between two looks at a server
SLOTS = 4  # pieces of work that one server has at a time
KEPT = 500  # images that a server is believed to have


class Server:
    """One server, and what is known of it.

    abilities: None before it was seen for the first time. problem: why it is not asked, "" where
    it is. held: keys of the images that it has, the newest last. room: pieces of work that it may
    be given now.
    """

    def __init__(self, client: Client):
        self.client = client
        self.abilities: Abilities | None = None
        self.problem = "it was not looked at yet"
        self.told = ""
        self.is_misfit = False
        self.counts: Counter[str] = Counter()
        self.held: OrderedDict[str, None] = OrderedDict()
        self.room = SLOTS
        self._since = time.monotonic()

    @property
    def url(self) -> str:
        return self.client.url

    @property
    def usable(self) -> bool:
        """Whether it is asked."""
        return not self.problem

    def __str__(self) -> str:
        if self.usable:
            return str(self.abilities)
        return f"out for {time.monotonic() - self._since:.0f} s: {self.problem}"

    def take_in(self, abilities: Abilities) -> None:
        """It answers; what it held before is forgotten, it may be another process."""
        self.abilities, self.problem, self.is_misfit = abilities, "", False
        self.held.clear()

    def take_out(self, error: Lost) -> None:
        """It does not, or not as is needed."""
        if self.usable:
            self._since = time.monotonic()
        self.problem, self.is_misfit = str(error), isinstance(error, Misfit)

    def holds(self, key: str) -> None:
        """It has been sent this image."""
        self.held[key] = None
        self.held.move_to_end(key)
        while len(self.held) > KEPT:
            self.held.popitem(last=False)

    def rank(self, key: str) -> bytes:
        """How much the server suits an image; the highest of all servers' is asked."""
        return hashlib.sha256(f"{key} {self.url}".encode()).digest()


class Servers:
    """All servers of an engine. Its methods run in one event loop."""

    def __init__(self, servers: Sequence[Server], probe: Probe):
        self._servers = servers
        self._probe = probe
        self._changed = asyncio.Condition()

    def __iter__(self) -> Iterator[Server]:
        return iter(self._servers)

    @property
    def problem(self) -> str:
        """Why nothing can be asked, "" where something can."""
        if any(server.usable for server in self._servers):
            return ""
        reasons = "; ".join(server.problem for server in self._servers)
        count = len(self._servers)
        which = "the only server" if count == 1 else f"all {count} servers"
        return f"{which} cannot be asked: {reasons}; looked at again every {LOOK_S:g} s"

    async def look(self) -> None:
        """Look at every server once, at the same time; what is wrong is left to the caller."""
        await asyncio.gather(*map(self._look_at, self._servers))

    async def keep_looking(self) -> None:
        """Until it is cancelled; a server that hangs keeps nobody from looking at the others."""
        await asyncio.gather(*map(self._keep_looking_at, self._servers))

    async def answer(
        self,
        key: str,
        pinned: bool,
        ask: Callable[[Server], Awaitable[Answer]],
    ) -> Answer:
        """What `ask` says of a server that suits; of the next one where it raises Lost.

        key: of the image. pinned: ask the server that the key chooses, even where it is busy.

        Raises EngineError where no server is left.
        """
        tried: set[Server] = set()
        while True:
            server = await self._chosen(key, pinned, tried)
            try:
                return await ask(server)
            except Lost as error:
                tried.add(server)
                server.take_out(error)
                self._log(server)
            finally:
                server.room += 1
                await self._tell()

    async def _chosen(self, key: str, pinned: bool, tried: set[Server]) -> Server:
        """A server with room, of which a piece is taken."""
        async with self._changed:
            while True:
                left = [s for s in self._servers if s.usable and s not in tried]
                if not left:
                    raise EngineError(self.problem or self._no_other(tried))
                best = max(left, key=lambda server: server.rank(key))
                if not pinned:
                    best = max(left, key=lambda server: (server.room, server.rank(key)))
                if best.room > 0:
                    best.room -= 1
                    return best
                await self._changed.wait()

    def _no_other(self, tried: set[Server]) -> str:
        return "no server answered: " + "; ".join(server.problem for server in tried)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _keep_looking_at(self, server: Server) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look_at(server)
            self._log(server)

    async def _look_at(self, server: Server) -> None:
        try:
            if server.usable:
                await server.client.get("/models")
                return
            abilities = await self._probe.abilities(server.client)
        except Lost as error:
            server.take_out(error)
        except Exception as error:  # noqa: BLE001, whatever a stranger says: the others go on
            server.take_out(Lost(f"{server.url} cannot be understood: {error}"))
        else:
            server.take_in(abilities)
        await self._tell()

    def _log(self, server: Server) -> None:
        """Tell once what has become of a server."""
        told = server.problem or f"{server.url} is asked: {server.abilities}"
        if told != server.told:
            server.told = told
            level = logging.WARNING if server.problem else logging.INFO
            logging.getLogger(__name__).log(level, "%s", told)
