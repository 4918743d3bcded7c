# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The line to one server: requests out, JSON in, and one clear sentence for whatever goes wrong.

Knows nothing about what is asked. A request that is cancelled closes its connection, on which
vLLM stops computing for it.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import openai
from pydantic_core import from_json

from depthlm_ros.engines.remote.addresses import is_on_this_machine
from depthlm_ros.errors import first_line

BUSY = 429, 503
STUMBLED = 500, 502, 504  # a router that lost its line to a server, and the like
STUMBLES = 2  # how often a request is sent again that was lost so, or whose own line was cut
ATTEMPTS = 5  # at a server that says that it is busy
FIRST_PAUSE_S = 0.2  # before the second of them, doubled before each further one
KEY_PROBLEMS = 401, 403
MISS = "cache miss"  # what vLLM's refusal of an image that it is to know again says


class Lost(Exception):
    """The server gives no answer now, and says why; another one may."""


class Misfit(Lost):
    """The server answers, and not as this checkpoint needs it: nothing to wait for."""


class Refused(Exception):
    """The server will not answer this request, now or later. status: of HTTP."""

    def __init__(self, text: str, status: int):
        super().__init__(text)
        self.status = status

    @property
    def is_miss(self) -> bool:
        """Whether it lacks an image that was meant by its key (vLLM)."""
        return MISS in str(self).lower()


class Client:
    """One server.

    url: of the server, without /v1. key: for a server that wants one. timeout: seconds that a
    request may take, pauses included.

    traffic: "requests", and "bytes" of their bodies, so far. waited_s: from the last byte of a
    request to the first of its answer, over all requests so far.
    """

    def __init__(self, url: str, key: str, timeout: float):
        self.url = url
        self.timeout = timeout
        self.traffic: Counter[str] = Counter()
        self.waited_s = 0.0
        http = openai.DefaultAsyncHttpxClient(
            verify=ssl.create_default_context(),  # the system's authorities, or SSL_CERT_FILE
            trust_env=not is_on_this_machine(url),  # of whom no proxy knows anything
            event_hooks={"request": [self._leaves], "response": [self._arrives]},
        )
        self._openai = openai.AsyncOpenAI(
            base_url=f"{url}/v1",
            api_key=key or "none",
            timeout=timeout,
            max_retries=0,  # it would repeat what timed out, for which another server is better
            http_client=http,
        )

    async def get(self, path: str) -> Any:
        """The JSON at a path below /v1. Raises Lost or Refused."""
        return await self._asked(lambda: self._openai.get(path, cast_to=str))

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON that answers a body. Raises Lost or Refused."""
        return await self._asked(lambda: self._openai.post(path, cast_to=str, body=body))

    async def close(self) -> None:
        """End all connections."""
        await self._openai.close()

    async def _asked(self, call: Callable[[], Awaitable[str]]) -> Any:
        end = time.monotonic() + self.timeout
        for attempt in range(ATTEMPTS):
            try:
                text = await asyncio.wait_for(call(), end - time.monotonic())
                return self._parsed(text)
            except openai.APIStatusError as error:
                pause = _pause(error, attempt)
                last = attempt + 1 == ATTEMPTS or time.monotonic() + pause >= end
                stumbled = error.status_code in STUMBLED and attempt < STUMBLES
                if last or not (stumbled or error.status_code in BUSY):
                    raise self._translated(error) from error
            except (asyncio.TimeoutError, openai.APIConnectionError) as error:
                late = isinstance(error, (asyncio.TimeoutError, openai.APITimeoutError))
                if late or attempt >= STUMBLES:
                    raise self._unreachable(error) from error
                pause = FIRST_PAUSE_S * attempt  # none after one that was closed while it was idle
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _parsed(self, text: str) -> Any:
        try:
            found = from_json(text)  # three times as fast as json
        except ValueError:
            raise Misfit(
                f"{self.url} answers {text[:60]!r}, which is no JSON: is it a server of models,"
                " and is its address given without a path?"
            ) from None
        return found

    def _translated(self, error: openai.APIStatusError) -> Exception:
        said = _message(error)
        if error.status_code in KEY_PROBLEMS:
            return Misfit(
                f"{self.url} refuses the key ({error.status_code} {said}): put the right one into"
                " the file that remote.key_file names"
            )
        if error.status_code >= 500 or error.status_code in BUSY:
            return Lost(f"{self.url} fails ({error.status_code} {said})")
        return Refused(f"{self.url} refuses ({error.status_code}): {said}", error.status_code)

    def _unreachable(self, error: Exception) -> Lost:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE" in str(cause):
                return Misfit(
                    f"the certificate of {self.url} is not trusted ({first_line(cause)}): name the"
                    " file of its authority in the environment variable SSL_CERT_FILE"
                )
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, (asyncio.TimeoutError, openai.APITimeoutError)):
            return Lost(f"{self.url} has not answered within {self.timeout:g} s (remote.timeout)")
        reason = first_line(error.__cause__ or error)
        return Lost(
            f"{self.url} cannot be reached ({reason}): is the server started, the network up?"
        )

    async def _leaves(self, request: Any) -> None:
        self.traffic["requests"] += 1
        self.traffic["bytes"] += int(request.headers.get("content-length", 0))
        request.extensions["left"] = time.monotonic()

    async def _arrives(self, response: Any) -> None:
        self.waited_s += time.monotonic() - response.request.extensions["left"]


def _pause(error: openai.APIStatusError, attempt: int) -> float:
    """Seconds before the next attempt; the server's own wish where it has one."""
    try:
        wished = float(error.response.headers.get("retry-after", 0))
    except ValueError:  # a date
        wished = 0.0
    return max(wished, FIRST_PAUSE_S * 2**attempt * random.uniform(0.75, 1.25))


def _message(error: openai.APIStatusError) -> str:
    """What the server says in its own format, or whatever it says."""
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        body = inner.get("message", inner) if isinstance(inner, dict) else inner
    said = str(body or error.response.reason_phrase).strip()
    if said.startswith("<"):
        return f"{error.response.reason_phrase}, with a page of HTML: of a proxy (see no_proxy)?"
    return said[:300]
