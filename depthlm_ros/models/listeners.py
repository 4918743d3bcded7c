# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Who hears what a layer returns, whether transformers calls the layer or a loop of ours
(tower.py, decoder.py) computes it from its parts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

Listener = Callable[[torch.Tensor], None]
_HEARING: dict[torch.nn.Module, list[Listener]] = {}


@contextmanager
def listening(module: torch.nn.Module, listener: Listener) -> Iterator[None]:
    """listener(output) is called after each pass through a module while this is open; nothing
    is attached before or after."""

    def called(_: torch.nn.Module, __: Any, output: Any) -> None:
        listener(output[0] if isinstance(output, tuple) else output)

    handle = module.register_forward_hook(called)
    _HEARING.setdefault(module, []).append(listener)
    try:
        yield
    finally:
        handle.remove()
        _HEARING[module].remove(listener)
        if not _HEARING[module]:
            del _HEARING[module]


def is_heard(module: torch.nn.Module) -> bool:
    """Whether anybody listens."""
    return module in _HEARING


def is_any_heard() -> bool:
    """Whether anybody listens to any module."""
    return bool(_HEARING)


def tell(module: torch.nn.Module, output: torch.Tensor) -> None:
    """What a loop of ours computed in the module's place."""
    for listener in _HEARING.get(module, ()):
        listener(output)
