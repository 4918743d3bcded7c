# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Whether a run fits into memory and onto the disk, said before it starts.

Counts weights, gradients and AdamW's two averages (Muon keeps one); what activations need shows
--dry-run.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from depthlm_ros.engines.memory import free_bytes
from depthlm_ros.errors import InputError, OutOfMemory

LEARNS, FROZEN = 16, 2  # bytes a parameter: fp32 weight, gradient, two averages; bf16 weight


@dataclass(frozen=True)
class Needs:
    """Bytes: memory of one process, one checkpoint, and the whole run on the disk."""

    memory: int
    checkpoint: int
    disk: int


def needs(config, student, processes=1) -> Needs:
    """What the run of a Student needs at least."""
    learns = sum(p.numel() for p in student.parameters() if p.requires_grad)
    everything = sum(p.numel() for p in student.parameters())
    memory = LEARNS * learns + FROZEN * (everything - learns)
    checkpoint = 4 * everything + 8 * learns
    shipped = 2 * everything * (2 if config.dtype == "float32" else 1)
    best = 1 if config.heldout else 0
    disk = checkpoint * (config.keep + 1 + best) + 2 * shipped
    return Needs(memory // (processes if config.fsdp else 1), checkpoint, disk)


def check(config, student, device, processes=1) -> Needs:
    """Needs; raises OutOfMemory or InputError where they are not there."""
    found = needs(config, student, processes)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if device.type == "cpu" else 1
    held = sum(p.nbytes for p in student.parameters()) if device.type == "cpu" else 0
    free = free_bytes(device) // here + held
    if found.memory > free:
        raise OutOfMemory(
            f"weights, gradients and optimizer need {found.memory / 1e9:.3g} GB on each"
            f" {device.type} and {free / 1e9:.3g} GB are free: share them out over more GPUs"
            " (fsdp), or learn adapters only (lora)"
        )
    _check_disk(config, found)
    return found


def _check_disk(config, found) -> None:
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    there = sum(p.stat().st_size for p in out.rglob("*") if p.is_file() and not p.is_symlink())
    free = shutil.disk_usage(out).free
    if found.disk > free + there:
        raise InputError(
            f"checkpoints need {found.disk / 1e9:.3g} GB in {out} ({found.checkpoint / 1e9:.3g} GB"
            f" each, keep: {config.keep}) and {(free + there) / 1e9:.3g} GB are free"
        )
