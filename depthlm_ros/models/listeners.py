# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Who hears what a layer returns, whether transformers calls the layer or a loop of ours
(tower.py, decoder.py) computes it from its parts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

Heard = Callable[[torch.Tensor], None]
_HEARING: dict[torch.nn.Module, list[Heard]] = {}


@contextmanager
def listening(module: torch.nn.Module, heard: Heard) -> Iterator[None]:
    """heard(output) is called after each pass through a module, as long as this is open; nothing
    is attached before or after."""

    def called(_: torch.nn.Module, __: Any, output: Any) -> None:
        heard(output[0] if isinstance(output, tuple) else output)

    handle = module.register_forward_hook(called)
    _HEARING.setdefault(module, []).append(heard)
    try:
        yield
    finally:
        handle.remove()
        _HEARING[module].remove(heard)
        if not _HEARING[module]:
            del _HEARING[module]


def is_heard(module: torch.nn.Module) -> bool:
    """Whether anybody listens."""
    return module in _HEARING


def tell(module: torch.nn.Module, output: torch.Tensor) -> None:
    """What a loop of ours computed in the module's place."""
    for heard in _HEARING.get(module, ()):
        heard(output)
