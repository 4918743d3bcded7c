# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The most memory that was held since the last look, on a CPU or a GPU."""

from pathlib import Path


class CpuMemory:
    """Resident memory of this process, as Linux counts it."""

    def reset(self) -> None:
        """Count anew; where the kernel does not allow it, the peak is of the whole run."""
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pass

    def peak(self) -> int:
        """Bytes."""
        lines = Path("/proc/self/status").read_text().splitlines()
        (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
        return int(kilobytes) * 1024


class CudaMemory:
    """What torch allocated on a GPU. device: such as "cuda:0"."""

    def __init__(self, device):
        self._device = device

    def reset(self) -> None:
        """Count anew."""
        import torch

        torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> int:
        """Bytes."""
        import torch

        return torch.cuda.max_memory_allocated(self._device)


def memory_of(device):
    """The memory to watch for a torch device, or its name."""
    return CudaMemory(device) if str(device).startswith("cuda") else CpuMemory()
