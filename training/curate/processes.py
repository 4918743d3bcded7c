# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A Maker at work in several processes: what becomes of keys, in their order. Knows nothing about
what is written of it.
"""

import ctypes
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any

import cv2

from depthlm_ros.errors import InputError
from training.curate.maker import Made, Maker
from training.curate.sample import Key

AT_ONCE = 4  # images that a process takes at a time
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT_BYTES = 32 << 20  # the largest array whose memory is kept, which is the most that glibc takes


def made_of(maker: Maker, keys: Iterator[Key], workers: int) -> Generator[Made, None, None]:
    """What becomes of the keys, in their order; a few of them are taken ahead. InputError where a
    process dies."""
    if workers <= 1:
        _settle()
        yield from map(maker, keys)
        return
    pending: deque[Any] = deque()
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_begin, initargs=(maker,)
    )
    try:
        while part := list(islice(keys, AT_ONCE)):
            pending.append(pool.submit(_make_some, part))
            if len(pending) >= 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    except BrokenProcessPool as error:
        raise InputError(
            "a process that makes images died, perhaps for want of memory: start the same command"
            " again, with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_MAKER: list[Maker] = []  # of a process of the pool


def _begin(maker: Maker) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches all; the first process ends them
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _settle()
    _MAKER[:] = [maker]


def _settle() -> None:
    """Make this process fit for images: one thread, and memory that it keeps.

    glibc gives arrays of some megabytes back to the system when they are freed; to get their
    pages again for each image took as long as the image itself.
    """
    cv2.setNumThreads(1)
    with suppress(AttributeError, OSError):  # another libc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, 8 * KEPT_BYTES)


def _end_with_parent() -> None:
    """Else a killed run leaves processes that wait for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make_some(keys: Sequence[Key]) -> list[Made]:
    return [_MAKER[0](key) for key in keys]
