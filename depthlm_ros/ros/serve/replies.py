# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Responses that reach clients whom the middleware has not discovered yet.

A client may see a service before the service sees the client. rmw_fastrtps waits 100 ms for that,
and the whole process with it; on a busy machine it takes longer, rclpy then warns, and the caller
would wait in vain. A client that ended before its request was read looks the same, and a crowd of
them leaves hundreds of requests: waiting for nobody may take a small part of the time only.
"""

import functools
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from depthlm_ros.ros.compat import LOST_RESPONSE, wrap_responses
from depthlm_ros.ros.topic import STEADY

LOOK_S = 0.1  # how often it is looked for what is to be sent
AGAIN_S, SELDOM_S = 0.25, 2.0  # from the first attempt to the second, then ever longer up to this
GIVE_UP_S = 30.0
TELL_S = 10.0  # how often the log says what was given up
SHARE = 0.2  # of the time, which attempts that reach nobody may take
AT_ONCE_S = 1.0  # how far ahead of that share they may run
_sending = threading.local()  # .lost: whether rclpy warned in this thread


@dataclass(eq=False)
class _Response:
    """name: of the service. came: nanoseconds at which the request came. until, again:
    time.monotonic() seconds of the last and of the next attempt; pause: from that to the one after
    it."""

    name: str
    send: Callable[[], None]
    came: int
    until: float
    again: float = 0.0
    pause: float = AGAIN_S


class Replies:
    """Sends the responses of all services that a node has now again, until they are heard.

    Of those that have to wait for the first attempt the one that was asked for last goes first,
    since its client is the most likely still there. After GIVE_UP_S it says in the log of which
    services responses were not heard. For all threads of the node's executor.
    """

    def __init__(self, node):
        self._log = node.get_logger()
        self._lock = threading.Lock()
        self._fresh: list[_Response] = []  # not tried yet
        self._missed: list[_Response] = []  # tried in vain
        self._steps = [self._send_fresh, self._send_missed]
        self._paid = 0.0  # until when the time spent in vain is no more than its share
        self._lost: Counter[str] = Counter()  # by service, not told yet
        self._told = -inf
        _listen()
        for service in node.services:
            reply = functools.partial(self._reply, service.srv_name)
            wrap_responses(service, lambda send, reply=reply: functools.partial(reply, send))
        node.create_timer(LOOK_S, self._look, clock=STEADY)

    @property
    def unheard(self) -> int:
        """Responses that are still to reach their clients."""
        return len(self._fresh) + len(self._missed)

    def _reply(self, name, send, response, header):
        once_more = functools.partial(send, response, header)
        until = time.monotonic() + GIVE_UP_S
        with self._lock:
            self._fresh.append(_Response(name, once_more, header.received_timestamp, until))
            self._send_fresh()

    def _look(self):
        with self._lock:
            self._steps.reverse()  # neither may take all the time
            for step in self._steps:
                step()
            self._give_up(time.monotonic())

    def _send_fresh(self):
        while self._fresh and self._can_afford():
            newest = max(self._fresh, key=lambda response: response.came)
            self._fresh.remove(newest)
            self._attempt(newest)

    def _send_missed(self):
        now = time.monotonic()
        for response in [r for r in self._missed if r.again <= now]:
            if self._can_afford():
                self._missed.remove(response)
                self._attempt(response)

    def _can_afford(self) -> bool:
        return self._paid - time.monotonic() <= AT_ONCE_S

    def _attempt(self, response):
        began = time.monotonic()
        if _heard(response.send):
            return
        now = time.monotonic()
        self._paid = max(self._paid, began) + (now - began) / SHARE
        response.again, response.pause = now + response.pause, min(2 * response.pause, SELDOM_S)
        self._missed.append(response)

    def _give_up(self, now):
        self._lost.update(r.name for r in [*self._fresh, *self._missed] if r.until <= now)
        self._fresh = [r for r in self._fresh if r.until > now]
        self._missed = [r for r in self._missed if r.until > now]
        if self._lost and now - self._told > TELL_S:
            lost = ", ".join(f"{count} of {name}" for name, count in self._lost.items())
            self._log.warning(
                f"responses are lost, {lost}: their clients could not be reached for"
                f" {GIVE_UP_S:g} s, as where they ended before they were answered"
            )
            self._lost.clear()
            self._told = now


def _heard(send) -> bool:
    """Whether what send() sends reaches its client, as far as rclpy knows."""
    _sending.lost = False
    send()
    return not _sending.lost


def _listen():
    """Note rclpy's warning in the thread that sends; the process's other ones are shown as before.
    Once, however many nodes there are."""
    show = warnings.showwarning
    if getattr(show, "notes_lost", False):
        return

    def note(message, *where, **more):
        if str(message).startswith(LOST_RESPONSE):
            _sending.lost = True
        else:
            show(message, *where, **more)

    note.notes_lost = True
    warnings.showwarning = note
    warnings.filterwarnings("always", LOST_RESPONSE, RuntimeWarning)
