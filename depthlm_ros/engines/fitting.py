# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Questions answered in as many passes as memory wants, each once and in their order.

How much fits is estimated beforehand, and where that was too much, found out by halving. Knows
nothing about models, nor what a question is.
"""

import gc

import torch

from depthlm_ros.engines.memory import is_out_of_memory
from depthlm_ros.errors import OutOfMemory, first_line


def in_passes(answers, members, largest, shrunk) -> list:
    """Replies to `members` by answers(some of them), `largest` at most at a time.

    A pass that runs out of memory is given up and tried again by halves; shrunk(size) is told.
    OutOfMemory where a single member does not fit.
    """
    replies, size = [], max(1, min(largest, len(members)))
    while len(replies) < len(members):
        part = members[len(replies) :][:size]
        found, reason = _tried("one question", answers, part)
        if not reason:
            replies += found
            continue
        give_back()
        if len(part) == 1:
            raise OutOfMemory(reason)
        size = len(part) // 2
        shrunk(size)
    return replies


def at_once(what, compute, *given):
    """compute(*given) of what cannot be done by halves; OutOfMemory where it does not fit."""
    found, reason = _tried(what, compute, *given)
    if reason:
        give_back()
        raise OutOfMemory(reason)
    return found


def _tried(what, compute, *given):
    """(what is computed, "") or (None, the sentence that memory ran out). The exception ends here:
    its traceback would hold every tensor of the pass."""
    try:
        return compute(*given), ""
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if isinstance(error, OutOfMemory):  # a sentence of our own already
            return None, str(error)
        return None, f"{what} does not fit into memory: {first_line(error)}"


def give_back():
    """Return what nothing refers to any more, to other passes and to other processes."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
