# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Responses that reach clients whom the middleware has not discovered yet.

A client may see a service before the service sees the client. rmw_fastrtps waits 100 ms for that;
on a busy machine it takes longer, rclpy then warns, and the caller would wait in vain.
"""

import functools
import threading
import time
import warnings

from depthlm_ros.ros.compat import LOST_RESPONSE, wrap_responses
from depthlm_ros.ros.topic import STEADY

AGAIN_S = 0.25
GIVE_UP_S = 30.0
_sending = threading.local()  # .lost: whether rclpy warned in this thread


class Replies:
    """Sends the responses of all services that a node has now again, until they are heard.

    After GIVE_UP_S it says in the log which service's response nobody heard.
    """

    def __init__(self, node):
        self._log = node.get_logger()
        self._unheard = []  # (until, service, send)
        _listen()
        for service in node.services:
            reply = functools.partial(self._reply, service.srv_name)
            wrap_responses(service, lambda send, reply=reply: functools.partial(reply, send))
        node.create_timer(AGAIN_S, self._again, clock=STEADY)

    @property
    def unheard(self) -> int:
        """Responses that are still to reach their clients."""
        return len(self._unheard)

    def _reply(self, name, send, response, header):
        once_more = functools.partial(send, response, header)
        if not _heard(once_more):
            self._unheard.append((time.monotonic() + GIVE_UP_S, name, once_more))

    def _again(self):
        unheard, self._unheard = self._unheard, []
        for until, name, send in unheard:
            if _heard(send):
                continue
            if time.monotonic() < until:
                self._unheard.append((until, name, send))
            else:
                self._log.warning(f"a client of {name} could not be reached: its response is lost")


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
