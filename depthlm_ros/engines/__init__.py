# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Engines: the ways to ask a model. engine.py holds their contract, make_engine makes one."""

from collections.abc import Callable
from typing import Any

from depthlm_ros.checkpoints import Checkpoint
from depthlm_ros.engines.checks import CHECKS, is_checked
from depthlm_ros.engines.engine import (
    CLOSED,
    DEVICES,
    DTYPES,
    LONGEST,
    Engine,
    OnServers,
    Reply,
    Scene,
    ServerState,
)
from depthlm_ros.engines.progress import silent
from depthlm_ros.errors import InputError, MissingDependency

ENGINES = ("local", "reference", "remote", "scripted")

__all__ = [
    "CHECKS",
    "CLOSED",
    "DEVICES",
    "DTYPES",
    "ENGINES",
    "LONGEST",
    "Engine",
    "OnServers",
    "Reply",
    "Scene",
    "ServerState",
    "is_checked",
    "make_engine",
]


def make_engine(
    name: str,
    checkpoint: Checkpoint,
    progress: Callable[[float, str], None] = silent,
    **options: Any,
) -> Engine:
    """The engine of this name for a checkpoint; heavy libraries are imported here, not before.

    options: device ("auto", "cpu", "cuda", "cuda:1"), dtype and threads for local and reference;
        check (one of CHECKS) for local and remote, see checks.py; graphs for local, see
        LocalEngine; urls, model, key_file and timeout for remote, see RemoteEngine.
    progress: called with (fraction, what), see progress.py.

    Raises InputError, CheckpointError, OutOfMemory or MissingDependency.
    """
    if name not in ENGINES:
        raise InputError(f"engine '{name}' is unknown, allowed: {', '.join(ENGINES)}")
    if name != "local" and options.pop("graphs", False):
        raise InputError(f"graphs belong to engine local: leave them out of engine {name}")
    try:
        engine = _made(name, checkpoint, progress, options)
    except ImportError as error:
        raise MissingDependency(
            f"engine '{name}' needs a package that is not installed ({error}):"
            " run `make setup` and activate .venv"
        ) from error
    progress(1.0, "ready")
    return engine


def _made(
    name: str,
    checkpoint: Checkpoint,
    progress: Callable[[float, str], None],
    options: dict[str, Any],
) -> Engine:
    if name == "local":
        from depthlm_ros.engines.local.engine import LocalEngine

        return LocalEngine(checkpoint, progress=progress, **options)
    if name == "reference":
        from depthlm_ros.engines.reference import ReferenceEngine

        return ReferenceEngine(checkpoint, progress=progress, **options)
    if name == "remote":
        from depthlm_ros.engines.remote.engine import RemoteEngine

        return RemoteEngine(checkpoint, progress=progress, **options)
    from depthlm_ros.engines.scripted import ScriptedEngine

    return ScriptedEngine(**options)
