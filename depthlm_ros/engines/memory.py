# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Memory that is free on a device.

On a GPU the driver tells; on a CPU, and on a GPU that has no memory of its own, it is what the
kernel could give without swapping, or what is left of a control group's limit: beyond it the
process is killed, without an error. Knows nothing about what the memory is for.
"""

from math import inf
from pathlib import Path

from depthlm_ros.errors import OutOfMemory

# Of a control group: its limit, its use, and the part of it that files take and would give back.
UNIFIED = "memory.max", "memory.current", "inactive_file"
LEGACY = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"

# What torch says in errors that have no class of their own: its allocator on a CPU, the driver,
# cuBLAS and cuDNN, and its allocator on a Jetson or a slice of a GPU (pytorch issue 185240).
SAID = (
    "DefaultCPUAllocator",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "NVML_SUCCESS == r INTERNAL ASSERT FAILED",
)


def free_bytes(device, root="/") -> int:
    """Bytes free on a torch device. root: where /proc and /sys/fs/cgroup are."""
    if device.type == "cuda":
        import torch

        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = _kernels(root) if _shares(device) else torch.cuda.mem_get_info(device)[0]
        return free + reserved
    return _kernels(root)


def _shares(device) -> bool:
    """Whether a GPU lives in the processor's memory, of which the driver counts what files take
    as used (Jetson, DGX Spark)."""
    import torch

    return bool(torch.cuda.get_device_properties(device).is_integrated)


def _kernels(root) -> int:
    left = [_left(folder, names) for folder, names in _groups(Path(root))]
    return int(max(0, min([_available(Path(root)), *left])))


def check_fits(what, needed, device) -> None:
    """OutOfMemory where the processor's memory has fewer bytes free than needed, before that kills
    the process; a GPU with memory of its own says so itself."""
    if (device.type == "cpu" or _shares(device)) and needed > (free := free_bytes(device)):
        raise OutOfMemory(
            f"{what} needs about {needed / 1e9:.2g} GB beside the model, and {free / 1e9:.2g} GB"
            " are free: end other programs, take a dtype of two bytes (bfloat16) or another device"
        )


def is_out_of_memory(error) -> bool:
    """Whether an exception says that memory ran out; torch, not imported here, has its own."""
    named = isinstance(error, (MemoryError, OutOfMemory))
    named = named or type(error).__name__ == "OutOfMemoryError"
    said = isinstance(error, RuntimeError) and any(words in str(error) for words in SAID)
    return named or said


def _available(root) -> int:
    """What the kernel could give: free, or held by files that it would drop."""
    with open(root / "proc/meminfo") as file:
        lines = dict(line.split(":") for line in file)
    return int(lines["MemAvailable"].split()[0]) * 1024


def _groups(root):
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


def _left(folder, names):
    """Bytes until a control group's limit; infinite where it has none."""
    limit, used, droppable = names
    try:
        most = (folder / limit).read_text().strip()
        now = int((folder / used).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return inf if most == "max" else int(most) - now + int(stat.get(droppable, 0))
    except (OSError, ValueError):
        return inf
