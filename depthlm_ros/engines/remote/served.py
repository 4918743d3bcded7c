# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a server loads: the checkpoint's folder, without the weights of a dense head.

vLLM refuses a folder with tensors that its model does not know (0.32: "There is no module or
parameter named 'depth_head'"). The folder without them is written once and kept. Files of weights
are read as bytes: whatever types of numbers they hold, nothing is converted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

from depthlm_ros.checkpoints import HEAD_PREFIX, Checkpoint
from depthlm_ros.errors import InputError

CHUNK = 1 << 24  # bytes that are copied at once
ALIGNED = 8  # bytes of which a header is a multiple


def folder_to_serve(checkpoint: Checkpoint) -> str:
    """The folder, or the name, of the model that a server is to load: the checkpoint's own where
    that holds no dense head.

    Files of weights without a part of the head are linked, not copied. Raises InputError where the
    folder cannot be written.
    """
    model = Path(checkpoint.model)
    files = sorted(model.glob("*.safetensors")) if model.is_dir() else []
    with_head = [path for path in files if _head_of(path)]
    if not with_head:
        return checkpoint.model
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "depthlm_ros", "served")
    folder = cache.expanduser() / f"{model.resolve().name}-{_digest(files)}"
    try:
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            _make(model, folder, {path.name for path in with_head})
    except OSError as error:
        raise InputError(
            f"checkpoint '{checkpoint.name}' has a dense head, which vLLM does not load, and the"
            f" folder without it cannot be written: {error}; name a place for it in the"
            " environment variable XDG_CACHE_HOME"
        ) from error
    return str(folder)


def _make(model: Path, folder: Path, with_head: set[str]) -> None:
    """The folder, whole or not at all. Servers that start at once each write it: the first one's
    counts."""
    part = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        _write(model.resolve(), part, with_head)
        part.rename(folder)
    except OSError:
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _digest(files: list[Path]) -> str:
    """Another one when the weights are others."""
    known = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(repr(known).encode()).hexdigest()[:12]


def _write(model: Path, folder: Path, with_head: set[str]) -> None:
    """Into an empty folder."""
    for path in sorted(model.iterdir()):
        if path.name in with_head:
            _copy_without_head(path, folder / path.name)
        elif path.suffix == ".safetensors":
            (folder / path.name).symlink_to(path)
        elif path.name.endswith(".safetensors.index.json"):
            index = json.loads(path.read_text(encoding="utf-8"))
            index["weight_map"] = {
                name: file
                for name, file in index["weight_map"].items()
                if not name.startswith(HEAD_PREFIX)
            }
            (folder / path.name).write_text(json.dumps(index), encoding="utf-8")
        elif path.is_file():
            shutil.copyfile(path, folder / path.name)
    folder.chmod(0o755)  # as any other; mkdtemp's are private


def _header(file: BinaryIO) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", file.read(8))
    found: dict[str, Any] = json.loads(file.read(length))
    return found


def _head_of(path: Path) -> list[str]:
    """Names of the head's tensors in a file."""
    with open(path, "rb") as file:
        return [name for name in _header(file) if name.startswith(HEAD_PREFIX)]


def _copy_without_head(source: Path, target: Path) -> None:
    """Nothing is written where nothing would be left."""
    with open(source, "rb") as file:
        header = _header(file)
        begin = file.tell()
        told = header.pop("__metadata__", None)
        kept = {n: dict(t) for n, t in header.items() if not n.startswith(HEAD_PREFIX)}
        if not kept:
            return
        ranges, end = [], 0
        for tensor in sorted(kept.values(), key=lambda tensor: tensor["data_offsets"]):
            first, last = tensor["data_offsets"]
            ranges.append((first, last))
            tensor["data_offsets"] = [end, end + last - first]
            end += last - first
        text = json.dumps({"__metadata__": told, **kept} if told else kept).encode()
        text += b" " * (-len(text) % ALIGNED)
        with open(target, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for first, last in ranges:
                file.seek(begin + first)
                parts = (min(CHUNK, last - at) for at in range(first, last, CHUNK))
                out.writelines(map(file.read, parts))
