# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Memory: what is free on a device, and work done in as many passes as that allows.

On a GPU the driver tells; on a CPU, and on a GPU that has no memory of its own, it is what the
kernel could give without swapping, or what is left of a control group's limit: beyond it the
process is killed, without an error. How much fits is estimated beforehand, and where that was too
much, found out by halving.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from depthlm_ros.errors import OutOfMemory, first_line

if TYPE_CHECKING:
    import torch

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

# Of a control group: its limit, its use, and the part of it that files take and would give back.
UNIFIED = "memory.max", "memory.current", "inactive_file"
LEGACY = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
NO_LIMIT = 2**60  # what the older groups have in its place is a little below 2**63

# What torch says in errors that have no class of their own: its allocator on a CPU, the driver,
# cuBLAS and cuDNN, and its allocator on a Jetson or a slice of a GPU (pytorch issue 185240).
SAID = (
    "DefaultCPUAllocator",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "NVML_SUCCESS == r INTERNAL ASSERT FAILED",
)


def free_bytes(device: torch.device, root: str | Path = "/") -> int:
    """Bytes free on a torch device. root: where /proc and /sys/fs/cgroup are."""
    if device.type == "cuda":
        import torch

        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = _kernels(root) if _shares(device) else torch.cuda.mem_get_info(device)[0]
        return free + reserved
    return _kernels(root)


def used_bytes(device: str) -> int:
    """Bytes that torch allocated on a GPU, or that this process holds on a CPU."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.memory_allocated(device))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _shares(device: torch.device) -> bool:
    """Whether a GPU lives in the processor's memory, of which the driver counts what files take
    as used (Jetson, DGX Spark)."""
    import torch

    return bool(torch.cuda.get_device_properties(device).is_integrated)


def _kernels(root: str | Path) -> int:
    left = [_left(folder, names) for folder, names in _groups(Path(root))]
    return int(max(0, min([_available(Path(root)), *left])))


def check_fits(what: str, needed: int, device: torch.device) -> None:
    """OutOfMemory where the processor's memory has fewer bytes free than needed, before that kills
    the process; a GPU with memory of its own says so itself."""
    if (device.type == "cpu" or _shares(device)) and needed > (free := free_bytes(device)):
        raise OutOfMemory(
            f"{what} needs about {needed / 1e9:.2g} GB beside the model, and {free / 1e9:.2g} GB"
            " are free: end other programs, take a dtype of two bytes (bfloat16) or another device"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out; torch, not imported here, has its own."""
    named = isinstance(error, (MemoryError, OutOfMemory))
    named = named or type(error).__name__ == "OutOfMemoryError"
    said = isinstance(error, RuntimeError) and any(words in str(error) for words in SAID)
    return named or said


def _available(root: Path) -> int:
    """What the kernel could give: free, or held by files that it would drop."""
    with open(root / "proc/meminfo") as file:
        lines = dict(line.split(":") for line in file)
    return int(lines["MemAvailable"].split()[0]) * 1024


def _groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """(folder, names of its files) of this process's control groups and all above them."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers in ("", "memory"):
            names, own = LEGACY if controllers else UNIFIED, Path(path.strip("/"))
            top = root / "sys/fs/cgroup" / controllers
            yield from ((top / folder, names) for folder in (own, *own.parents))


def _left(folder: Path, names: tuple[str, str, str]) -> float:
    """Bytes until a control group's limit; infinite where it has none."""
    limit, used, droppable = names
    try:
        most = (folder / limit).read_text().strip()
        if most == "max" or int(most) >= NO_LIMIT:  # statistics are long, and no more is wanted
            return inf
        now = int((folder / used).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(most) - now + int(stat.get(droppable, 0))
    except (OSError, ValueError):
        return inf


def in_passes(
    answers: Callable[[Sequence[Asked]], list[Answer]],
    members: Sequence[Asked],
    largest: float,
    shrunk: Callable[[int], None],
) -> list[Answer]:
    """Replies to `members` by answers(some of them), `largest` at most at a time.

    A pass that runs out of memory is given up and tried again by halves; shrunk(size) is told.
    OutOfMemory where a single member does not fit.
    """
    replies: list[Answer] = []
    size = int(max(1, min(largest, len(members))))
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


def at_once(what: str, compute: Callable[..., Answer], *given: Any) -> Answer:
    """compute(*given) of what cannot be done by halves; OutOfMemory where it does not fit."""
    found, reason = _tried(what, compute, *given)
    if reason:
        give_back()
        raise OutOfMemory(reason)
    return found


def _tried(what: str, compute: Callable[..., Answer], *given: Any) -> tuple[Any, str]:
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


def give_back() -> None:
    """Return what nothing refers to any more, to other passes and to other processes."""
    gc.collect()
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
